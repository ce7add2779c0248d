// The public half of a key on a token: some keep it in the private object, some in one beside it, some in a certificate
// only, and some nowhere.
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { KeysError } from '@latchkey/keys'
import { CK, type Cryptoki, type Handle } from './cryptoki.ts'
import { attribute, findObjects, ulong } from './objects.ts'

/** Object identifiers in DER, as CKA_EC_PARAMS has them, and the curve's name in a JWK. */
const CURVES: ReadonlyMap<string, { readonly crv: string; readonly bytes: number }> = new Map([
  ['06082a8648ce3d030107', { crv: 'P-256', bytes: 32 }],
  ['06052b81040022', { crv: 'P-384', bytes: 48 }],
  ['06052b81040023', { crv: 'P-521', bytes: 66 }],
])
/** RFC 8410's identifier, and the PrintableString that older modules write. */
const ED25519_PARAMS: ReadonlySet<string> = new Set(['06032b6570', '130c656477617264733235353139'])
/** SubjectPublicKeyInfo up to the point, RFC 5480 and RFC 8410. */
const P224_SPKI = Buffer.from('304e301006072a8648ce3d020106052b81040021033a00', 'hex')
const P224_PARAMS = '06052b81040021'
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const MAX_FILE = 1 << 20

export interface KeyObjectName {
  readonly id: Buffer | undefined
  readonly label: string | undefined
}

/** What lies on a token beside private keys, read once for all of them. */
export class PublicHalves {
  readonly #cryptoki: Cryptoki
  readonly #byId = new Map<string, KeyObject[]>()
  readonly #byLabel = new Map<string, KeyObject[]>()

  constructor(cryptoki: Cryptoki, session: Handle) {
    this.#cryptoki = cryptoki
    for (const objectClass of [CK.CKO_PUBLIC_KEY, CK.CKO_CERTIFICATE]) {
      for (const object of findObjects(cryptoki, session, [{ type: CK.CKA_CLASS, value: objectClass }])) {
        const key =
          objectClass === CK.CKO_PUBLIC_KEY
            ? publicHalfOf(cryptoki, session, object)
            : certifiedKey(attribute(cryptoki, session, object, CK.CKA_VALUE))
        if (key !== undefined) this.#add(objectName(cryptoki, session, object), key)
      }
    }
  }

  /**
   * What may be the public half of this private key, most likely first: which it is, a signature shows. Two objects may
   * have one label, and even one CKA_ID.
   */
  candidates(session: Handle, privateKey: Handle, { id, label }: KeyObjectName): KeyObject[] {
    const own = publicHalfOf(this.#cryptoki, session, privateKey)
    if (own !== undefined) return [own]
    const keyType = keyTypeOf(this.#cryptoki, session, privateKey)
    const byId = id === undefined ? [] : (this.#byId.get(id.toString('hex')) ?? [])
    const byLabel = label === undefined ? [] : (this.#byLabel.get(label) ?? [])
    return distinct([...byId, ...byLabel]).filter((key) => isOfType(key, keyType))
  }

  #add({ id, label }: KeyObjectName, key: KeyObject): void {
    const put = (map: Map<string, KeyObject[]>, name: string): void => {
      map.set(name, [...(map.get(name) ?? []), key])
    }
    if (id !== undefined) put(this.#byId, id.toString('hex'))
    if (label !== undefined) put(this.#byLabel, label)
  }
}

export function objectName(cryptoki: Cryptoki, session: Handle, object: Handle): KeyObjectName {
  return {
    id: attribute(cryptoki, session, object, CK.CKA_ID),
    label: attribute(cryptoki, session, object, CK.CKA_LABEL)?.toString('utf8'),
  }
}

/** @throws {KeysError} ERR_KEYS_UNREADABLE, ERR_KEYS_PUBLIC_KEY */
export function publicKeyFile(path: string): KeyObject {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    const detail = (cause as NodeJS.ErrnoException).code
    throw new KeysError('ERR_KEYS_UNREADABLE', { path, detail, cause })
  }
  try {
    if (bytes.length > MAX_FILE) throw new RangeError('too long')
    return createPublicKey(bytes) // of a certificate as well
  } catch (cause) {
    throw new KeysError('ERR_KEYS_PUBLIC_KEY', {
      path,
      expected: 'the public key or the certificate of the private key, PEM',
      cause,
    })
  }
}

/** What the object says of its public half; undefined: nothing that is understood. */
function publicHalfOf(cryptoki: Cryptoki, session: Handle, object: Handle): KeyObject | undefined {
  const read = (type: number): Buffer | undefined => attribute(cryptoki, session, object, type)
  try {
    switch (keyTypeOf(cryptoki, session, object)) {
      case CK.CKK_RSA: {
        const [n, e] = [read(CK.CKA_MODULUS), read(CK.CKA_PUBLIC_EXPONENT)]
        return n === undefined || e === undefined ? spki(read(CK.CKA_PUBLIC_KEY_INFO)) : rsaKey(n, e)
      }
      case CK.CKK_EC:
      case CK.CKK_EC_EDWARDS: {
        const [params, point] = [read(CK.CKA_EC_PARAMS), read(CK.CKA_EC_POINT)]
        return params === undefined || point === undefined
          ? spki(read(CK.CKA_PUBLIC_KEY_INFO))
          : ecKey(params, point)
      }
      default:
        return undefined
    }
  } catch (cause) {
    if (cause instanceof KeysError) throw cause
    return undefined // numbers that make no key
  }
}

export function keyTypeOf(cryptoki: Cryptoki, session: Handle, object: Handle): number | undefined {
  const value = attribute(cryptoki, session, object, CK.CKA_KEY_TYPE)
  return value === undefined ? undefined : ulong(value)
}

function isOfType({ asymmetricKeyType }: KeyObject, keyType: number | undefined): boolean {
  const types: Readonly<Record<number, string>> = { [CK.CKK_RSA]: 'rsa', [CK.CKK_EC]: 'ec' }
  // Modules before PKCS #11 v3.0 have Edwards keys as CKK_EC too.
  return keyType === undefined || types[keyType] === asymmetricKeyType || asymmetricKeyType === 'ed25519'
}

function spki(der: Buffer | undefined): KeyObject | undefined {
  return der === undefined ? undefined : createPublicKey({ key: der, format: 'der', type: 'spki' })
}

function certifiedKey(der: Buffer | undefined): KeyObject | undefined {
  try {
    return der === undefined ? undefined : new X509Certificate(der).publicKey
  } catch {
    return undefined
  }
}

function rsaKey(n: Buffer, e: Buffer): KeyObject {
  const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }
  return createPublicKey({ key: jwk, format: 'jwk' })
}

function ecKey(params: Buffer, wrapped: Buffer): KeyObject | undefined {
  const name = params.toString('hex')
  if (ED25519_PARAMS.has(name)) {
    const point = unwrapped(wrapped, 32)
    return point === undefined ? undefined : spki(Buffer.concat([ED25519_SPKI, point]))
  }
  if (name === P224_PARAMS) {
    const point = unwrapped(wrapped, 57)
    return point === undefined ? undefined : spki(Buffer.concat([P224_SPKI, point]))
  }
  const curve = CURVES.get(name)
  const point = curve === undefined ? undefined : unwrapped(wrapped, 1 + 2 * curve.bytes)
  if (curve === undefined || point?.[0] !== 4) return undefined
  const x = point.subarray(1, 1 + curve.bytes).toString('base64url')
  const y = point.subarray(1 + curve.bytes).toString('base64url')
  return createPublicKey({ key: { kty: 'EC', crv: curve.crv, x, y }, format: 'jwk' })
}

/** CKA_EC_POINT is an OCTET STRING around the point by the standard, and the bare point with some modules. */
function unwrapped(bytes: Buffer, length: number): Buffer | undefined {
  if (bytes.length === length) return bytes
  const header = length < 0x80 ? [0x04, length] : [0x04, 0x81, length]
  const isWrapped = bytes.length === header.length + length && header.every((byte, at) => bytes[at] === byte)
  return isWrapped ? bytes.subarray(header.length) : undefined
}

function distinct(keys: readonly KeyObject[]): KeyObject[] {
  return keys.filter((key, index) => !keys.slice(0, index).some((earlier) => earlier.equals(key)))
}
