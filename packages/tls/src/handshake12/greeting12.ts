// What the client's hello says to every TLS 1.2 handshake, full or resumed, and the ServerHello that answers it.
import type { Credential } from '../credential/credential.ts'
import type { Staples } from '../credential/stapling.ts'
import type { ClientHello } from '../handshake/client-hello.ts'
import { maxVersionFor, selectAlpnProtocol, selectTenant } from '../handshake/negotiate.ts'
import { type FirstHello, type Handshake, sendMessage } from '../handshake/steps.ts'
import { TLS13 } from '../handshake/protocol-version.ts'
import type { Transcript } from '../handshake/transcript.ts'
import type { ServerContext } from '../server-context.ts'
import { MAX_PLAINTEXT_BYTES } from '../record/content-type.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'
import { type HelloExtensions12, readHelloExtensions12 } from './hello-extensions12.ts'
import type { Randoms } from './master-secret.ts'
import { withDowngradeSentinel, writeServerHello12 } from './messages12.ts'

export interface Greeting12 {
  /** A view of received bytes: it dies with the first wait, as {@link message} and a ticket in {@link offered} do. */
  readonly hello: ClientHello
  /** The same as it came, header included. */
  readonly message: Uint8Array
  readonly offered: HelloExtensions12
  readonly serverName: string
  /** The highest version the client offers, in the old way: what an RSA-encrypted premaster secret begins with. */
  readonly clientVersion: number
  /** Those that answer to the name, in order of preference. */
  readonly credentials: readonly Credential[]
  readonly alpnProtocol: string | undefined
  readonly randoms: Randoms
}

/** @throws {TlsError} with the alert that says what was not in common. */
export function greet({ context }: Handshake, { hello, message }: FirstHello): Greeting12 {
  return {
    hello,
    message: message.bytes,
    offered: readHelloExtensions12(hello),
    serverName: hello.serverName,
    clientVersion: hello.legacyVersion,
    credentials: selectTenant(hello, context, 'ERR_TLS_HANDSHAKE_FAILURE'),
    alpnProtocol: selectAlpnProtocol(hello, context.alpnProtocols),
    randoms: {
      client: new Uint8Array(hello.random),
      server: serverRandom(context, maxVersionFor(hello, context)),
    },
  }
}

const RANDOM_BYTES = 32

/** RFC 8446 §4.1.3: where TLS 1.3 is on, a client that knows it too learns that somebody took it away. */
function serverRandom({ random }: ServerContext, maxVersion: number): Uint8Array {
  return maxVersion >= TLS13 ? withDowngradeSentinel(random(RANDOM_BYTES)) : random(RANDOM_BYTES)
}

/** RFC 5246 §7.4.1.3, RFC 5077 §3.4: who resumes gets its session id back, and not the server name (RFC 6066 §3). */
export function sendServerHello12(
  handshake: Handshake,
  { hello, offered, serverName, alpnProtocol, randoms }: Greeting12,
  transcript: Transcript,
  {
    suite,
    isResumed,
    hasSessionTicket,
    staples,
  }: { suite: CipherSuite12; isResumed: boolean; hasSessionTicket: boolean; staples: Staples },
): void {
  const serverHello = writeServerHello12({
    random: randoms.server,
    sessionId: isResumed ? hello.legacySessionId : new Uint8Array(0),
    suite,
    offered,
    alpnProtocol,
    hasServerName: serverName !== '' && !isResumed,
    hasSessionTicket,
    staples,
    recordSizeLimit: hello.recordSizeLimit === undefined ? undefined : MAX_PLAINTEXT_BYTES,
  })
  // RFC 8449 §4: it holds for protected records, of which there are none yet.
  if (hello.recordSizeLimit !== undefined) handshake.channel.limitRecords(hello.recordSizeLimit)
  sendMessage(handshake, transcript, serverHello)
}
