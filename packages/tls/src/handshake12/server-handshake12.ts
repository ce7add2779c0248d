// The TLS 1.2 server handshake, in the order of RFC 5246 §7.3 with the key exchange of RFC 8422. A generator, as that of
// TLS 1.3.
//
//     ClientHello ─▶ signature asked for ─▶ ServerHello, Certificate ─▶ ServerKeyExchange, ServerHelloDone
//        ─▶ ClientKeyExchange, [ChangeCipherSpec], Finished ─▶ [ChangeCipherSpec], Finished
import { equalSecrets, type EphemeralKey, verifySignature } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { hkdf } from '../handshake/key-schedule.ts'
import { checkShare, sharedSecretOf } from '../handshake/named-group.ts'
import { writeFinished } from '../handshake/server-messages.ts'
import type { Established, Session } from '../handshake/session.ts'
import { SIGNATURE_SCHEMES } from '../handshake/signature-scheme.ts'
import {
  type FirstHello,
  type Handshake,
  type Steps,
  wantChangeCipherSpec,
  wantMessage,
  wantSignature,
} from '../handshake/steps.ts'
import { Transcript } from '../handshake/transcript.ts'
import { RecordProtection12 } from '../record/record-protection12.ts'
import { type HelloExtensions12, readHelloExtensions12 } from './hello-extensions12.ts'
import { MasterSecret, type Randoms, VERIFY_DATA_BYTES } from './master-secret.ts'
import {
  ecdhParameters,
  keyExchangeContent,
  readClientKeyExchange,
  SERVER_HELLO_DONE,
  withDowngradeSentinel,
  writeServerHello12,
  writeServerKeyExchange,
} from './messages12.ts'
import { type Choice12, negotiate12 } from './negotiate12.ts'

export function* serverHandshake12(handshake: Handshake, first: FirstHello): Steps<Established> {
  const { channel } = handshake
  const greeting = greet(handshake, first)
  const { choice, transcript, randoms } = greeting
  admit(handshake, choice)
  const key = choice.group.generate()
  const parameters = ecdhParameters(choice.group, key.share)
  const content = keyExchangeContent(randoms, parameters)
  // The signature covers the randoms and our share only: it is asked for before anything else is done.
  requestSignature(handshake, greeting, content)
  sendServerHello(handshake, greeting)
  const signature = yield* wantSignature()
  sendServerKeyExchange(handshake, greeting, { parameters, content, signature })
  const master = yield* receiveClientKeyExchange(greeting, key)
  const keys = master.keys(choice.suite, randoms)
  const reads = new RecordProtection12(choice.suite, keys.client)
  const writes = new RecordProtection12(choice.suite, keys.server)
  let isEstablished = false
  // However it ends, also by a return() from outside while it waits, no secret stays behind.
  try {
    yield* wantChangeCipherSpec()
    channel.protectReads(reads)
    yield* receiveFinished(greeting, master)
    channel.sendChangeCipherSpec()
    channel.protectWrites(writes)
    channel.sendHandshake(writeFinished(master.verifyData('server', transcript.digest())))
    isEstablished = true
    return { session: sessionOf(greeting), traffic: undefined }
  } finally {
    master.wipe()
    if (!isEstablished) {
      reads.wipe()
      writes.wipe()
    }
  }
}

/** All that is decided by the client's hello. */
interface Greeting {
  readonly serverName: string
  readonly offered: HelloExtensions12
  readonly choice: Choice12
  readonly transcript: Transcript
  readonly randoms: Randoms
}

function greet({ context }: Handshake, { hello, message }: FirstHello): Greeting {
  const offered = readHelloExtensions12(hello)
  const choice = negotiate12(hello, context)
  const transcript = new Transcript(choice.suite.hash)
  transcript.add(message.bytes)
  const randoms = {
    // A copy: the hello is a view of received bytes that are gone when the next message comes.
    client: new Uint8Array(hello.random),
    // RFC 8446 §4.1.3: there is no listener without TLS 1.3.
    server: withDowngradeSentinel(context.random(RANDOM_BYTES)),
  }
  return { serverName: hello.serverName, offered, choice, transcript, randoms }
}

const RANDOM_BYTES = 32

/** Everything that is free has been checked: from here on the client costs us. */
function admit({ context, clientAddress }: Handshake, { group }: Choice12): void {
  const refusal = context.admission.refusal({ isResumed: false, group: group.name, clientAddress })
  if (refusal !== undefined) refuse('ERR_TLS_NOT_ADMITTED', refusal)
}

function sessionOf({ serverName, choice }: Greeting): Session {
  return {
    protocol: 'TLSv1.2',
    serverName,
    alpnProtocol: choice.alpnProtocol,
    cipherSuite: choice.suite.name,
    group: choice.group.name,
    isResumed: false,
    signatureScheme: choice.scheme,
    credential: choice.credential,
    usedHelloRetryRequest: false,
  }
}

function requestSignature(
  { channel, clientAddress }: Handshake,
  { serverName, choice }: Greeting,
  content: Uint8Array,
): void {
  channel.requestSignature({
    keyId: choice.credential.keyId,
    scheme: SIGNATURE_SCHEMES[choice.scheme].code,
    content,
    purpose: 'tls12-ske',
    serverName,
    clientAddress,
    deadlineMs: 0,
  })
}

/** ServerHello and Certificate, RFC 5246 §7.4.1.3 and §7.4.2: they do not wait for the signature. */
function sendServerHello({ channel }: Handshake, greeting: Greeting): void {
  const { serverName, offered, choice, transcript, randoms } = greeting
  const serverHello = writeServerHello12({
    random: randoms.server,
    suite: choice.suite,
    offered,
    alpnProtocol: choice.alpnProtocol,
    hasServerName: serverName !== '',
  })
  const { certificateMessage } = choice.credential.tls12
  for (const message of [serverHello, certificateMessage]) {
    transcript.add(message)
    channel.sendHandshake(message)
  }
}

/** RFC 8422 §5.4. A wrong signature is the signer's failure, not the client's; it must not leave the process. */
function sendServerKeyExchange(
  { context, channel }: Handshake,
  { choice: { credential, scheme }, transcript }: Greeting,
  { parameters, content, signature }: Record<'parameters' | 'content' | 'signature', Uint8Array>,
): void {
  const { hash, keyType, tls13 } = SIGNATURE_SCHEMES[scheme]
  const isDue = context.signatureChecks.isDue(credential.publicKey.asymmetricKeyType)
  const pss = keyType === 'rsa' && tls13
  if (isDue && !verifySignature(credential.publicKey, { hash, pss }, content, signature)) {
    context.signatureChecks.foundWrong()
    refuse('ERR_TLS_SIGNER_WRONG', scheme)
  }
  for (const message of [writeServerKeyExchange(parameters, scheme, signature), SERVER_HELLO_DONE]) {
    transcript.add(message)
    channel.sendHandshake(message)
  }
}

/** RFC 8422 §5.7, then the master secret: extended (RFC 7627) where the client knows it. */
function* receiveClientKeyExchange(
  { offered, choice, transcript, randoms }: Greeting,
  key: EphemeralKey,
): Steps<MasterSecret> {
  const { group, suite } = choice
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.client_key_exchange,
    maxBytes: 1 + group.shareBytes,
    isExact: true,
  })
  const point = readClientKeyExchange(body)
  checkShare(group, point)
  transcript.add(bytes)
  const premaster = sharedSecretOf({ sharedSecret: () => key.sharedSecret(point) }, group)
  const kdf = hkdf(suite.hash)
  return offered.hasExtendedMasterSecret
    ? MasterSecret.extended(kdf, premaster, transcript.digest())
    : MasterSecret.ofRandoms(kdf, premaster, randoms)
}

/** The client's Finished. RFC 5246 §7.4.9. */
function* receiveFinished({ transcript }: Greeting, master: MasterSecret): Steps<void> {
  const expected = master.verifyData('client', transcript.digest())
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.finished,
    maxBytes: VERIFY_DATA_BYTES,
    isExact: true,
  })
  if (!equalSecrets(body, expected)) refuse('ERR_TLS_DECRYPT', 'Finished does not verify')
  transcript.add(bytes)
}
