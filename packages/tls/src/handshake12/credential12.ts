// What TLS 1.2 needs of a certificate and its key, computed once.
import { type KeyObject, rsaModulus } from '../crypto-provider.ts'
import { NAMED_GROUPS } from '../handshake/named-group.ts'
import { isSchemeOf, SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'
import { writeCertificate12 } from './messages12.ts'

export interface Credential12 {
  /** The suites it goes with. */
  readonly authentication: CipherSuite12['authentication']
  /** What the key can sign with, best first: here RSA may do PKCS#1 v1.5, and ECDSA any hash with any curve. */
  readonly schemes: readonly SignatureSchemeName[]
  /** The NamedGroup of an ECDSA key's curve, which the client must know too. RFC 8422 §5.1. */
  readonly curve: number | undefined
  /** Of an RSA key, big-endian: what a ciphertext must be smaller than. Else empty. */
  readonly modulus: Uint8Array
  /** The encoded Certificate message. */
  readonly certificateMessage: Uint8Array
}

/** @param allowed what the key's home can do; undefined: everything its type allows. */
export function credential12(
  chain: readonly Uint8Array[],
  key: KeyObject,
  allowed: readonly SignatureSchemeName[] | undefined,
): Credential12 {
  const curve = key.asymmetricKeyDetails?.namedCurve
  return {
    authentication: key.asymmetricKeyType === 'rsa' ? 'rsa' : 'ecdsa',
    schemes: schemes12(key).filter((name) => allowed === undefined || allowed.includes(name)),
    curve: curve === undefined ? undefined : CURVES.get(curve),
    modulus: rsaModulus(key),
    certificateMessage: writeCertificate12(chain),
  }
}

/** As `node:crypto` names them. secp521r1 is a curve of certificates only: we exchange no keys on it. */
const CURVES: ReadonlyMap<string, number> = new Map([
  ['prime256v1', NAMED_GROUPS.secp256r1.code],
  ['secp384r1', NAMED_GROUPS.secp384r1.code],
  ['secp521r1', 0x0019],
])

/** In the order of the table: what TLS 1.3 would take before what it would not. */
function schemes12(key: KeyObject): SignatureSchemeName[] {
  const names = (Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]).filter((name) =>
    isSchemeOf(SIGNATURE_SCHEMES[name], key),
  )
  const curve = key.asymmetricKeyDetails?.namedCurve
  const isTls13 = (name: SignatureSchemeName): boolean => {
    const row = SIGNATURE_SCHEMES[name]
    return row.tls13 && (row.curve === undefined || row.curve === curve)
  }
  return [...names.filter(isTls13), ...names.filter((name) => !isTls13(name))]
}
