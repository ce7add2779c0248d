// Which keys a client may sign with, and in which way: what their verification costs is bounded here.
import type { KeyObject } from '../crypto-provider.ts'
import { TLS13 } from '../handshake/protocol-version.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import type { ClientCertificatePolicy } from './policy.ts'

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']
/** 112 bits of security, RFC 9325 §4.5; and half a millisecond. */
const RSA_BITS = { min: 2048, max: 8192 } as const
/** Verification takes one squaring a bit of it; everybody uses 65537. */
const MAX_RSA_EXPONENT = 0xffff_ffffn

/** Of a client or of a CA: whether we verify signatures of such a key. */
export function isAcceptableKey(key: KeyObject): boolean {
  const { namedCurve, modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return (
        modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max && publicExponent <= MAX_RSA_EXPONENT
      )
    case 'ec':
      return CURVES.includes(namedCurve)
    case 'ed25519':
      return true
    default:
      return false
  }
}

const ALL = Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]

/**
 * What a CertificateRequest offers: first what both versions sign with. PKCS#1 v1.5 is also there in TLS 1.3, where it
 * means certificates only (RFC 8446 §4.2.3).
 */
export function offeredSchemes({ schemes = ALL }: ClientCertificatePolicy): readonly SignatureSchemeName[] {
  const isTls13 = (name: SignatureSchemeName): boolean => SIGNATURE_SCHEMES[name].tls13
  return [...schemes.filter(isTls13), ...schemes.filter((name) => !isTls13(name))]
}

/** In TLS 1.3 ECDSA schemes are bound to a curve, and RSA signs as PSS only. RFC 8446 §4.2.3. */
export function fitsKey(scheme: SignatureSchemeName, key: KeyObject, version: number): boolean {
  const { keyType, curve, tls13 } = SIGNATURE_SCHEMES[scheme]
  if (key.asymmetricKeyType !== keyType) return false
  if (version !== TLS13) return true
  return tls13 && (curve === undefined || curve === key.asymmetricKeyDetails?.namedCurve)
}
