// Finds the one private key in the bytes of a file, or says what is there instead.
import { DecodeError, Reader, DER_TAG, type DerElement, readDerElement } from '@latchkey/core'
import { KeysError, type KeysErrorDetail } from './errors.ts'
import { findPemBlocks, type PemBlock } from './pem.ts'

export interface EncodedKey {
  readonly format: 'PEM' | 'DER'
  /** Exactly the key, as a view. */
  readonly bytes: Buffer
  readonly isEncrypted: boolean
}

/** PKCS#8 (RFC 5958), encrypted PKCS#8, PKCS#1 (RFC 8017), SEC1 (RFC 5915). */
const KEY_LABELS: ReadonlySet<string> = new Set([
  'PRIVATE KEY',
  'ENCRYPTED PRIVATE KEY',
  'RSA PRIVATE KEY',
  'EC PRIVATE KEY',
])

/** What people put where a key should be, and what would help. */
const LABEL_HINTS: ReadonlyMap<string, string> = new Map([
  [
    'CERTIFICATE',
    'this is a certificate, not a key; the key is the file your CA client calls privkey.pem, or the one the CSR was made with',
  ],
  ['CERTIFICATE REQUEST', 'this is a certificate request; the key is the file it was made with'],
  ['NEW CERTIFICATE REQUEST', 'this is a certificate request; the key is the file it was made with'],
  ['PUBLIC KEY', 'this is the public half; the private half is needed'],
  ['RSA PUBLIC KEY', 'this is the public half; the private half is needed'],
  ['OPENSSH PRIVATE KEY', 'an SSH key: convert a copy with "ssh-keygen -p -m PKCS8 -f <copy>"'],
])

const EXPECTED = 'one private key: PEM or DER, PKCS#8, PKCS#1 or SEC1'
const PKCS12_VERSION = 3
/** A file may hold a long chain; an error names only its first blocks. */
const MAX_LABELS_NAMED = 4

/**
 * The key in `bytes`: the one PEM private-key block among any text, certificates and `EC PARAMETERS`, or DER and
 * nothing else.
 *
 * @throws {KeysError} ERR_KEYS_FORMAT naming `path`, what was found and a hint.
 */
export function locateKey(bytes: Buffer, path: string): EncodedKey {
  if (bytes.length === 0) throw noKey(path, { found: 'an empty file' })
  const blocks = findPemBlocks(bytes)
  if (blocks.length > 0) return keyBlock(blocks, path)
  if (bytes.includes('-----BEGIN ')) {
    throw noKey(path, { found: 'a PEM block without its END line', hint: 'the file may be cut short' })
  }
  return derKey(bytes, path)
}

function keyBlock(blocks: readonly PemBlock[], path: string): EncodedKey {
  const keys = blocks.filter((block) => KEY_LABELS.has(block.label))
  const [key, second] = keys
  if (key === undefined) {
    const labels = blocks.slice(0, MAX_LABELS_NAMED).map((block) => `"${block.label}"`)
    const more = blocks.length > MAX_LABELS_NAMED ? ', …' : ''
    const hinted = blocks.find((block) => LABEL_HINTS.has(block.label))
    throw noKey(path, {
      found: `PEM ${labels.join(', ')}${more}`,
      hint: hinted === undefined ? undefined : LABEL_HINTS.get(hinted.label),
    })
  }
  if (second !== undefined) {
    throw noKey(path, { found: `${keys.length} private keys`, hint: 'put each key into a file of its own' })
  }
  const isEncrypted = key.label === 'ENCRYPTED PRIVATE KEY' || key.hasEncryptionHeader
  return { format: 'PEM', bytes: key.bytes, isEncrypted }
}

/**
 * Tells DER forms apart by the first two fields of the outer SEQUENCE:
 * keys begin with an INTEGER version of 0 or 1, PKCS#12 (RFC 7292 §4) with 3; EncryptedPrivateKeyInfo is { SEQUENCE, OCTET STRING };
 * SubjectPublicKeyInfo { SEQUENCE, BIT STRING }; Certificate { SEQUENCE, SEQUENCE, BIT STRING }.
 */
function derKey(bytes: Buffer, path: string): EncodedKey {
  const fields = firstFields(bytes)
  if (fields === undefined) throw noKey(path, { found: `${bytes.length} bytes that are neither PEM nor DER` })
  const [{ tag: first, contents }, { tag: second }] = fields
  if (first === DER_TAG.integer && contents.at(-1) === PKCS12_VERSION) {
    throw noKey(path, {
      found: 'a PKCS#12 file',
      hint: 'take the key out with "openssl pkcs12 -in <file> -nocerts -out <key file>"',
    })
  }
  if (first === DER_TAG.integer) return { format: 'DER', bytes, isEncrypted: false }
  if (first === DER_TAG.sequence && second === DER_TAG.octetString)
    return { format: 'DER', bytes, isEncrypted: true }
  if (first === DER_TAG.sequence && second === DER_TAG.bitString) {
    throw noKey(path, { found: 'a DER public key', hint: LABEL_HINTS.get('PUBLIC KEY') })
  }
  if (first === DER_TAG.sequence && second === DER_TAG.sequence) {
    throw noKey(path, { found: 'a DER certificate or request', hint: LABEL_HINTS.get('CERTIFICATE') })
  }
  throw noKey(path, { found: 'DER that is no key' })
}

function firstFields(bytes: Uint8Array): readonly [DerElement, DerElement] | undefined {
  try {
    const outer = new Reader(bytes)
    const { tag, contents } = readDerElement(outer)
    outer.end()
    if (tag !== DER_TAG.sequence) return undefined
    const fields = new Reader(contents)
    return [readDerElement(fields), readDerElement(fields)]
  } catch (cause) {
    if (cause instanceof DecodeError) return undefined
    throw cause
  }
}

function noKey(path: string, detail: KeysErrorDetail): KeysError {
  return new KeysError('ERR_KEYS_FORMAT', { path, expected: EXPECTED, ...detail })
}
