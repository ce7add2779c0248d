// What a handshake waits for, and what it does to the connection it runs in: the seam between the generators and the
// connection, for both versions.
import type { Credential } from '../credential/credential.ts'
import type { ExpectedMessage } from '../record/handshake-reassembler.ts'
import type { Protection } from '../record/protection.ts'
import type { ServerContext } from '../server-context.ts'
import type { PrivateKeyOperation } from '../signer/signer.ts'
import type { ClientHello } from './client-hello.ts'
import type { HandshakeMessage } from './handshake-type.ts'
import type { TLS12, TLS13 } from './protocol-version.ts'
import type { Transcript } from './transcript.ts'

/** What the handshake cannot go on without. */
export type Want =
  | { readonly want: 'message'; readonly expected: ExpectedMessage }
  | { readonly want: 'private_key_answer'; readonly holdsInput: boolean }
  /** TLS 1.2 only: in TLS 1.3 the record has no meaning. */
  | { readonly want: 'change_cipher_spec' }

/** A step that may wait and then gives a T. */
export type Steps<T> = Generator<Want, T, HandshakeMessage | Uint8Array>

/** Messages that are made when they are sent, from a secret that is wiped if they never are. */
export interface LateMessages {
  make(): readonly Uint8Array[]
  wipe(): void
}

/** What the handshake does to the connection it runs in. */
export interface HandshakeChannel {
  /** The first ClientHello could be read. */
  helloReceived(hello: ClientHello): void
  /** From here on the rules of this version hold for records and alerts. */
  versionSelected(version: typeof TLS12 | typeof TLS13): void
  /** Queues a message under the write keys of this moment. */
  sendHandshake(message: Uint8Array): void
  /** Asked for once, in front of the first application data; never if the client has said goodbye before. */
  sendWithData(late: LateMessages): void
  /** Queues a change_cipher_spec: the one of TLS 1.2, or that of middlebox compatibility. RFC 8446 §D.4. */
  sendChangeCipherSpec(): void
  /** Most content and padding of a protected record to this client. RFC 8449 §4. */
  limitRecords(bytes: number): void
  protectWrites(protection: Protection): void
  protectReads(protection: Protection): void
  /** Whether early data may still come, to be skipped. RFC 8446 §4.2.10. */
  skipEarlyData(isExpected: boolean): void
  /** The one private-key operation; the answer comes to the next `want: 'private_key_answer'`. */
  requestPrivateKey(operation: PrivateKeyOperation, credential: Credential): void
}

/** What a handshake runs with. */
export interface Handshake {
  readonly context: ServerContext
  readonly channel: HandshakeChannel
  readonly clientAddress: string | undefined
}

/** The client's first message, from which the version is chosen. Views of received bytes. */
export interface FirstHello {
  readonly hello: ClientHello
  readonly message: HandshakeMessage
}

/** Sends a message that the transcript covers. */
export function sendMessage({ channel }: Handshake, transcript: Transcript, message: Uint8Array): void {
  transcript.add(message)
  channel.sendHandshake(message)
}

// The casts from what a generator may be resumed with to what was asked for: the connection keeps to the Want.

export function* wantMessage(expected: ExpectedMessage): Steps<HandshakeMessage> {
  return (yield { want: 'message', expected }) as HandshakeMessage
}

/** @param options `holdsInput`: the client goes on meanwhile, and what it sends is for whoever comes after the answer. */
export function* wantPrivateKeyAnswer({ holdsInput }: { holdsInput: boolean }): Steps<Uint8Array> {
  return (yield { want: 'private_key_answer', holdsInput }) as Uint8Array
}

export function* wantSignature(): Steps<Uint8Array> {
  return yield* wantPrivateKeyAnswer({ holdsInput: false })
}

export function* wantChangeCipherSpec(): Steps<void> {
  yield { want: 'change_cipher_spec' }
}
