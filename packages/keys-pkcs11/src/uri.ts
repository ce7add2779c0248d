// PKCS#11 URIs, RFC 7512: which token in which module, which keys on it, and how to log in.
import { KeysError } from '@latchkey/keys'

export interface TokenName {
  readonly token?: string | undefined
  readonly serial?: string | undefined
  readonly slotId?: number | undefined
  readonly manufacturer?: string | undefined
  readonly model?: string | undefined
}

/** Without any: all private keys of the token. */
export interface ObjectName {
  /** CKA_ID */
  readonly id?: Uint8Array | undefined
  /** CKA_LABEL */
  readonly object?: string | undefined
}

export interface Pkcs11Uri extends TokenName, ObjectName {
  /** Exactly one of them. */
  readonly modulePath?: string | undefined
  readonly moduleName?: string | undefined
  /** At most one of them. */
  readonly pinValue?: string | undefined
  readonly pinSource?: string | undefined
  readonly maxSessions?: number | undefined
  /** PEM file with the public key or certificate, for tokens that keep neither. Not in the RFC. */
  readonly publicKey?: string | undefined
  /** The URI without a PIN. */
  readonly text: string
}

/** RFC 7512 §2.3. What is read and not used is there so that it is no error. */
const PATH_ATTRIBUTES: ReadonlySet<string> = new Set([
  'token',
  'manufacturer',
  'serial',
  'model',
  'library-manufacturer',
  'library-version',
  'library-description',
  'object',
  'type',
  'id',
  'slot-description',
  'slot-manufacturer',
  'slot-id',
])
const QUERY_ATTRIBUTES: ReadonlySet<string> = new Set([
  'pin-source',
  'pin-value',
  'module-name',
  'module-path',
  'max-sessions',
  'public-key',
])
/** Read, and of no use to anybody. */
const READ_ONLY = /^(?:library-|slot-[dm]|type)/
/** Everything else must be percent-encoded, RFC 7512 §2.3: `pk11-pchar`, `pk11-qchar`. */
const PATH_VALUE = /^[A-Za-z0-9\-._~:[\]@!$'()*+,=&%]*$/
const QUERY_VALUE = /^[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|;%]*$/
const MAX_URI = 8192

/**
 * Reads a PKCS#11 URI.
 *
 * @throws {KeysError} ERR_KEYS_URI; its text never holds the URI, which may have a PIN.
 * @example readPkcs11Uri('pkcs11:token=web;object=site?module-name=softhsm2&pin-source=/etc/keyless/pin')
 */
export function readPkcs11Uri(uri: string): Pkcs11Uri {
  const read = readModuleUri(uri)
  const { token, serial, slotId, manufacturer, model } = read
  if ([token, serial, slotId, manufacturer, model].every((part) => part === undefined)) {
    throw flaw('it names no token', 'add token=<label>, serial=<serial> or slot-id=<number>')
  }
  return read
}

/** The same, where no token need be named: for looking at all of a module's. @throws {KeysError} ERR_KEYS_URI */
export function readModuleUri(uri: string): Pkcs11Uri {
  if (uri.length > MAX_URI) throw flaw(`longer than ${MAX_URI} characters`)
  const [scheme, rest = ''] = split(uri, ':')
  if (scheme.toLowerCase() !== 'pkcs11') throw flaw('it does not begin with "pkcs11:"')
  const [pathText, queryText] = split(rest, '?')
  const path = attributes(pathText, ';', PATH_ATTRIBUTES, PATH_VALUE)
  const query = attributes(queryText ?? '', '&', QUERY_ATTRIBUTES, QUERY_VALUE)
  const text = (bytes: Buffer | undefined): string | undefined => bytes?.toString('utf8')
  const name: TokenName = {
    token: text(path.get('token')),
    serial: text(path.get('serial')),
    slotId: wholeNumber('slot-id', path.get('slot-id')),
    manufacturer: text(path.get('manufacturer')),
    model: text(path.get('model')),
  }
  const type = text(path.get('type'))
  if (type !== undefined && type !== 'private') throw flaw(`type=${type}`, 'a private key is needed')
  const modulePath = text(query.get('module-path'))
  const moduleName = text(query.get('module-name'))
  if ((modulePath === undefined) === (moduleName === undefined)) {
    throw flaw(
      'it must say one of module-path and module-name',
      'for instance ?module-path=/usr/lib/softhsm/libsofthsm2.so',
    )
  }
  const pinValue = text(query.get('pin-value'))
  const pinSource = text(query.get('pin-source'))
  // RFC 7512 §2.4: to be refused, for nobody can tell which one is meant.
  if (pinValue !== undefined && pinSource !== undefined) throw flaw('it says both pin-value and pin-source')
  const maxSessions = wholeNumber('max-sessions', query.get('max-sessions'))
  if (maxSessions === 0) throw flaw('max-sessions=0')
  return {
    ...name,
    id: path.get('id'),
    object: text(path.get('object')),
    modulePath,
    moduleName,
    pinValue,
    pinSource,
    maxSessions,
    publicKey: text(query.get('public-key')),
    text: withoutPin(uri),
  }
}

/** The URI without the value of its PIN. */
export function withoutPin(uri: string): string {
  return uri.replaceAll(/([?&;]pin-value=)[^&]*/gi, '$1…')
}

function attributes(
  text: string,
  separator: string,
  known: ReadonlySet<string>,
  form: RegExp,
): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const part of text === '' ? [] : text.split(separator)) {
    const [name, value] = split(part, '=')
    if (value === undefined) throw flaw('an attribute without a value')
    if (!known.has(name)) throw unknownAttribute(name, known, found.has('pin-value'))
    if (found.has(name)) throw flaw(`"${name}" is said twice`) // §2.3
    if (!form.test(value)) throw flaw(`"${name}" has a character that must be percent-encoded`)
    found.set(name, percentDecoded(value, name))
  }
  return found
}

/** What stands behind a PIN may be the rest of it: its name is not shown. */
function unknownAttribute(name: string, known: ReadonlySet<string>, isBehindPin: boolean): KeysError {
  if (isBehindPin) {
    return flaw(
      'an attribute behind pin-value is not known here',
      'a "&" in a PIN is written %26; better: pin-source',
    )
  }
  const useful = [...known].filter((each) => !READ_ONLY.test(each)).join(', ')
  return flaw(`the attribute "${printable(name)}" is not known here`, `known are ${useful}`)
}

/** To bytes: CKA_ID is no text. A plus is a plus. */
function percentDecoded(value: string, name: string): Buffer {
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) throw flaw(`"${name}" has a "%" without two hexadecimal digits`)
  const bytes = value.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}

function wholeNumber(name: string, bytes: Buffer | undefined): number | undefined {
  if (bytes === undefined) return undefined
  const text = bytes.toString('latin1')
  if (!/^\d{1,15}$/.test(text)) throw flaw(`"${name}" is not a number`)
  return Number(text)
}

/** At the first `separator`. */
function split(text: string, separator: string): [before: string, after?: string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)]
}

function printable(name: string): string {
  return name.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 40)
}

function flaw(detail: string, hint?: string): KeysError {
  return new KeysError('ERR_KEYS_URI', { path: 'PKCS#11 URI', detail, hint })
}
