// Finds PEM blocks (RFC 7468) in bytes without making text of them: the text of a private key must never become a
// string, because nobody can wipe a string.

export interface PemBlock {
  /** `PRIVATE KEY`, `CERTIFICATE`, … */
  readonly label: string
  /** From BEGIN to the end of the END line, as a view. */
  readonly bytes: Buffer
  /** RFC 1421 §4.6.1.1: the older encryption, announced by a header inside the block. */
  readonly hasEncryptionHeader: boolean
}

const BEGIN = '-----BEGIN '
const DASHES = '-----'
/** The longest label in use is `TRUSTED CERTIFICATE`-like; anything longer is no label. */
const MAX_LABEL_BYTES = 64
const LABEL = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Every whole block, in order. A BEGIN without its END is not a block. Text around blocks is ignored. */
export function findPemBlocks(bytes: Buffer): PemBlock[] {
  const blocks: PemBlock[] = []
  let at = bytes.indexOf(BEGIN)
  while (at !== -1) {
    const block = blockAt(bytes, at)
    if (block !== undefined) blocks.push(block)
    at = bytes.indexOf(BEGIN, at + (block?.bytes.length ?? BEGIN.length))
  }
  return blocks
}

function blockAt(bytes: Buffer, start: number): PemBlock | undefined {
  const labelStart = start + BEGIN.length
  const window = bytes.subarray(labelStart, labelStart + MAX_LABEL_BYTES + DASHES.length)
  const labelLength = window.indexOf(DASHES)
  if (labelLength === -1) return undefined
  const label = window.toString('latin1', 0, labelLength)
  if (!LABEL.test(label)) return undefined

  const bodyStart = labelStart + labelLength + DASHES.length
  const next = bytes.indexOf(BEGIN, bodyStart)
  const body = bytes.subarray(bodyStart, next === -1 ? bytes.length : next)
  const endLine = `-----END ${label}-----`
  const bodyLength = body.indexOf(endLine)
  if (bodyLength === -1) return undefined
  return {
    label,
    bytes: bytes.subarray(start, bodyStart + bodyLength + endLine.length),
    hasEncryptionHeader: body.subarray(0, bodyLength).includes('Proc-Type: 4,ENCRYPTED'),
  }
}
