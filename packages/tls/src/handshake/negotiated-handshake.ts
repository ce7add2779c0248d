// The first step of every handshake: the version. RFC 8446 §4.2.1, Appendix D.
import { refuse } from '../errors.ts'
import { serverHandshake12 } from '../handshake12/server-handshake12.ts'
import type { ServerContext } from '../server-context.ts'
import { type ClientHello, readClientHello } from './client-hello.ts'
import { maxVersionFor } from './negotiate.ts'
import { TLS12, TLS13 } from './protocol-version.ts'
import { CLIENT_HELLO } from './greeting.ts'
import { serverHandshake } from './server-handshake.ts'
import type { Established } from './session.ts'
import { type Handshake, type Steps, wantMessage } from './steps.ts'

/** Waits for a ClientHello, and goes on in the version it leads to. */
export function* negotiatedHandshake(handshake: Handshake): Steps<Established> {
  const { context, channel } = handshake
  const message = yield* wantMessage(CLIENT_HELLO)
  const hello = readClientHello(message.body)
  channel.helloReceived(hello)
  const version = selectVersion(hello, context)
  channel.versionSelected(version)
  const first = { hello, message }
  return yield* version === TLS12 ? serverHandshake12(handshake, first) : serverHandshake(handshake, first)
}

/** TLS_FALLBACK_SCSV. RFC 7507 §2. */
const TLS_FALLBACK_SCSV = 0x5600

/** RFC 8446 §4.2.1: where supported_versions is present, nothing else counts. */
function selectVersion(hello: ClientHello, context: ServerContext): typeof TLS12 | typeof TLS13 {
  const { supportedVersions, legacyVersion, cipherSuites } = hello
  const { minVersion } = context
  const maxVersion = maxVersionFor(hello, context)
  if (supportedVersions?.includes(TLS13) === true && maxVersion >= TLS13) return TLS13
  // RFC 7507 §3: the client says that it fell back from more, and we have more.
  if (cipherSuites.includes(TLS_FALLBACK_SCSV) && maxVersion >= TLS13)
    refuse('ERR_TLS_INAPPROPRIATE_FALLBACK', 'TLS_FALLBACK_SCSV below TLS 1.3')
  const offersTls12 = supportedVersions?.includes(TLS12) ?? legacyVersion >= TLS12
  if (offersTls12 && minVersion <= TLS12) return TLS12
  return refuse('ERR_TLS_PROTOCOL_VERSION', 'the client offers no version that is enabled')
}
