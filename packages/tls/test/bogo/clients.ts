// Whether and how the runner's clients are asked for a certificate.
import {
  type ClientCertificatePolicy,
  SIGNATURE_SCHEMES,
  type SignatureSchemeName,
  TlsError,
} from '@latchkey/tls'
import { type Settings, Unimplemented } from './flags.ts'

/** undefined: they are not asked. */
export function clientCertificatePolicy(settings: Settings): ClientCertificatePolicy | undefined {
  const isRequired = settings['-require-any-client-certificate'] === true
  if (!isRequired && settings['-verify-peer'] !== true) return undefined
  return {
    isRequired,
    rejectUnauthorized: true,
    authorities: authorities(settings['-use-client-ca-list']),
    schemes: schemesOf(settings['-verify-prefs'] ?? DEFAULT_SCHEMES),
    // Any chain will do, or none. A callback of BoringSSL's caller may choose the alert.
    verify: () => {
      if (settings['-verify-fail'] !== true) return undefined
      const isChosen = settings['-use-custom-verify-callback'] === true
      return new TlsError(isChosen ? 'ERR_TLS_CERTIFICATE_UNKNOWN' : 'ERR_TLS_HANDSHAKE_FAILURE')
    },
  }
}

/** What BoringSSL takes where the runner says nothing: neither secp521r1 nor Ed25519. */
const DEFAULT_SCHEMES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]

/** Those that the engine has, as long as it has one. */
function schemesOf(codes: readonly number[]): SignatureSchemeName[] {
  const names = Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]
  const known = codes.flatMap((code) => names.filter((name) => SIGNATURE_SCHEMES[name].code === code))
  if (known.length === 0) throw new Unimplemented(`signature schemes ${codes.join()}`)
  return known
}

/** DER of Names in hexadecimal; `<NULL>` and `<EMPTY>` are none. */
function authorities(list: string | undefined): Uint8Array[] {
  if (list === undefined || list.startsWith('<')) return []
  return list.split(',').map((name) => Buffer.from(name, 'hex'))
}
