// The first words of a TLS 1.3 handshake: the client's hellos, and all that they decide before anything is signed.
// RFC 8446 §4.1.
import type { ClientAuthentication, ClientCertificatePolicy } from '../client-certificate/policy.ts'
import type { Credential } from '../credential/credential.ts'
import { refuse } from '../errors.ts'
import type { ExpectedMessage } from '../record/handshake-reassembler.ts'
import { admit } from './admit.ts'
import { type ClientHello, MAX_CLIENT_HELLO_BYTES, readClientHello } from './client-hello.ts'
import { HandshakeType } from './handshake-type.ts'
import { checkSecondHello } from './hello-retry.ts'
import type { GroupName } from './named-group.ts'
import { type Authentication, type Choice, negotiate, selectAuthentication } from './negotiate.ts'
import { type AcceptedTicket, acceptTicket, canResume, type Resumption } from './resumption.ts'
import { writeHelloRetryRequest } from './server-messages.ts'
import { type FirstHello, type Handshake, type Steps, wantMessage } from './steps.ts'
import { Transcript } from './transcript.ts'

export const CLIENT_HELLO: ExpectedMessage = {
  type: HandshakeType.client_hello,
  maxBytes: MAX_CLIENT_HELLO_BYTES,
  isExact: false,
}

/** All that is decided by the client's hellos, before anything is signed. */
export interface Greeting {
  readonly hello: ClientHello
  /** A copy: the hello is a view of received bytes that are gone after a wait. */
  readonly clientRandom: Uint8Array
  readonly choice: Choice & { readonly clientShare: Uint8Array }
  /** Of ClientHello, with what came before it if there was a retry. */
  readonly transcript: Transcript
  readonly usedHelloRetryRequest: boolean
  /** undefined: a full handshake. */
  readonly resumption: Resumption | undefined
  /** undefined: a resumption. */
  readonly authentication: Authentication | undefined
  readonly credential: Credential
  /** undefined: clients are not asked for a certificate. */
  readonly policy: ClientCertificatePolicy | undefined
  /** Whether tickets are of use to the client. */
  readonly canResume: boolean
}

/** RFC 8446 §4.1.2 – §4.1.4. */
export function* receiveClientHello(
  handshake: Handshake,
  { hello: firstHello, message: first }: FirstHello,
): Steps<Greeting> {
  const { context, channel } = handshake
  const firstChoice = negotiate(firstHello, context)
  // Of the server name, which a second hello cannot change.
  const policy = context.clientCertificates(firstHello)
  if (firstHello.hasEarlyData) channel.skipEarlyData(true)
  const transcript = new Transcript(firstChoice.suite.hash)
  if (firstChoice.clientShare !== undefined) {
    const choice = { ...firstChoice, clientShare: firstChoice.clientShare }
    return authenticate(
      handshake,
      { hello: firstHello, choice, policy, transcript, usedHelloRetryRequest: false },
      first.bytes,
    )
  }

  const ticket = acceptTicket(context, firstHello, firstChoice, policy, transcript, first.bytes)
  ticket?.early.wipe()
  // Before a round trip is spent on a client that cannot be served.
  if (ticket === undefined) selectAuthentication(firstHello, firstChoice.credentials, context)
  transcript.add(first.bytes)
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
  // §4.1.2: only what does not go with our choice may be dropped, and this one does.
  if (ticket !== undefined && hello.preSharedKey === undefined)
    refuse('ERR_TLS_MISSING_EXTENSION', 'pre_shared_key in the second ClientHello')
  channel.skipEarlyData(false)
  const choice = negotiate(hello, context)
  // Nothing that decides differs between the hellos but the share, so the choice is the same with a share.
  if (choice.clientShare === undefined || choice.suite.code !== firstChoice.suite.code) {
    return refuse('ERR_TLS_ILLEGAL_PARAMETER', 'second ClientHello leads to another choice')
  }
  const answered = { ...choice, clientShare: choice.clientShare }
  return authenticate(
    handshake,
    { hello, choice: answered, policy, transcript, usedHelloRetryRequest: true },
    second.bytes,
  )
}

/** By ticket if the client has one, else by certificate; then it is admitted, and the hello part of the transcript. */
function authenticate(
  handshake: Handshake,
  greeting: Pick<Greeting, 'hello' | 'choice' | 'policy' | 'transcript' | 'usedHelloRetryRequest'>,
  message: Uint8Array,
): Greeting {
  const { context } = handshake
  const { hello, choice, policy, transcript } = greeting
  const known = {
    ...greeting,
    clientRandom: new Uint8Array(hello.random),
    canResume: canResume(hello),
  }
  const ticket = acceptTicket(context, hello, choice, policy, transcript, message)
  transcript.add(message)
  const group = choice.group.name
  const resumption = ticket && resume(handshake, ticket, group)
  if (resumption !== undefined)
    return { ...known, resumption, authentication: undefined, credential: resumption.credential }
  const authentication = selectAuthentication(hello, choice.credentials, context)
  const { credential, delegated } = authentication
  // A delegated key is here.
  admit(handshake, { isResumed: false, group, keyOf: delegated === undefined ? credential : undefined })
  return { ...known, resumption, authentication, credential }
}

/** undefined: the client may not go on as who it was. Of what does not go on no secret stays behind. */
function resume(
  handshake: Handshake,
  { authorizeClient, ...ticket }: AcceptedTicket,
  group: GroupName,
): Resumption | undefined {
  let client: ClientAuthentication | undefined
  try {
    admit(handshake, { isResumed: true, group, keyOf: undefined })
    client = authorizeClient()
  } finally {
    if (client === undefined) ticket.early.wipe()
  }
  return client && { ...ticket, client }
}
