// A TLS 1.2 client for tests, without I/O. Left alone it behaves; every step can be replaced by something no client
// should do. It checks what the server says and throws where a real client would hang up.
import { randomBytes } from 'node:crypto'
import { Reader } from '@latchkey/core'
import { concat, toHex, u16, u8, vector16, vector8 } from './bytes.ts'
import {
  certificateMessage12,
  type ClientCertificate,
  certificateVerifyMessage,
} from './client-certificate.ts'
import {
  checkServerKeyExchange,
  type ClientKey,
  clientKey,
  encryptTo,
  signAs12,
  usualScheme,
} from './client-crypto.ts'
import {
  defaultHello,
  encodeHello,
  type Extension,
  type Hello,
  message,
  plainRecord,
} from './client-hello.ts'
import { hashOf } from './client-keys.ts'
import { prf, RecordKeys12, type SealOptions12, type Suite12, suite12Of } from './client-keys12.ts'
import { alertText, EXTENSION, GROUP, MESSAGE, RECORD, SCHEME, SUITE12 } from './code-points.ts'
import {
  type CertificateRequest,
  type Extensions,
  readCertificateRequest12,
  readExtensions,
  readSelectedProtocol,
} from './server-messages.ts'
import type { HandshakeMessage, ReceivedAlert } from './test-client.ts'

export interface Client12Options {
  readonly hello?: Partial<Hello>
  /** Offer session_ticket, which asks for one. Default: if there is a session to resume. */
  readonly hasSessionTicket?: boolean
  /** Offer to resume it. */
  readonly session?: Session12
  /** Offer extended_master_secret. Default true. */
  readonly hasExtendedMasterSecret?: boolean
  /** What to show when the server asks; default: an empty list. */
  readonly certificate?: ClientCertificate
  /** Answer ServerHelloDone. Default true. */
  readonly autoFinish?: boolean
}

/** What a client remembers to resume with. */
export interface Session12 {
  readonly ticket: Uint8Array
  readonly lifetimeSeconds: number
  readonly master: Uint8Array
  readonly suite: Suite12
}

/** What a browser sends besides the fields of {@link Hello}. */
export const EXTENDED_MASTER_SECRET: Extension = {
  type: EXTENSION.extended_master_secret,
  body: new Uint8Array(0),
}
export const RENEGOTIATION_INFO: Extension = { type: EXTENSION.renegotiation_info, body: u8(0) }
export const POINT_FORMATS: Extension = { type: EXTENSION.ec_point_formats, body: vector8(u8(0)) }

export function defaultHello12({
  hasExtendedMasterSecret = true,
  session,
  hasSessionTicket = session !== undefined,
}: Client12Options = {}): Hello {
  const ticket = { type: EXTENSION.session_ticket, body: session?.ticket ?? new Uint8Array(0) }
  return {
    ...defaultHello(),
    suites: Object.values(SUITE12),
    versions: undefined,
    schemes: [
      ...(defaultHello().schemes ?? []),
      SCHEME.rsa_pkcs1_sha256,
      SCHEME.rsa_pkcs1_sha384,
      SCHEME.rsa_pkcs1_sha512,
      SCHEME.rsa_pkcs1_sha1,
    ],
    groups: [GROUP.x25519, GROUP.secp256r1, GROUP.secp384r1],
    extra: [
      ...(hasExtendedMasterSecret ? [EXTENDED_MASTER_SECRET] : []),
      RENEGOTIATION_INFO,
      POINT_FORMATS,
      ...(hasSessionTicket ? [ticket] : []),
    ],
  }
}

export class TestClient12 {
  readonly options: Client12Options
  hello: Hello
  state: 'start' | 'server flight' | 'server done' | 'server finished' | 'connected' = 'start'
  readonly alerts: ReceivedAlert[] = []
  readonly messages: HandshakeMessage[] = []
  readonly data: Uint8Array[] = []
  /** What the server made of {@link Client12Options.session}. */
  isResumed = false
  /** A NewSessionTicket: what to resume with. */
  session: Session12 | undefined
  suite: Suite12 | undefined
  group: number | undefined
  scheme: number | undefined
  chain: Uint8Array[] = []
  /** OCSPResponse of CertificateStatus. */
  ocsp: Uint8Array | undefined
  /** Bytes of content of each protected record that came. */
  readonly contentBytes: number[] = []
  serverRandom: Uint8Array = new Uint8Array(0)
  serverSessionId: Uint8Array = new Uint8Array(0)
  extensions: Extensions = new Map()
  /** undefined: the server does not ask for a certificate. */
  certificateRequest: CertificateRequest | undefined
  /** Handshake messages, in order. */
  transcript: Uint8Array[] = []
  /** Types of the records that came, in order. */
  readonly recordTypes: number[] = []
  /** For RSA key exchange. */
  premaster: Uint8Array = concat(u16(0x0303), randomBytes(46))
  readKeys: RecordKeys12 | undefined
  writeKeys: RecordKeys12 | undefined
  #pendingReadKeys: RecordKeys12 | undefined
  #pendingWriteKeys: RecordKeys12 | undefined
  #key: ClientKey | undefined
  #serverShare: Uint8Array = new Uint8Array(0)
  #master: Uint8Array = new Uint8Array(0)
  #input: Uint8Array = new Uint8Array(0)
  #handshake: Uint8Array = new Uint8Array(0)
  readonly #output: Uint8Array[] = []

  constructor(options: Client12Options = {}) {
    this.options = options
    this.hello = { ...defaultHello12(options), ...options.hello }
  }

  // ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

  take(): Uint8Array {
    return concat(...this.#output.splice(0))
  }

  raw(...bytes: readonly Uint8Array[]): this {
    this.#output.push(...bytes)
    return this
  }

  plain(type: number, fragment: Uint8Array, version?: number): this {
    return this.raw(plainRecord(type, fragment, version))
  }

  /** A record under the keys of the moment, whether there are any or not. */
  record(type: number, content: Uint8Array, options?: SealOptions12): this {
    if (this.writeKeys === undefined) return this.plain(type, content, options?.version)
    return this.raw(this.writeKeys.seal(type, content, options))
  }

  start(bytes: Uint8Array = encodeHello(this.hello)): this {
    this.transcript.push(bytes)
    this.state = 'server flight'
    return this.plain(RECORD.handshake, bytes, 0x0301)
  }

  /** Queues handshake messages in one record, and counts them. */
  say(...messages: readonly Uint8Array[]): this {
    this.transcript.push(...messages)
    return this.record(RECORD.handshake, concat(...messages))
  }

  /** CertificateVerify over what was said so far. */
  verifyMessage(
    { privateKey, scheme = usualScheme(privateKey) }: ClientCertificate,
    content = concat(...this.transcript),
  ): Uint8Array {
    return certificateVerifyMessage(scheme, signAs12(scheme, privateKey, content))
  }

  /** The body of a ClientKeyExchange: our point, or the encrypted premaster secret. */
  keyExchangeBody(): Uint8Array {
    const [leaf] = this.chain
    if (this.suite?.isRsa === true && leaf !== undefined) return vector16(encryptTo(leaf, this.premaster))
    if (this.#key === undefined) throw new Error('no ServerKeyExchange yet')
    return vector8(this.#key.share)
  }

  /** ClientKeyExchange; the keys are then known, and not yet on. */
  exchangeKeys(): this {
    const bytes = message(MESSAGE.client_key_exchange, this.keyExchangeBody())
    this.plain(RECORD.handshake, bytes)
    return this.exchanged(bytes)
  }

  /** Counts a ClientKeyExchange that a test sends in its own way. */
  exchanged(bytes: Uint8Array): this {
    this.transcript.push(bytes)
    this.#master = this.#masterSecret()
    this.#deriveKeys()
    return this
  }

  changeCipherSpec(): this {
    this.record(RECORD.ccs, u8(1))
    return this.protectWrites()
  }

  /** Turns the write keys on without saying so. */
  protectWrites(): this {
    this.writeKeys = this.#pendingWriteKeys
    return this
  }

  finishedMessage(): Uint8Array {
    return message(MESSAGE.finished, this.#verifyData('client finished'))
  }

  finish(bytes: Uint8Array = this.finishedMessage()): this {
    this.record(RECORD.handshake, bytes)
    this.transcript.push(bytes)
    this.state = this.isResumed ? 'connected' : 'server finished'
    return this
  }

  send(data: Uint8Array, options?: SealOptions12): this {
    return this.record(RECORD.data, data, options)
  }

  alert(description: number, level = 2): this {
    return this.record(RECORD.alert, Uint8Array.of(level, description))
  }

  // ── receiving ───────────────────────────────────────────────────────────────────────────────────────────────────

  get protocol(): string | undefined {
    const body = this.extensions.get(EXTENSION.alpn)
    return body && readSelectedProtocol(body)
  }

  get masterSecret(): Uint8Array {
    return this.#master
  }

  get received(): Uint8Array {
    return concat(...this.data)
  }

  receive(bytes: Uint8Array): void {
    this.#input = concat(this.#input, bytes)
    while (this.#input.length >= 5) {
      const end = 5 + (((this.#input[3] as number) << 8) | (this.#input[4] as number))
      if (this.#input.length < end) return
      const record = this.#input.subarray(0, end)
      this.#input = this.#input.subarray(end)
      this.#receiveRecord(record)
    }
  }

  #receiveRecord(record: Uint8Array): void {
    const type = record[0] as number
    // Who refuses a version may say so in it.
    const isEarlyAlert = type === RECORD.alert && this.messages.length === 0
    if (toHex(record.subarray(1, 3)) !== '0303' && !isEarlyAlert)
      throw new Error(`version of ${toHex(record.subarray(0, 5))}`)
    const isProtected = this.readKeys !== undefined
    const content = this.readKeys?.open(record) ?? record.subarray(5)
    if (content.length > 16_384) throw new Error(`${content.length} bytes in a record`)
    this.recordTypes.push(type)
    if (isProtected) this.contentBytes.push(content.length)
    if (type === RECORD.alert) this.#receiveAlert(content, isProtected)
    else if (type === RECORD.handshake) this.#receiveHandshake(content)
    else if (type === RECORD.ccs) this.#receiveChangeCipherSpec(content)
    else if (type === RECORD.data && this.state === 'connected') this.data.push(content)
    else throw new Error(`record of type ${type} in state ${this.state}`)
  }

  #receiveAlert(content: Uint8Array, encrypted: boolean): void {
    if (content.length !== 2) throw new Error(`alert of ${content.length} bytes`)
    const [level, code] = content as unknown as [number, number]
    this.alerts.push({ level, name: alertText(code), encrypted })
  }

  #receiveChangeCipherSpec(content: Uint8Array): void {
    this.#noticeResumption()
    const isTurn = this.isResumed ? this.state === 'server flight' : this.state === 'server finished'
    const isTicketDue = this.extensions.has(EXTENSION.session_ticket) && this.session === undefined
    if (!isTurn || isTicketDue || this.readKeys !== undefined || toHex(content) !== '01')
      throw new Error(`change_cipher_spec ${toHex(content)} in state ${this.state}`)
    this.readKeys = this.#pendingReadKeys
  }

  #receiveHandshake(content: Uint8Array): void {
    this.#handshake = concat(this.#handshake, content)
    while (this.#handshake.length >= 4) {
      const reader = new Reader(this.#handshake)
      const type = reader.u8()
      const length = reader.u24()
      if (reader.left < length) return
      const body = new Uint8Array(reader.opaque(length))
      const bytes = new Uint8Array(this.#handshake.subarray(0, 4 + length))
      this.#handshake = this.#handshake.subarray(4 + length)
      if (type === MESSAGE.new_session_ticket) this.#noticeResumption()
      if (!this.#mayCome(type)) throw new Error(`message ${type} after ${this.messages.length} others`)
      this.messages.push({ type, body })
      this.#receiveMessage(type, body)
      this.transcript.push(bytes)
      if (type === MESSAGE.server_hello_done) this.#answer()
      if (type === MESSAGE.finished && this.isResumed) this.#answerFinished()
    }
  }

  /** RFC 5246 §7.3, RFC 5077 §3.1. */
  #mayCome(type: number): boolean {
    const last = this.messages.at(-1)?.type
    const hasStatus = this.extensions.has(EXTENSION.status_request)
    const willTicket = this.extensions.has(EXTENSION.session_ticket)
    const afterCertificate =
      this.suite?.isRsa === true ? MESSAGE.server_hello_done : MESSAGE.server_key_exchange
    const beforeFinished = willTicket ? MESSAGE.new_session_ticket : MESSAGE.finished
    if (type === MESSAGE.certificate_request)
      return (
        last === MESSAGE.server_key_exchange || (this.suite?.isRsa === true && last === MESSAGE.certificate)
      )
    switch (last) {
      case undefined:
        return type === MESSAGE.server_hello
      case MESSAGE.server_hello:
        return type === (this.isResumed ? beforeFinished : MESSAGE.certificate)
      case MESSAGE.certificate:
        return type === (hasStatus ? MESSAGE.certificate_status : afterCertificate)
      case MESSAGE.certificate_status:
        return type === afterCertificate
      case MESSAGE.server_key_exchange:
        return type === MESSAGE.server_hello_done
      case MESSAGE.certificate_request:
        return type === MESSAGE.server_hello_done
      case MESSAGE.server_hello_done:
        return type === beforeFinished && this.state === 'server finished'
      default:
        return last === MESSAGE.new_session_ticket && type === MESSAGE.finished
    }
  }

  #receiveMessage(type: number, body: Uint8Array): void {
    const reader = new Reader(body)
    if (type === MESSAGE.server_hello) this.#readServerHello(reader)
    else if (type === MESSAGE.certificate) this.#readCertificate(reader)
    else if (type === MESSAGE.certificate_status) this.#readCertificateStatus(reader)
    else if (type === MESSAGE.server_key_exchange) this.#readServerKeyExchange(reader)
    else if (type === MESSAGE.new_session_ticket) this.#readNewSessionTicket(reader)
    else if (type === MESSAGE.certificate_request)
      this.certificateRequest = readCertificateRequest12(reader.rest())
    else if (type === MESSAGE.finished) this.#readFinished(reader)
    reader.end()
  }

  #answer(): void {
    this.state = 'server done'
    if (this.options.autoFinish === false) return
    const { certificate } = this.options
    if (this.certificateRequest !== undefined) this.say(certificateMessage12(certificate?.chain ?? []))
    this.exchangeKeys()
    if (this.certificateRequest !== undefined && certificate !== undefined)
      this.say(this.verifyMessage(certificate))
    this.changeCipherSpec().finish()
  }

  #answerFinished(): void {
    this.state = 'server done'
    if (this.options.autoFinish !== false) this.changeCipherSpec().finish()
  }

  #readServerHello(reader: Reader): void {
    if (reader.u16() !== 0x0303) throw new Error('ServerHello.server_version')
    this.serverRandom = new Uint8Array(reader.opaque(32))
    this.serverSessionId = new Uint8Array(reader.opaque8())
    const isEchoed = toHex(this.serverSessionId) === toHex(this.hello.sessionId)
    this.isResumed = isEchoed && this.serverSessionId.length > 0
    if (this.isResumed && this.options.session === undefined)
      throw new Error('a resumption that was not offered')
    this.suite = suite12Of(reader.u16())
    if (!this.hello.suites.includes(this.suite.code)) throw new Error('a suite that was not offered')
    if (reader.u8() !== 0) throw new Error('compression')
    if (reader.left > 0) this.extensions = readExtensions(reader.vector16())
    const offered = this.hello.arrange([...this.hello.extra]).map(({ type }) => type)
    for (const type of this.extensions.keys()) {
      const isField = type === EXTENSION.server_name || type === EXTENSION.alpn
      if (this.isResumed && type === EXTENSION.server_name) throw new Error('server_name in a resumption')
      const isScsv = type === EXTENSION.renegotiation_info && this.hello.suites.includes(0x00ff)
      if (!isField && !isScsv && !offered.includes(type)) throw new Error(`extension ${type} was not offered`)
    }
    if (this.isResumed) this.#resume(this.options.session as Session12)
  }

  /** RFC 5077 §3.4: who sent no session id learns by what comes next. */
  #noticeResumption(): void {
    const isOpen = this.hello.sessionId.length === 0 && this.options.session !== undefined
    if (!isOpen || this.isResumed || this.messages.at(-1)?.type !== MESSAGE.server_hello) return
    this.isResumed = true
    this.#resume(this.options.session)
  }

  #resume({ master, suite }: Session12): void {
    if (this.suite?.code !== suite.code) throw new Error('a resumption with another suite')
    if (!this.extensions.has(EXTENSION.extended_master_secret))
      throw new Error('a resumption without extended_master_secret')
    this.#master = master
    this.#deriveKeys()
  }

  /** RFC 5077 §3.3. */
  #readNewSessionTicket(reader: Reader): void {
    const lifetimeSeconds = reader.u32()
    const ticket = new Uint8Array(reader.opaque16())
    this.session = { ticket, lifetimeSeconds, master: this.#master, suite: this.#suite() }
  }

  #readCertificate(reader: Reader): void {
    const list = reader.vector24()
    while (list.left > 0) this.chain.push(new Uint8Array(list.opaque24()))
  }

  #readCertificateStatus(reader: Reader): void {
    if (reader.u8() !== 1) throw new Error('not an OCSP response')
    this.ocsp = new Uint8Array(reader.opaque24())
  }

  #readServerKeyExchange(reader: Reader): void {
    const start = reader.offset
    if (reader.u8() !== 3) throw new Error('not a named curve')
    this.group = reader.u16()
    if (!this.hello.groups?.includes(this.group)) throw new Error('a group that was not offered')
    this.#serverShare = new Uint8Array(reader.opaque8())
    const parameters = concat(u8(3), Uint8Array.of(this.group >>> 8, this.group), vector8(this.#serverShare))
    if (reader.offset - start !== parameters.length) throw new Error('ServerECDHParams')
    this.scheme = reader.u16()
    if (!this.hello.schemes?.includes(this.scheme)) throw new Error('a scheme that was not offered')
    const [leaf] = this.chain
    if (leaf === undefined) throw new Error('an empty chain')
    const content = concat(this.hello.random, this.serverRandom, parameters)
    checkServerKeyExchange(leaf, this.scheme, reader.opaque16(), content)
    this.#key = clientKey(this.group)
  }

  #readFinished(reader: Reader): void {
    if (this.readKeys === undefined) throw new Error('Finished without protection')
    if (toHex(reader.opaque(12)) !== toHex(this.#verifyData('server finished')))
      throw new Error("the server's Finished is wrong")
    if (!this.isResumed) this.state = 'connected'
  }

  // ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #masterSecret(): Uint8Array {
    const { hash } = this.#suite()
    const premaster = this.#suite().isRsa === true ? this.premaster : this.#derive()
    return this.extensions.has(EXTENSION.extended_master_secret)
      ? prf(hash, premaster, 'extended master secret', hashOf(hash, ...this.transcript), 48)
      : prf(hash, premaster, 'master secret', concat(this.hello.random, this.serverRandom), 48)
  }

  #derive(): Uint8Array {
    return (this.#key as ClientKey).derive(this.#serverShare)
  }

  #deriveKeys(): void {
    const suite = this.#suite()
    const { hash, keyBytes, ivBytes } = suite
    const client = this.hello.random
    const server = this.serverRandom
    const length = 2 * (keyBytes + ivBytes)
    const block = new Reader(prf(hash, this.#master, 'key expansion', concat(server, client), length))
    const keys = [block.opaque(keyBytes), block.opaque(keyBytes)] as const
    const ivs = [block.opaque(ivBytes), block.opaque(ivBytes)] as const
    this.#pendingWriteKeys = new RecordKeys12(suite, keys[0], ivs[0])
    this.#pendingReadKeys = new RecordKeys12(suite, keys[1], ivs[1])
  }

  #verifyData(label: string): Uint8Array {
    const { hash } = this.#suite()
    return prf(hash, this.#master, label, hashOf(hash, ...this.transcript), 12)
  }

  #suite(): Suite12 {
    if (this.suite === undefined) throw new Error('no ServerHello yet')
    return this.suite
  }
}
