// The TLS 1.3 server handshake, in the order of RFC 8446 §2. It holds no socket and no promise: a generator that
// returns what it waits for and is resumed with it.
//
//     ClientHello ─▶ [HelloRetryRequest ─▶ ClientHello] ─▶ ServerHello … Certificate ─▶ signature asked for
//        ─▶ shared secret, handshake keys (while the signature travels) ─▶ CertificateVerify, Finished ─▶ Finished
import type { Credential } from '../credential/credential.ts'
import { equalSecrets, type KeyExchange, verifySignature } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { ExpectedMessage } from '../record/handshake-reassembler.ts'
import { RecordProtection } from '../record/record-protection.ts'
import type { ServerContext } from '../server-context.ts'
import type { SignRequest } from '../signer/signer.ts'
import type { CipherSuite, CipherSuiteName } from './cipher-suite.ts'
import { type ClientHello, MAX_CLIENT_HELLO_BYTES, readClientHello } from './client-hello.ts'
import { type HandshakeMessage, HandshakeType } from './handshake-type.ts'
import { checkSecondHello } from './hello-retry.ts'
import {
  HandshakeStage,
  hkdf,
  type MasterStage,
  type TrafficSecrets,
  wipeTrafficSecrets,
} from './key-schedule.ts'
import { type GroupName, sharedSecretOf } from './named-group.ts'
import { type Choice, negotiate } from './negotiate.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from './signature-scheme.ts'
import {
  certificateVerifyContent,
  writeCertificateVerify,
  writeEncryptedExtensions,
  writeFinished,
  writeHelloRetryRequest,
  writeServerHello,
} from './server-messages.ts'
import { Transcript } from './transcript.ts'

/** What the handshake cannot go on without. */
export type Want = ({ readonly want: 'message' } & ExpectedMessage) | { readonly want: 'signature' }

/** A step that may wait and then gives a T. */
export type Steps<T> = Generator<Want, T, HandshakeMessage | Uint8Array>

/** What the handshake does to the connection it runs in. */
export interface HandshakeChannel {
  /** The first ClientHello could be read. */
  helloReceived(hello: ClientHello): void
  /** Queues a message under the write keys of this moment. */
  sendHandshake(message: Uint8Array): void
  /** Queues the compatibility change_cipher_spec. RFC 8446 §D.4. */
  sendChangeCipherSpec(): void
  protectWrites(protection: RecordProtection): void
  protectReads(protection: RecordProtection): void
  /** Whether early data may still come, to be skipped. RFC 8446 §4.2.10. */
  skipEarlyData(isExpected: boolean): void
  /** Asks for the signature; the answer comes to the next `want: 'signature'`. */
  requestSignature(request: SignRequest): void
}

/** What was agreed. */
export interface Session {
  readonly serverName: string
  readonly alpnProtocol: string | undefined
  readonly cipherSuite: CipherSuiteName
  readonly group: GroupName
  readonly signatureScheme: SignatureSchemeName
  readonly credential: Credential
  readonly usedHelloRetryRequest: boolean
}

export interface Established {
  readonly session: Session
  readonly suite: CipherSuite
  readonly trafficSecrets: TrafficSecrets
}

interface Handshake {
  readonly context: ServerContext
  readonly channel: HandshakeChannel
  readonly clientAddress: string | undefined
}

export function* serverHandshake(handshake: Handshake): Steps<Established> {
  const { hello, choice, transcript, usedHelloRetryRequest } = yield* receiveClientHello(handshake)
  const exchange = sendServerHello(handshake, hello, choice, transcript, usedHelloRetryRequest)
  const encryptedExtensions = writeEncryptedExtensions({
    alpnProtocol: choice.alpnProtocol,
    hasServerName: hello.serverName !== '',
  })
  const helloHash = transcript.digest()
  transcript.add(encryptedExtensions)
  transcript.add(choice.credential.certificateMessage)
  // The signature covers the transcript up to Certificate and not the shared secret: ask now, derive meanwhile.
  const content = certificateVerifyContent(transcript.digest())
  requestSignature(handshake, hello, choice, content)
  const { master, secrets } = enterHandshakeStage(handshake, choice, exchange, helloHash)
  let trafficSecrets: TrafficSecrets | undefined
  let isEstablished = false
  // However it ends, also by a return() from outside while it waits, no secret stays behind.
  try {
    handshake.channel.sendHandshake(encryptedExtensions)
    handshake.channel.sendHandshake(choice.credential.certificateMessage)
    const signature = yield* wantSignature()
    checkSignature(handshake.context, choice, content, signature)
    trafficSecrets = finishServerFlight(handshake, choice, transcript, signature, secrets, master)
    yield* receiveFinished(handshake, choice, transcript, secrets, trafficSecrets)
    isEstablished = true
    return { session: sessionOf(hello, choice, usedHelloRetryRequest), suite: choice.suite, trafficSecrets }
  } finally {
    master.wipe()
    wipeTrafficSecrets(secrets)
    if (!isEstablished && trafficSecrets !== undefined) wipeTrafficSecrets(trafficSecrets)
  }
}

function sessionOf(hello: ClientHello, choice: Choice, usedHelloRetryRequest: boolean): Session {
  return {
    serverName: hello.serverName,
    alpnProtocol: choice.alpnProtocol,
    cipherSuite: choice.suite.name,
    group: choice.group.name,
    signatureScheme: choice.scheme,
    credential: choice.credential,
    usedHelloRetryRequest,
  }
}

const CLIENT_HELLO: ExpectedMessage = {
  type: HandshakeType.client_hello,
  maxBytes: MAX_CLIENT_HELLO_BYTES,
  isExact: false,
}

interface Greeting {
  readonly hello: ClientHello
  readonly choice: Choice & { readonly clientShare: Uint8Array }
  readonly transcript: Transcript
  readonly usedHelloRetryRequest: boolean
}

/** RFC 8446 §4.1.2 – §4.1.4. */
function* receiveClientHello({ context, channel }: Handshake): Steps<Greeting> {
  const first = yield* wantMessage(CLIENT_HELLO)
  const firstHello = readClientHello(first.body)
  channel.helloReceived(firstHello)
  const firstChoice = negotiate(firstHello, context)
  if (firstHello.hasEarlyData) channel.skipEarlyData(true)
  const transcript = new Transcript(firstChoice.suite.hash)
  transcript.add(first.bytes)
  if (firstChoice.clientShare !== undefined) {
    const choice = { ...firstChoice, clientShare: firstChoice.clientShare }
    return { hello: firstHello, choice, transcript, usedHelloRetryRequest: false }
  }

  const retry = writeHelloRetryRequest(firstHello.legacySessionId, firstChoice.suite, firstChoice.group)
  transcript.restartAfterRetry()
  transcript.add(retry)
  channel.sendHandshake(retry)
  if (firstHello.legacySessionId.length > 0) channel.sendChangeCipherSpec()
  // The first hello is a view of received bytes that are gone when the second comes.
  const kept = readClientHello(new Uint8Array(first.body))

  const second = yield* wantMessage(CLIENT_HELLO)
  const hello = readClientHello(second.body)
  checkSecondHello(kept, hello, firstChoice.group.code)
  channel.skipEarlyData(false)
  const choice = negotiate(hello, context)
  // Nothing that decides differs between the hellos but the share, so the choice is the same with a share.
  if (choice.clientShare === undefined || choice.suite.code !== firstChoice.suite.code) {
    return refuse('ERR_TLS_ILLEGAL_PARAMETER', 'second ClientHello leads to another choice')
  }
  transcript.add(second.bytes)
  return {
    hello,
    choice: { ...choice, clientShare: choice.clientShare },
    transcript,
    usedHelloRetryRequest: true,
  }
}

/** RFC 8446 §4.1.3. The ephemeral key is used once, here. */
function sendServerHello(
  { context, channel }: Handshake,
  hello: ClientHello,
  choice: Greeting['choice'],
  transcript: Transcript,
  isSecond: boolean,
) {
  const exchange = context.exchangeKeys(choice.group, choice.clientShare)
  const serverHello = writeServerHello({
    random: context.random(32),
    legacySessionId: hello.legacySessionId,
    suite: choice.suite,
    group: choice.group,
    serverShare: exchange.share,
  })
  transcript.add(serverHello)
  channel.sendHandshake(serverHello)
  // §D.4: once a connection, and only for clients that play middlebox compatibility.
  if (!isSecond && hello.legacySessionId.length > 0) channel.sendChangeCipherSpec()
  return exchange
}

function requestSignature(
  { channel, clientAddress }: Handshake,
  hello: ClientHello,
  choice: Choice,
  content: Uint8Array,
): void {
  channel.requestSignature({
    keyId: choice.credential.keyId,
    scheme: SIGNATURE_SCHEMES[choice.scheme].code,
    content,
    purpose: 'tls13-server-cv',
    serverName: hello.serverName,
    clientAddress,
    deadlineMs: 0,
  })
}

/** RFC 8446 §7.1, down to the handshake traffic secrets, and both directions protected by them. */
function enterHandshakeStage(
  { channel }: Handshake,
  choice: Greeting['choice'],
  exchange: KeyExchange,
  helloHash: Uint8Array,
): { master: MasterStage; secrets: TrafficSecrets } {
  const stage = new HandshakeStage(hkdf(choice.suite.hash), sharedSecretOf(exchange, choice.group))
  const secrets = stage.trafficSecrets(helloHash)
  channel.protectWrites(new RecordProtection(choice.suite, secrets.server))
  channel.protectReads(new RecordProtection(choice.suite, secrets.client))
  return { master: stage.master(), secrets }
}

/** A wrong signature is the signer's failure, not the client's; it must not leave the process. */
function checkSignature(
  context: ServerContext,
  { credential, scheme }: Choice,
  content: Uint8Array,
  signature: Uint8Array,
): void {
  if (!context.signatureChecks.isDue(credential.publicKey.asymmetricKeyType)) return
  const { hash } = SIGNATURE_SCHEMES[scheme]
  // TLS 1.3 takes RSA signatures as PSS only (RFC 8446 §4.4.3).
  if (verifySignature(credential.publicKey, { hash, pss: true }, content, signature)) return
  context.signatureChecks.foundWrong()
  refuse('ERR_TLS_SIGNER_WRONG', scheme)
}

/** CertificateVerify and Finished, RFC 8446 §4.4.3 and §4.4.4; then application keys for what we write. */
function finishServerFlight(
  { channel }: Handshake,
  choice: Choice,
  transcript: Transcript,
  signature: Uint8Array,
  secrets: TrafficSecrets,
  master: MasterStage,
): TrafficSecrets {
  const kdf = hkdf(choice.suite.hash)
  const certificateVerify = writeCertificateVerify(choice.scheme, signature)
  transcript.add(certificateVerify)
  channel.sendHandshake(certificateVerify)
  const finished = writeFinished(kdf.verifyData(secrets.server, transcript.digest()))
  transcript.add(finished)
  channel.sendHandshake(finished)
  const trafficSecrets = master.trafficSecrets(transcript.digest())
  channel.protectWrites(new RecordProtection(choice.suite, trafficSecrets.server))
  return trafficSecrets
}

/** The client's Finished, RFC 8446 §4.4.4; then application keys for what we read. */
function* receiveFinished(
  { channel }: Handshake,
  { suite }: Choice,
  transcript: Transcript,
  secrets: TrafficSecrets,
  trafficSecrets: TrafficSecrets,
): Steps<void> {
  const kdf = hkdf(suite.hash)
  const expected = kdf.verifyData(secrets.client, transcript.digest())
  const { body } = yield* wantMessage({ type: HandshakeType.finished, maxBytes: kdf.length, isExact: true })
  if (!equalSecrets(body, expected)) refuse('ERR_TLS_DECRYPT', 'Finished does not verify')
  channel.protectReads(new RecordProtection(suite, trafficSecrets.client))
}

// The two casts from what a generator may be resumed with to what was asked for: the connection keeps to the Want.

function* wantMessage(expected: ExpectedMessage): Steps<HandshakeMessage> {
  return (yield { want: 'message', ...expected }) as HandshakeMessage
}

function* wantSignature(): Steps<Uint8Array> {
  return (yield { want: 'signature' }) as Uint8Array
}
