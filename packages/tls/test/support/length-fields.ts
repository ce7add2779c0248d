// Where the length fields of a well-formed ClientHello are. RFC 8446 §4.1.2, §4.2.
import { EXTENSION } from './code-points.ts'

export interface LengthField {
  readonly name: string
  /** Offset in the body of the message. */
  readonly at: number
  readonly width: 1 | 2
  /** Inside the body of an extension. */
  readonly isInner: boolean
}

/** All length fields of `body`, outermost first. */
export function lengthFields(body: Uint8Array): LengthField[] {
  const fields: LengthField[] = []
  const read = (at: number, width: 1 | 2): number =>
    width === 1 ? (body[at] as number) : ((body[at] as number) << 8) | (body[at + 1] as number)
  /** Notes the field at `at`; gives the offset behind what it measures. */
  const note = (name: string, at: number, width: 1 | 2, isInner = false): number => {
    fields.push({ name, at, width, isInner })
    return at + width + read(at, width)
  }
  const inner = (name: string, at: number, width: 1 | 2): number => note(name, at, width, true)
  const suitesAt = note('session id', 34, 1)
  const compressionAt = note('cipher suites', suitesAt, 2)
  const extensionsAt = note('compression', compressionAt, 1)
  const end = note('extensions', extensionsAt, 2)
  for (let at = extensionsAt + 2; at < end; ) {
    const type = read(at, 2)
    const bodyAt = at + 4
    at = note(`extension ${type}`, at + 2, 2)
    if (type === EXTENSION.supported_versions) inner('versions', bodyAt, 1)
    else inner(`list of extension ${type}`, bodyAt, 2)
    if (type === EXTENSION.server_name) inner('host name', bodyAt + 3, 2)
    if (type === EXTENSION.alpn) for (let name = bodyAt + 2; name < at; ) name = inner('ALPN name', name, 1)
    if (type === EXTENSION.key_share)
      for (let share = bodyAt + 2; share < at; ) share = inner('share', share + 2, 2)
  }
  return fields
}
