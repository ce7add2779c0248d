// The TLS 1.3 server handshake, in the order of RFC 8446 §2. It holds no socket and no promise: a generator that
// returns what it waits for and is resumed with it.
//
//     ClientHello ─▶ [HelloRetryRequest ─▶ ClientHello] ─▶ ServerHello … Certificate ─▶ signature asked for
//        ─▶ shared secret, handshake keys (while the signature travels) ─▶ CertificateVerify, Finished ─▶ Finished
import { writeCertificateRequest } from '../client-certificate/certificate-request.ts'
import { type ClientAuthentication, notShown } from '../client-certificate/policy.ts'
import { equalSecrets, type KeyExchange, verifySignature } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import { type Exporter, exporter13 } from '../exporter.ts'
import { logHandshakeSecrets, logTrafficSecrets } from '../key-log.ts'
import { MAX_INNER_PLAINTEXT_BYTES } from '../record/content-type.ts'
import { RecordProtection } from '../record/record-protection.ts'
import { receiveClientAuthentication } from './client-authentication.ts'
import { type Greeting, receiveClientHello } from './greeting.ts'
import { HandshakeType } from './handshake-type.ts'
import {
  HandshakeStage,
  hkdf,
  type MasterStage,
  type TrafficSecrets,
  wipeTrafficSecrets,
} from './key-schedule.ts'
import { sharedSecretOf } from './named-group.ts'
import type { Authentication, Choice } from './negotiate.ts'
import { newSessionTickets } from './resumption.ts'
import { SIGNATURE_SCHEMES } from './signature-scheme.ts'
import {
  certificateVerifyContent,
  writeCertificateVerify,
  writeEncryptedExtensions,
  writeFinished,
  writeServerHello,
} from './server-messages.ts'
import type { Established, Session } from './session.ts'
import { type FirstHello, type Handshake, type Steps, wantMessage, wantSignature } from './steps.ts'
import type { Transcript } from './transcript.ts'

/** From the first ClientHello, which offers TLS 1.3, on. */
export function* serverHandshake(handshake: Handshake, first: FirstHello): Steps<Established> {
  const { context, channel } = handshake
  const greeting = yield* receiveClientHello(handshake, first)
  const { hello, choice, transcript } = greeting
  const { resumption, authentication } = greeting
  const exchange = sendServerHello(handshake, greeting)
  const helloHash = transcript.digest()
  const encryptedExtensions = writeEncryptedExtensions({
    alpnProtocol: choice.alpnProtocol,
    hasServerName: hello.serverName !== '' && resumption === undefined,
    recordSizeLimit: hello.recordSizeLimit === undefined ? undefined : MAX_INNER_PLAINTEXT_BYTES,
  })
  transcript.add(encryptedExtensions)
  // RFC 8446 §4.3.2: not in a resumption.
  const policy = resumption === undefined ? greeting.policy : undefined
  const certificateRequest = policy === undefined ? undefined : writeCertificateRequest(policy)
  if (certificateRequest !== undefined) transcript.add(certificateRequest)
  const request =
    authentication === undefined ? undefined : askForSignature(handshake, greeting, authentication)
  const { master, secrets } = enterHandshakeStage(handshake, greeting, exchange, helloHash)
  logHandshakeSecrets(context.keyLog, greeting.clientRandom, secrets)
  if (hello.recordSizeLimit !== undefined) channel.limitRecords(hello.recordSizeLimit - CONTENT_TYPE_BYTES)
  let trafficSecrets: TrafficSecrets | undefined
  let exporter: Exporter | undefined
  let isEstablished = false
  // However it ends, also by a return() from outside while it waits, no secret stays behind.
  try {
    channel.sendHandshake(encryptedExtensions)
    if (certificateRequest !== undefined) channel.sendHandshake(certificateRequest)
    if (authentication !== undefined && request !== undefined) {
      channel.sendHandshake(request.certificate)
      const signature = yield* receiveSignature(handshake, authentication, request.content)
      sendCertificateVerify(handshake, authentication, transcript, signature)
    }
    const finishedHash = sendFinished(handshake, choice, transcript, secrets)
    trafficSecrets = enterTrafficStage(handshake, choice, finishedHash, master)
    const exporterSecret = master.exporterMasterSecret(finishedHash)
    exporter = exporter13(hkdf(choice.suite.hash), exporterSecret)
    logTrafficSecrets(context.keyLog, greeting.clientRandom, trafficSecrets, exporterSecret)
    const client =
      policy === undefined
        ? (resumption?.client ?? notShown(policy))
        : yield* receiveClientAuthentication(context, policy, transcript)
    const clientHash = policy === undefined ? finishedHash : transcript.digest()
    yield* receiveFinished(handshake, greeting, clientHash, secrets, trafficSecrets)
    sendTickets(handshake, greeting, client, master)
    isEstablished = true
    const traffic = { suite: choice.suite, secrets: trafficSecrets }
    return { session: sessionOf(greeting, client), traffic, exporter }
  } finally {
    master.wipe()
    wipeTrafficSecrets(secrets)
    if (!isEstablished && trafficSecrets !== undefined) wipeTrafficSecrets(trafficSecrets)
    if (!isEstablished) exporter?.wipe()
  }
}

/** RFC 8449 §4: the limit counts it. */
const CONTENT_TYPE_BYTES = 1

function sessionOf(
  { hello, choice, credential, authentication, resumption, usedHelloRetryRequest }: Greeting,
  client: ClientAuthentication,
): Session {
  return {
    ...client,
    protocol: 'TLSv1.3',
    serverName: hello.serverName,
    alpnProtocol: choice.alpnProtocol,
    cipherSuite: choice.suite.name,
    group: choice.group.name,
    isResumed: resumption !== undefined,
    signatureScheme: authentication?.scheme,
    credential,
    usedHelloRetryRequest,
    usedDelegatedCredential: authentication?.delegated !== undefined,
  }
}

/** RFC 8446 §4.1.3. The ephemeral key is used once, here. */
function sendServerHello(
  { context, channel }: Handshake,
  { hello, choice, transcript, resumption, usedHelloRetryRequest }: Greeting,
): KeyExchange {
  const exchange = context.exchangeKeys(choice.group, choice.clientShare)
  const serverHello = writeServerHello({
    random: context.random(32),
    legacySessionId: hello.legacySessionId,
    suite: choice.suite,
    group: choice.group,
    serverShare: exchange.share,
    selectedIdentity: resumption?.selectedIdentity,
  })
  transcript.add(serverHello)
  channel.sendHandshake(serverHello)
  // §D.4: once a connection, and only for clients that play middlebox compatibility.
  if (!usedHelloRetryRequest && hello.legacySessionId.length > 0) channel.sendChangeCipherSpec()
  return exchange
}

/**
 * The signature covers the transcript up to Certificate and not the shared secret: it is asked for now, and travels while
 * the secret is derived.
 *
 * @returns the Certificate message, which is part of what is signed and not yet sent, and what is signed.
 */
function askForSignature(
  { channel, clientAddress }: Handshake,
  { hello, transcript }: Greeting,
  { credential, scheme, certificateMessages, delegated }: Authentication,
): { certificate: Uint8Array; content: Uint8Array } {
  const certificate = certificateMessages.select(hello)
  transcript.add(certificate)
  const content = certificateVerifyContent(transcript.digest())
  if (delegated !== undefined) return { certificate, content }
  const request = {
    keyId: credential.keyId,
    scheme: SIGNATURE_SCHEMES[scheme].code,
    content,
    purpose: 'tls13-server-cv',
    serverName: hello.serverName,
    clientAddress,
    deadlineMs: 0,
  } as const
  channel.requestPrivateKey({ kind: 'sign', request }, credential)
  return { certificate, content }
}

/** RFC 8446 §7.1, down to the handshake traffic secrets, and both directions protected by them. */
function enterHandshakeStage(
  { channel }: Handshake,
  { choice, resumption }: Greeting,
  exchange: KeyExchange,
  helloHash: Uint8Array,
): { master: MasterStage; secrets: TrafficSecrets } {
  const stage = new HandshakeStage(
    hkdf(choice.suite.hash),
    sharedSecretOf(exchange, choice.group),
    resumption?.early,
  )
  const secrets = stage.trafficSecrets(helloHash)
  channel.protectWrites(new RecordProtection(choice.suite, secrets.server))
  channel.protectReads(new RecordProtection(choice.suite, secrets.client))
  return { master: stage.master(), secrets }
}

/** A delegated key is here. A wrong signature is the signer's failure, not the client's; it must not leave the process. */
function* receiveSignature(
  { context }: Handshake,
  { credential, scheme, delegated }: Authentication,
  content: Uint8Array,
): Steps<Uint8Array> {
  if (delegated !== undefined) return delegated.sign(content)
  const signature = yield* wantSignature()
  const { hash } = SIGNATURE_SCHEMES[scheme]
  // TLS 1.3 takes RSA signatures as PSS only.
  const isDue = context.signatureChecks.isDue(credential.publicKey.asymmetricKeyType)
  if (isDue && !verifySignature(credential.publicKey, { hash, pss: true }, content, signature)) {
    context.signatureChecks.foundWrong()
    refuse('ERR_TLS_SIGNER_WRONG', scheme)
  }
  return signature
}

/** RFC 8446 §4.4.3. */
function sendCertificateVerify(
  { channel }: Handshake,
  { scheme }: Authentication,
  transcript: Transcript,
  signature: Uint8Array,
): void {
  const certificateVerify = writeCertificateVerify(scheme, signature)
  transcript.add(certificateVerify)
  channel.sendHandshake(certificateVerify)
}

/** RFC 8446 §4.4.4. Returns the hash over ClientHello..server Finished: the traffic secrets need it. */
function sendFinished(
  { channel }: Handshake,
  { suite }: Choice,
  transcript: Transcript,
  secrets: TrafficSecrets,
): Uint8Array {
  const finished = writeFinished(hkdf(suite.hash).verifyData(secrets.server, transcript.digest()))
  transcript.add(finished)
  channel.sendHandshake(finished)
  return transcript.digest()
}

/** RFC 8446 §7.1: application keys for what we write; what we read changes with the client's Finished. */
function enterTrafficStage(
  { channel }: Handshake,
  { suite }: Choice,
  finishedHash: Uint8Array,
  master: MasterStage,
): TrafficSecrets {
  const trafficSecrets = master.trafficSecrets(finishedHash)
  channel.protectWrites(new RecordProtection(suite, trafficSecrets.server))
  return trafficSecrets
}

/** RFC 8446 §4.6.1: in one record, in front of the first application data; a packet of their own would cost as much as they do. */
function sendTickets(
  { context, channel }: Handshake,
  greeting: Greeting,
  client: ClientAuthentication,
  master: MasterStage,
): void {
  if (context.tickets === undefined || !greeting.canResume) return
  const { hello, choice, credential, resumption, transcript } = greeting
  const resumptionMasterSecret = master.resumptionMasterSecret(transcript.digest())
  const batch = {
    serverName: hello.serverName,
    suite: choice.suite,
    credential,
    client,
    resumptionMasterSecret,
    resumption,
  }
  channel.sendWithData({
    make: () => newSessionTickets(context, batch),
    wipe: () => resumptionMasterSecret.fill(0),
  })
}

/** The client's Finished, RFC 8446 §4.4.4; then application keys for what we read. */
function* receiveFinished(
  { channel }: Handshake,
  { choice: { suite }, transcript }: Greeting,
  transcriptHash: Uint8Array,
  secrets: TrafficSecrets,
  trafficSecrets: TrafficSecrets,
): Steps<void> {
  const kdf = hkdf(suite.hash)
  const expected = kdf.verifyData(secrets.client, transcriptHash)
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.finished,
    maxBytes: kdf.length,
    isExact: true,
  })
  if (!equalSecrets(body, expected)) refuse('ERR_TLS_DECRYPT', 'Finished does not verify')
  transcript.add(bytes)
  channel.protectReads(new RecordProtection(suite, trafficSecrets.client))
}
