// The TLS 1.2 server handshake, in the order of RFC 5246 §7.3. A generator, as that of TLS 1.3.
//
//     full:     ClientHello ─▶ signature asked for ─▶ ServerHello, Certificate ─▶ ServerKeyExchange, ServerHelloDone
//                  ─▶ ClientKeyExchange, Finished ─▶ Finished
//     RSA:      ClientHello ─▶ ServerHello, Certificate, ServerHelloDone ─▶ ClientKeyExchange ─▶ decryption asked for
//                  ─▶ Finished ─▶ Finished
//     resumed:  ClientHello ─▶ ServerHello, Finished ─▶ Finished
import { writeCertificateRequest12 } from '../client-certificate/certificate-request.ts'
import {
  type ClientAuthentication,
  type ClientCertificatePolicy,
  notShown,
} from '../client-certificate/policy.ts'
import { requestedStaples } from '../credential/stapling.ts'
import { admit } from '../handshake/admit.ts'
import { hkdf } from '../handshake/key-schedule.ts'
import type { Established, Session } from '../handshake/session.ts'
import { type FirstHello, type Handshake, sendMessage, type Steps } from '../handshake/steps.ts'
import { Transcript } from '../handshake/transcript.ts'
import { receiveCertificate12, receiveCertificateVerify12 } from './client-authentication12.ts'
import { offerShare, receiveShare, sendServerKeyExchange } from './ecdhe-key-exchange.ts'
import { exchangeFinished } from './finished12.ts'
import { greet, type Greeting12, sendServerHello12 } from './greeting12.ts'
import { MasterSecret } from './master-secret.ts'
import { SERVER_HELLO_DONE, writeCertificateStatus } from './messages12.ts'
import { type Choice12, negotiate12 } from './negotiate12.ts'
import { receiveEncryptedPremaster } from './rsa-key-exchange.ts'
import { acceptTicket12, canTicket, type Resumption12 } from './resumption12.ts'

export function* serverHandshake12(handshake: Handshake, first: FirstHello): Steps<Established> {
  const { context } = handshake
  const greeting = greet(handshake, first)
  const { hello, offered, credentials } = greeting
  const policy = context.clientCertificates(hello)
  const resumption = acceptTicket12(context, hello, offered, credentials, policy)
  if (resumption !== undefined) {
    try {
      admit(handshake, { isResumed: true, group: undefined, keyOf: undefined })
      const client = resumption.authorizeClient()
      if (client !== undefined) return yield* resumedHandshake(handshake, greeting, resumption, client)
    } finally {
      resumption.master.wipe()
    }
  }
  const choice = negotiate12(hello, context, credentials)
  admit(handshake, { isResumed: false, group: choice.ecdhe?.group.name, keyOf: choice.credential })
  return yield* fullHandshake(handshake, greeting, choice, policy)
}

/** @param policy undefined: the client is not asked for a certificate. */
function* fullHandshake(
  handshake: Handshake,
  greeting: Greeting12,
  choice: Choice12,
  policy: ClientCertificatePolicy | undefined,
): Steps<Established> {
  const { suite, credential, ecdhe } = choice
  const { hello, offered, serverName, randoms } = greeting
  const staples = requestedStaples(hello, credential.staples)
  const hasSessionTicket = canTicket(handshake.context, offered)
  const transcript = new Transcript(suite.hash, { keepsMessages: policy !== undefined })
  transcript.add(greeting.message)
  const share = ecdhe && offerShare(handshake, greeting, credential, ecdhe)
  // ServerHello and Certificate do not wait for the signature.
  sendServerHello12(handshake, greeting, transcript, {
    suite,
    isResumed: false,
    hasSessionTicket,
    staples,
  })
  sendMessage(handshake, transcript, credential.tls12.certificateMessage)
  if (staples.ocsp !== undefined) sendMessage(handshake, transcript, writeCertificateStatus(staples.ocsp))
  if (share !== undefined) yield* sendServerKeyExchange(handshake, transcript, credential, share)
  if (policy !== undefined) sendMessage(handshake, transcript, writeCertificateRequest12(policy))
  sendMessage(handshake, transcript, SERVER_HELLO_DONE)
  const presented = policy && (yield* receiveCertificate12(handshake.context, policy, transcript))
  const isFollowed = presented !== undefined
  const premaster = yield* share === undefined
    ? receiveEncryptedPremaster(handshake, greeting, transcript, choice, { isFollowed })
    : receiveShare(transcript, share, { isFollowed })
  const master = masterSecret(greeting, choice, premaster, transcript)
  const isBound = offered.hasExtendedMasterSecret
  const client = presented?.authentication ?? notShown(policy)
  const session = { serverName, credential, client, fullHandshakeAtMs: undefined }
  const ticketed = hasSessionTicket ? session : undefined
  try {
    if (policy !== undefined && presented !== undefined)
      yield* receiveCertificateVerify12(policy, presented, transcript)
    const agreed = { suite, randoms, transcript, master, ticketed, isBound } as const
    const exporter = yield* exchangeFinished(handshake, agreed, 'client')
    return { session: sessionOf(greeting, choice, client, choice), traffic: undefined, exporter }
  } finally {
    master.wipe()
  }
}

/** Extended (RFC 7627 §4) where the client knows it. @param premaster wiped here */
function masterSecret(
  { offered, randoms }: Greeting12,
  { suite }: Choice12,
  premaster: Uint8Array,
  transcript: Transcript,
): MasterSecret {
  const kdf = hkdf(suite.hash)
  return offered.hasExtendedMasterSecret
    ? MasterSecret.extended(kdf, premaster, transcript.digest())
    : MasterSecret.ofRandoms(kdf, premaster, randoms)
}

/** The abbreviated handshake of RFC 5077 §3.1: nothing asymmetric, nothing signed. */
function* resumedHandshake(
  handshake: Handshake,
  greeting: Greeting12,
  { suite, master, credential, fullHandshakeAtMs, isRenewalDue }: Resumption12,
  client: ClientAuthentication,
): Steps<Established> {
  const { serverName, randoms } = greeting
  const transcript = new Transcript(suite.hash)
  transcript.add(greeting.message)
  sendServerHello12(handshake, greeting, transcript, {
    suite,
    isResumed: true,
    hasSessionTicket: isRenewalDue,
    staples: {},
  })
  const ticketed = isRenewalDue ? { serverName, credential, client, fullHandshakeAtMs } : undefined
  const agreed = { suite, randoms, transcript, master, ticketed, isBound: true }
  const exporter = yield* exchangeFinished(handshake, agreed, 'server')
  return {
    session: sessionOf(greeting, { suite, credential }, client, undefined),
    traffic: undefined,
    exporter,
  }
}

/** @param choice undefined: a resumption. */
function sessionOf(
  { serverName, alpnProtocol }: Greeting12,
  { suite, credential }: Pick<Choice12, 'suite' | 'credential'>,
  client: ClientAuthentication,
  choice: Choice12 | undefined,
): Session {
  return {
    ...client,
    protocol: 'TLSv1.2',
    serverName,
    alpnProtocol,
    cipherSuite: suite.name,
    group: choice?.ecdhe?.group.name,
    isResumed: choice === undefined,
    signatureScheme: choice?.ecdhe?.scheme,
    credential,
    usedHelloRetryRequest: false,
    usedDelegatedCredential: false,
  }
}
