// One TLS server connection without a socket: bytes and signatures in, bytes and events out. No timer, no promise.
//
// ```mermaid
// stateDiagram-v2
//   handshaking --> established: client Finished verified
//   handshaking --> closed: failure, alert, transport end
//   established --> closed: both close_notify, failure, alert, transport end
// ```
//
// What may cross: the private-key operation may be answered inside handlers.privateKeyOperation (a local key) or any time
// later, also after the connection has closed. Each has an id that is answered once; a second, late or unknown answer is
// dropped. What a client sends while its premaster secret is decrypted waits here, unread.
import { alertName, type AlertName, WARNING, writeAlert } from './alert.ts'
import { type TlsErrorCode, TlsError, refuse } from './errors.ts'
import type { ConnectionHandlers } from './connection-handlers.ts'
import type { Exporter } from './exporter.ts'
import type { CipherSuite } from './handshake/cipher-suite.ts'
import { type Fingerprint, fingerprint } from './handshake/fingerprint.ts'
import { type HandshakeMessage, HandshakeType } from './handshake/handshake-type.ts'
import { hkdf, wipeTrafficSecrets } from './handshake/key-schedule.ts'
import { negotiatedHandshake } from './handshake/negotiated-handshake.ts'
import { TLS12, type TLS13 } from './handshake/protocol-version.ts'
import { writeKeyUpdate } from './handshake/server-messages.ts'
import type { Established } from './handshake/session.ts'
import type { HandshakeChannel, LateMessages, Steps } from './handshake/steps.ts'
import { ContentType, MAX_PLAINTEXT_BYTES } from './record/content-type.ts'
import { type ExpectedMessage, HandshakeReassembler } from './record/handshake-reassembler.ts'
import { HeldInput } from './record/held-input.ts'
import { readInnerPlaintext } from './record/inner-plaintext.ts'
import { Patience } from './record/patience.ts'
import type { Protection } from './record/protection.ts'
import { RecordDeframer, type TlsRecord } from './record/record-deframer.ts'
import { RecordProtection } from './record/record-protection.ts'
import { type RecordSizing, recordSizing } from './record/record-sizing.ts'
import { fillRecords, RecordWriter } from './record/record-writer.ts'
import type { ServerContext } from './server-context.ts'
import { PrivateKeyCall } from './signer/private-key-call.ts'

const KEY_UPDATE: ExpectedMessage = { type: HandshakeType.key_update, maxBytes: 1, isExact: true }

type Phase =
  | { readonly phase: 'handshaking'; readonly steps: Steps<Established>; waiting: Waiting }
  | { readonly phase: 'established'; traffic: Established['traffic'] }
  | { readonly phase: 'closed' }

type Waiting =
  | { readonly for: 'message'; readonly expected: ExpectedMessage }
  | { readonly for: 'private_key_answer'; readonly holdsInput: boolean }
  | { readonly for: 'change_cipher_spec' }
  /** The steps are running right now. */
  | { readonly for: 'nothing' }

export class ServerConnection {
  readonly #context: ServerContext
  readonly #handlers: ConnectionHandlers
  readonly #deframer = new RecordDeframer()
  readonly #reassembler = new HandshakeReassembler()
  readonly #channel: HandshakeChannel
  #phase: Phase
  /** undefined: no ClientHello has come yet. */
  #version: typeof TLS12 | typeof TLS13 | undefined
  #readProtection: Protection | undefined
  readonly #writer: RecordWriter
  readonly #sizing: RecordSizing
  // What can wait for the first application bytes, and saves a packet of its own.
  #late: LateMessages | undefined
  #call: PrivateKeyCall | undefined
  #lastCallId = 0
  readonly #held = new HeldInput()
  readonly #patience = new Patience()
  #exporter: Exporter | undefined
  #serverName = ''
  #fingerprint: Fingerprint | undefined
  #hasDecrypted = false
  #hasSeenClientHello = false
  #owesKeyUpdate = false
  #readEnded = false
  #writeEnded = false

  constructor(
    context: ServerContext,
    handlers: ConnectionHandlers,
    peer: { readonly clientAddress?: string | undefined } = {},
  ) {
    this.#context = context
    this.#handlers = handlers
    this.#writer = new RecordWriter(context.padding)
    this.#sizing = recordSizing(context.recordSizing)
    this.#channel = this.#createChannel(context)
    const steps = negotiatedHandshake({ context, channel: this.#channel, clientAddress: peer.clientAddress })
    this.#phase = { phase: 'handshaking', steps, waiting: { for: 'nothing' } }
    this.#run(() => this.#advance(undefined))
  }

  /** What the client asked for, once its hello was read; empty if it named no server. */
  get serverName(): string {
    return this.#serverName
  }

  /** Of the ClientHello, if the context asks for it. */
  get fingerprint(): Fingerprint | undefined {
    return this.#fingerprint
  }

  /** Whether a whole ClientHello has come. */
  get hasReceivedHello(): boolean {
    return this.#hasSeenClientHello
  }

  get isEstablished(): boolean {
    return this.#phase.phase === 'established'
  }

  get isClosed(): boolean {
    return this.#phase.phase === 'closed'
  }

  /** Bytes from the transport, split anywhere. Nothing is kept of `bytes` but what is copied. */
  receive(bytes: Uint8Array): void {
    if (this.isClosed || this.#readEnded) return
    this.#run(() => {
      if (this.#holdsInput) this.#held.push(bytes.slice())
      else this.#receiveRecords(bytes)
    })
  }

  /** The answer to a `privateKeyOperation`: a signature, or a premaster secret, which belongs to the connection now. */
  privateKeyAnswered(id: number, answer: Uint8Array): void {
    this.#answerOperation(id, answer)
  }

  /** A `privateKeyOperation` failed: the client gets internal_error, the reason stays here. */
  privateKeyFailed(
    id: number,
    cause?: unknown,
    code: 'ERR_TLS_SIGNER' | 'ERR_TLS_SIGNER_TIMEOUT' = 'ERR_TLS_SIGNER',
  ): void {
    this.#answerOperation(id, new TlsError(code, { cause }))
  }

  /** Application data; legal once established. Small chunks share a record. */
  send(chunks: readonly Uint8Array[]): void {
    if (this.#phase.phase !== 'established' || this.#writeEnded) return
    this.#run(() => {
      this.#sendLate()
      this.#sizing.begin(this.#context.monotonicClock)
      fillRecords(
        chunks,
        () => Math.min(this.#writer.maxBytes, this.#sizing.next()),
        (pieces) => this.#sealApplicationData(pieces),
      )
    })
  }

  /** Whether session tickets wait for application data to travel with. */
  get owesTickets(): boolean {
    return this.#late !== undefined
  }

  /** Sends the session tickets that wait for application data: a client may wait for them before it says anything. */
  sendTickets(): void {
    if (this.#late === undefined || this.#writeEnded || this.#readEnded) return
    this.#run(() => this.#sendLate())
  }

  /**
   * Keying material bound to this connection. RFC 8446 §7.5, RFC 5705.
   *
   * @throws {TypeError} if the connection is not established, or is one of TLS 1.2 without extended_master_secret, which
   * binds nothing (RFC 7627 §5.4).
   * @throws {RangeError} if the label or the length is out of range.
   */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    if (this.#exporter === undefined) throw new TypeError('this connection has no keying material to export')
    return this.#exporter.export(label, context, length)
  }

  /** Sends close_notify: nothing more will be written. Before the handshake is done it drops the connection. */
  close(): void {
    if (this.isClosed || this.#writeEnded) return
    this.#run(() => {
      if (!this.#readEnded) this.#sendLate()
      this.#writeEnded = true
      this.#sendAlert('close_notify')
      if (this.#readEnded || this.#phase.phase === 'handshaking') this.#finish(undefined)
    })
  }

  /** Ends the connection from this side, with the alert of `code` if it has one. */
  fail(code: TlsErrorCode, detail?: string): void {
    if (this.isClosed) return
    this.#run(() => {
      throw new TlsError(code, { detail })
    })
  }

  /** The transport has no more bytes: orderly only after close_notify. */
  transportEnded(): void {
    if (this.isClosed || this.#readEnded) return
    const established = this.#phase.phase === 'established'
    this.fail(
      established ? 'ERR_TLS_TRUNCATED' : 'ERR_TLS_TRANSPORT',
      established ? undefined : 'the client closed during the handshake',
    )
  }

  /** The one place where anything thrown becomes an alert, and where what was produced leaves. */
  #run(work: () => void): void {
    try {
      work()
      // A handler may have ended the connection from inside: what was produced after that goes nowhere.
      if (this.isClosed) return
      if (this.#holdsFlight) return
      this.#writer.flushQueued()
    } catch (error) {
      if (this.isClosed) return
      this.#fail(error instanceof TlsError ? error : new TlsError('ERR_TLS_INTERNAL', { cause: error }))
    }
    this.#flushOut()
  }

  #fail(error: TlsError): void {
    // What is queued was meant for keys that may never exist: the client must not see a ServerHello whose keys cannot be.
    this.#writer.dropUnsent()
    if (error.alert !== undefined && !this.#writeEnded) this.#sendAlert(error.alert)
    this.#finish(error)
  }

  #finish(error: TlsError | undefined): void {
    const call = this.#call
    this.#call = undefined
    this.#held.take()
    call?.end()
    this.#flushOut()
    this.#late?.wipe()
    this.#late = undefined
    const phase = this.#phase
    this.#phase = { phase: 'closed' }
    if (phase.phase === 'established' && phase.traffic !== undefined)
      wipeTrafficSecrets(phase.traffic.secrets)
    // Steps that are running right now (a handler ended the connection from inside) are ended when they come back.
    if (phase.phase === 'handshaking' && phase.waiting.for !== 'nothing') endSteps(phase.steps)
    this.#readProtection?.wipe()
    this.#readProtection = undefined
    this.#exporter?.wipe()
    this.#exporter = undefined
    this.#writer.wipe()
    if (call !== undefined) this.#handlers.cancelPrivateKeyOperation(call.id)
    this.#handlers.closed(error)
  }

  // ── handshake ───────────────────────────────────────────────────────────────────────────────────────────────────

  #advance(answer: HandshakeMessage | Uint8Array | undefined): void {
    const phase = this.#phase
    if (phase.phase !== 'handshaking') return
    let next = answer
    for (;;) {
      phase.waiting = { for: 'nothing' }
      // The first call of a generator takes no answer.
      const step = phase.steps.next(next as HandshakeMessage | Uint8Array)
      if (this.isClosed) break
      if (step.done === true) {
        this.#establish(step.value)
        return
      }
      if (step.value.want === 'message') {
        phase.waiting = { for: 'message', expected: step.value.expected }
        return
      }
      if (step.value.want === 'change_cipher_spec') {
        phase.waiting = { for: 'change_cipher_spec' }
        return
      }
      next = this.#takeAnswer()
      if (next === undefined) {
        phase.waiting = { for: 'private_key_answer', holdsInput: step.value.holdsInput }
        return
      }
    }
    endSteps(phase.steps)
  }

  #answerOperation(id: number, answer: Uint8Array | TlsError): void {
    const call = this.#call
    if (call?.id !== id || !call.answer(answer)) return
    const phase = this.#phase
    // From inside handlers.privateKeyOperation the steps are still running: they take the answer when they get there.
    if (phase.phase !== 'handshaking' || phase.waiting.for !== 'private_key_answer') return
    this.#run(() => {
      this.#advance(this.#takeAnswer())
      this.#receiveHeld()
    })
  }

  get #holdsFlight(): boolean {
    return this.#call?.flushesEarly === false
  }

  /** undefined: it has not come. */
  #takeAnswer(): Uint8Array | undefined {
    const call = this.#call
    if (call?.isAnswered !== true) return undefined
    this.#call = undefined
    return call.result()
  }

  #establish({ session, traffic, exporter }: Established): void {
    this.#phase = { phase: 'established', traffic }
    this.#exporter = exporter
    // The handler may write at once: our Finished goes first.
    this.#writer.flushQueued()
    this.#handlers.established(session)
  }

  #createChannel({ fingerprints }: ServerContext): HandshakeChannel {
    return {
      helloReceived: (hello) => {
        this.#serverName = hello.serverName
        if (fingerprints) this.#fingerprint = fingerprint(hello)
      },
      versionSelected: (version) => {
        this.#version = version
      },
      sendHandshake: (message) => this.#writer.queue(message),
      sendWithData: (late) => {
        this.#late = late
      },
      sendChangeCipherSpec: () => this.#writer.changeCipherSpec(),
      limitRecords: (bytes) => this.#writer.limitProtected(bytes),
      protectWrites: (protection) => this.#protectWrites(protection),
      protectReads: (protection) => this.#protectReads(protection),
      skipEarlyData: (isExpected) => this.#patience.expectEarlyData(isExpected),
      requestPrivateKey: (operation, credential) => {
        const id = ++this.#lastCallId
        this.#call = new PrivateKeyCall(id, credential, this.#context)
        this.#handlers.privateKeyOperation(id, operation)
      },
    }
  }

  // ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #receiveRecords(bytes: Uint8Array): void {
    this.#deframer.push(bytes)
    while (!this.isClosed && !this.#readEnded) {
      if (this.#holdsInput) return this.#held.push(this.#deframer.takeRest())
      const record = this.#deframer.next()
      if (record === undefined) return
      this.#receiveRecord(record)
    }
  }

  get #holdsInput(): boolean {
    const phase = this.#phase
    return (
      phase.phase === 'handshaking' && phase.waiting.for === 'private_key_answer' && phase.waiting.holdsInput
    )
  }

  #receiveHeld(): void {
    const held = this.#held.take()
    this.#receiveMessages()
    for (const bytes of held) this.#receiveRecords(bytes)
  }

  #receiveRecord(record: TlsRecord): void {
    if (this.#version === TLS12) return this.#receiveRecord12(record)
    if (record.type === ContentType.change_cipher_spec) return this.#receiveChangeCipherSpec(record.fragment)
    if (record.type === ContentType.application_data) return this.#receiveProtected(record)
    if (this.#readProtection === undefined) return this.#receiveContent(record.type, record.fragment)
    // A client that could not make sense of our ServerHello has no keys to say so with.
    if (record.type === ContentType.alert && !this.#hasDecrypted && record.fragment.length === 2) {
      return this.#receiveAlert(record.fragment)
    }
    refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'unprotected record after keys are on')
  }

  /** RFC 8446 §5, §D.4: one byte 1, between the first ClientHello and the client's Finished, and of no meaning. */
  #receiveChangeCipherSpec(fragment: Uint8Array): void {
    const isLegal =
      this.#phase.phase === 'handshaking' &&
      this.#hasSeenClientHello &&
      this.#reassembler.isEmpty &&
      fragment.length === 1 &&
      fragment[0] === 1
    if (!isLegal) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'change_cipher_spec')
    this.#patience.changeCipherSpec()
  }

  /** RFC 5246 §6.2: the header says what is inside, and everything is protected once keys are on. */
  #receiveRecord12({ type, header, fragment }: TlsRecord): void {
    const version = ((header[1] as number) << 8) | (header[2] as number)
    if (version !== TLS12) refuse('ERR_TLS_PROTOCOL_VERSION', `record of version 0x${version.toString(16)}`)
    if (type === ContentType.change_cipher_spec) return this.#receiveChangeCipherSpec12(fragment)
    const protection = this.#readProtection
    if (protection === undefined) return this.#receiveContent(type, fragment)
    const content = protection.open(header, fragment)
    if (content === undefined) throw new TlsError('ERR_TLS_BAD_RECORD_MAC')
    if (content.length > MAX_PLAINTEXT_BYTES)
      refuse('ERR_TLS_RECORD_OVERFLOW', `content of ${content.length} bytes`)
    this.#receiveContent(type, content)
  }

  /** RFC 5246 §7.1: once, between ClientKeyExchange and Finished. While it is waited for, no message is let in. */
  #receiveChangeCipherSpec12(fragment: Uint8Array): void {
    const phase = this.#phase
    if (phase.phase !== 'handshaking' || phase.waiting.for !== 'change_cipher_spec')
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'change_cipher_spec')
    if (fragment.length !== 1 || fragment[0] !== 1)
      refuse('ERR_TLS_ILLEGAL_PARAMETER', 'change_cipher_spec is not one byte 1')
    this.#advance(undefined)
  }

  #receiveProtected({ header, fragment }: TlsRecord): void {
    const protection = this.#readProtection
    // After a HelloRetryRequest the client's early data comes before its second hello, under keys we do not have.
    const inner = protection?.open(header, fragment)
    if (inner === undefined) {
      this.#skipEarlyData(header.length + fragment.length)
      return
    }
    this.#hasDecrypted = true
    const { type, content } = readInnerPlaintext(inner)
    this.#receiveContent(type, content)
  }

  /** RFC 8446 §4.2.10: what a client sent as early data before it learned that we take none. */
  #skipEarlyData(bytes: number): void {
    if (!this.#patience.expectsEarlyData || this.#hasDecrypted) {
      if (this.#readProtection === undefined)
        refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'protected record before keys are on')
      throw new TlsError('ERR_TLS_BAD_RECORD_MAC')
    }
    if (!this.#reassembler.isEmpty) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'record inside a handshake message')
    this.#patience.earlyData(bytes)
  }

  #receiveContent(type: number, content: Uint8Array): void {
    if (type === ContentType.handshake) return this.#receiveHandshake(content)
    // RFC 8446 §5.1: nothing may come between the fragments of one handshake message.
    if (!this.#reassembler.isEmpty) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'record inside a handshake message')
    if (type === ContentType.alert) return this.#receiveAlert(content)
    if (this.#phase.phase !== 'established')
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'application data before Finished')
    if (content.length === 0) return this.#patience.emptyRecord()
    this.#patience.dataCame()
    this.#handlers.data(content)
  }

  #receiveHandshake(content: Uint8Array): void {
    if (content.length === 0) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'empty handshake record')
    if (this.#version === TLS12 && this.#phase.phase === 'established')
      refuseRenegotiation(content[0] as number)
    this.#reassembler.push(content)
    this.#receiveMessages()
  }

  #receiveMessages(): void {
    for (;;) {
      if (this.#holdsInput) return this.#reassembler.hold()
      const expected = this.#expected()
      const message = this.#reassembler.next(expected)
      if (message === undefined) return
      if (!this.#reassembler.isEmpty && expected?.isFollowed !== true)
        refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'bytes after a message that changes keys')
      if (this.#phase.phase === 'established') this.#receiveKeyUpdate(message.body)
      else this.#advanceHandshake(message)
    }
  }

  #advanceHandshake(message: HandshakeMessage): void {
    this.#hasSeenClientHello = true
    this.#advance(message)
  }

  /** The one handshake message that this state takes. */
  #expected(): ExpectedMessage | undefined {
    const phase = this.#phase
    if (phase.phase === 'established') return KEY_UPDATE
    return phase.phase === 'handshaking' && phase.waiting.for === 'message'
      ? phase.waiting.expected
      : undefined
  }

  #protectReads(protection: Protection): void {
    this.#readProtection?.wipe()
    this.#readProtection = protection
    if (this.isClosed) protection.wipe()
  }

  /** RFC 8446 §4.6.3. */
  #receiveKeyUpdate(body: Uint8Array): void {
    const phase = this.#phase
    if (phase.phase !== 'established' || phase.traffic === undefined) return
    const { suite, secrets } = phase.traffic
    const request = body[0] as number
    if (request > 1) refuse('ERR_TLS_ILLEGAL_PARAMETER', `KeyUpdate request ${request}`)
    this.#patience.keyUpdate()
    const client = nextSecret(suite, secrets.client)
    phase.traffic = { suite, secrets: { ...secrets, client } }
    this.#protectReads(new RecordProtection(suite, client))
    if (request === 1) this.#owesKeyUpdate = true
  }

  /** RFC 8446 §6: close_notify is the orderly end. */
  #receiveAlert(content: Uint8Array): void {
    if (content.length === 0) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'empty alert record')
    if (content.length !== 2) refuse('ERR_TLS_DECODE', `alert of ${content.length} bytes`)
    const name = alertName(content[1] as number)
    if (this.#isWarning(content[0] as number, name)) return
    if (name !== 'close_notify') refuse('ERR_TLS_PEER_ALERT', name)
    if (this.#phase.phase === 'handshaking') refuse('ERR_TLS_PEER_ALERT', 'close_notify during the handshake')
    this.#readEnded = true
    this.#handlers.ended()
    if (this.#writeEnded) this.#finish(undefined)
  }

  /** In TLS 1.3 only user_canceled says nothing (RFC 8446 §6); in TLS 1.2 the level tells (RFC 5246 §7.2). */
  #isWarning(level: number, name: string): boolean {
    if (this.#version !== TLS12) return name === 'user_canceled' && this.#patience.toleratesUserCanceled()
    if (level !== WARNING || name === 'close_notify') return false
    this.#patience.warning(name)
    return true
  }

  // ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #sealApplicationData(pieces: readonly Uint8Array[]): void {
    if (this.#owesKeyUpdate || this.#writer.isWorn) this.#updateWriteKeys()
    this.#writer.seal(ContentType.application_data, pieces)
  }

  /** Several requests of the client share one answer. RFC 8446 §4.6.3. */
  #updateWriteKeys(): void {
    const phase = this.#phase
    if (phase.phase !== 'established') return
    // TLS 1.2 could only renegotiate.
    if (phase.traffic === undefined) throw new TlsError('ERR_TLS_KEYS_WORN')
    const { suite, secrets } = phase.traffic
    this.#owesKeyUpdate = false
    this.#writer.seal(ContentType.handshake, [writeKeyUpdate(false)])
    const server = nextSecret(suite, secrets.server)
    phase.traffic = { suite, secrets: { ...secrets, server } }
    this.#protectWrites(new RecordProtection(suite, server))
  }

  #protectWrites(protection: Protection): void {
    this.#writer.protect(protection)
    if (this.isClosed) this.#writer.wipe()
  }

  #sendAlert(name: AlertName): void {
    this.#writer.seal(ContentType.alert, [writeAlert(name)])
  }

  /** Sends what has waited for application data. */
  #sendLate(): void {
    if (this.#late === undefined) return
    for (const message of this.#late.make()) this.#writer.queue(message)
    this.#late = undefined
    this.#writer.flushQueued()
  }

  #flushOut(): void {
    const out = this.#writer.take()
    if (out.length > 0) this.#handlers.write(out)
  }
}

/** Lets the handshake wipe what it knows. */
function endSteps(steps: Steps<Established>): void {
  // What a generator that is returned from outside gives is looked at by nobody.
  steps.return(undefined as unknown as Established)
}

/** TLS 1.2 has no message that may come after the handshake but the start of another, which RFC 9325 §3.5 advises against. */
function refuseRenegotiation(type: number): never {
  if (type === HandshakeType.client_hello) throw new TlsError('ERR_TLS_NO_RENEGOTIATION')
  return refuse('ERR_TLS_UNEXPECTED_MESSAGE', `handshake message of type ${type}`)
}

function nextSecret(suite: CipherSuite, secret: Uint8Array): Uint8Array {
  const next = hkdf(suite.hash).nextTrafficSecret(secret)
  secret.fill(0)
  return next
}
