// A TLS 1.3 client for tests, without I/O: bytes in, bytes out. Left alone it behaves; every step can be replaced by
// something no client should do. It checks what the server says and throws where a real client would hang up.
import { Reader } from '@latchkey/core'
import { concat, toHex, u8 } from './bytes.ts'
import { certificateMessage, type ClientCertificate, certificateVerifyMessage } from './client-certificate.ts'
import {
  checkCertificateVerify,
  type ClientKey,
  clientKey,
  clientSignedContent,
  signAs,
  usualScheme,
} from './client-crypto.ts'
import { defaultHello, encodeHello, type Hello, type KeyShare, message } from './client-hello.ts'
import {
  deriveSecret,
  finishedData,
  handshakeSecret,
  hashOf,
  masterSecret,
  RecordKeys,
  type SealOptions,
  type Suite,
  suiteOf,
} from './client-keys.ts'
import { takeDelegatedCredential } from './delegation.ts'
import { RecordLayer } from './client-records.ts'
import {
  type ClientSession,
  pskExtensions,
  type PskOffer,
  readNewSessionTicket,
  withBinders,
} from './client-psk.ts'
import type { KeyObject } from 'node:crypto'
import { alertText, EXTENSION, GROUP, MESSAGE, RECORD } from './code-points.ts'
import {
  type CertificateRequest,
  type Extensions,
  readCertificate,
  readCertificateRequest,
  readCertificateVerify,
  readCompressedCertificate,
  readEncryptedExtensions,
  readSelectedProtocol,
  readServerHello,
  type ServerHello,
} from './server-messages.ts'

export interface ClientOptions {
  readonly hello?: Partial<Hello>
  /** Sessions to resume, offered after all other extensions, in the first hello and the second. */
  readonly psks?: PskOffer
  /** Groups to send a share for; [] sends an empty list and waits for HelloRetryRequest. */
  readonly shares?: readonly number[]
  /** Changes to the second ClientHello, on top of the one share the server asked for. */
  readonly secondHello?: (hello: Hello) => Hello
  /** Answer HelloRetryRequest. Default true. */
  readonly autoRetry?: boolean
  /** What to show when the server asks; default: an empty list. */
  readonly certificate?: ClientCertificate
  /** Answer the server's Finished with ours. Default true. */
  readonly autoFinish?: boolean
  /** Send change_cipher_spec where a browser would. Default true. */
  readonly compatibility?: boolean
}

export interface ReceivedAlert {
  readonly level: number
  readonly name: string
  readonly encrypted: boolean
}

export interface HandshakeMessage {
  readonly type: number
  readonly body: Uint8Array
}

export type ClientState = 'start' | 'server hello' | 'server flight' | 'finished' | 'connected'

export class TestClient extends RecordLayer {
  readonly options: ClientOptions
  /** What was last said. */
  hello: Hello
  state: ClientState = 'start'
  readonly alerts: ReceivedAlert[] = []
  readonly messages: HandshakeMessage[] = []
  readonly data: Uint8Array[] = []
  retries = 0
  /** KeyUpdates of the server. */
  keyUpdates = 0
  suite: Suite | undefined
  group: number | undefined
  scheme: number | undefined
  /** The offered session that the server took. */
  resumed: ClientSession | undefined
  /** Of the tickets that came. */
  readonly sessions: ClientSession[] = []
  chain: Uint8Array[] = []
  /** Extensions of the first CertificateEntry. */
  leafExtensions: Extensions = new Map()
  /** CertificateCompressionAlgorithm of the server's certificate; undefined: it came as it is. */
  compression: number | undefined
  encryptedExtensions: Extensions = new Map()
  /** exporter_master_secret, once the server's Finished is there. */
  exporterSecret: Uint8Array | undefined
  /** undefined: the server does not ask for a certificate. */
  certificateRequest: CertificateRequest | undefined
  /** Handshake messages that count for Transcript-Hash, in order. */
  transcript: Uint8Array[] = []
  #keys: ClientKey[]
  #handshake: Uint8Array = new Uint8Array(0)
  #handshakeSecret = new Uint8Array(0) as Uint8Array
  #clientApplicationSecret = new Uint8Array(0) as Uint8Array
  #masterSecret = new Uint8Array(0) as Uint8Array

  constructor(options: ClientOptions = {}) {
    super()
    this.options = options
    this.#keys = (options.shares ?? [GROUP.x25519]).map(clientKey)
    const keyShares = this.#keys.map(({ group, share }): KeyShare => ({ group, share }))
    const hello = { ...defaultHello(), keyShares, ...options.hello }
    const extra = options.psks === undefined ? [] : pskExtensions(options.psks)
    this.hello = { ...hello, extra: [...hello.extra, ...extra] }
  }

  // ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The ClientHello to be sent now, with its binders. */
  helloMessage(): Uint8Array {
    const bytes = encodeHello(this.hello)
    const { psks } = this.options
    return psks === undefined ? bytes : withBinders(bytes, psks, this.transcript)
  }

  /** Queues a ClientHello and counts it in the transcript. */
  start(bytes: Uint8Array = this.helloMessage()): this {
    this.noteHello(bytes)
    return this.plain(RECORD.handshake, bytes, 0x0301)
  }

  /** Counts a ClientHello that a test sends in its own way. */
  noteHello(bytes: Uint8Array = this.helloMessage()): Uint8Array {
    this.transcript.push(bytes)
    this.state = 'server hello'
    return bytes
  }

  /** Queues a handshake message that the server is to count in its transcript. */
  say(...messages: readonly Uint8Array[]): this {
    this.transcript.push(...messages)
    return this.seal(RECORD.handshake, concat(...messages))
  }

  /** CertificateVerify over what was said so far. */
  verifyMessage(
    { privateKey, scheme = usualScheme(privateKey) }: ClientCertificate,
    content = clientSignedContent(this.transcriptHash()),
  ): Uint8Array {
    return certificateVerifyMessage(scheme, signAs(scheme, privateKey, content))
  }

  /** Answers the server's CertificateRequest. */
  authenticate(certificate: ClientCertificate | undefined = this.options.certificate): this {
    this.say(certificateMessage(certificate?.chain ?? []))
    return certificate === undefined ? this : this.say(this.verifyMessage(certificate))
  }

  /** The Finished message that the server expects now. */
  finishedMessage(): Uint8Array {
    const { suite } = this
    if (suite === undefined) throw new Error('no ServerHello yet')
    return message(MESSAGE.finished, finishedData(suite.hash, this.writer.secret, this.transcriptHash()))
  }

  /** Queues Finished (or `bytes` in its place) and goes on to application keys. */
  finish(bytes: Uint8Array = this.finishedMessage()): this {
    return this.seal(RECORD.handshake, bytes).finished(bytes)
  }

  /** Goes on to application keys after a Finished that a test sent in its own way. */
  finished(bytes: Uint8Array): this {
    this.transcript.push(bytes)
    this.writeKeys = new RecordKeys(this.#suite(), this.#clientApplicationSecret)
    this.state = 'connected'
    return this
  }

  send(data: Uint8Array, options?: SealOptions): this {
    return this.seal(RECORD.data, data, options)
  }

  /** Queues a KeyUpdate and moves to the next keys. */
  updateKeys(requested: 0 | 1): this {
    this.seal(RECORD.handshake, message(MESSAGE.key_update, u8(requested)))
    this.writeKeys = this.writer.next()
    return this
  }

  /** An alert, protected if there are keys. */
  alert(description: number, level = 2): this {
    const body = Uint8Array.of(level, description)
    return this.writeKeys === undefined ? this.plain(RECORD.alert, body) : this.seal(RECORD.alert, body)
  }

  changeCipherSpec(): this {
    return this.plain(RECORD.ccs, u8(1))
  }

  // ── receiving ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The ALPN protocol the server chose. */
  get protocol(): string | undefined {
    const body = this.encryptedExtensions.get(EXTENSION.alpn)
    return body && readSelectedProtocol(body)
  }

  /** All application data as one. */
  get received(): Uint8Array {
    return concat(...this.data)
  }

  protected override receiveContent(type: number, content: Uint8Array, encrypted: boolean): void {
    if (type === RECORD.alert) {
      if (content.length !== 2) throw new Error(`alert of ${content.length} bytes`)
      const [level, code] = content as unknown as [number, number]
      this.alerts.push({ level, name: alertText(code), encrypted })
    } else if (type === RECORD.handshake) {
      this.#handshake = concat(this.#handshake, content)
      this.#receiveMessages()
    } else if (type === RECORD.data) {
      if (this.state !== 'connected' && this.state !== 'finished') throw new Error('data before Finished')
      this.data.push(content)
    } else if (type !== RECORD.ccs || encrypted || toHex(content) !== '01') {
      throw new Error(`record of type ${type}: ${toHex(content)}`)
    }
  }

  #receiveMessages(): void {
    while (this.#handshake.length >= 4) {
      const reader = new Reader(this.#handshake)
      const type = reader.u8()
      const length = reader.u24()
      if (reader.left < length) return
      const body = reader.opaque(length).slice()
      const bytes = this.#handshake.slice(0, 4 + length)
      this.#handshake = this.#handshake.subarray(4 + length)
      this.messages.push({ type, body })
      this.#receiveMessage(type, body, bytes)
    }
  }

  #receiveMessage(type: number, body: Uint8Array, bytes: Uint8Array): void {
    if (type === MESSAGE.server_hello && this.state === 'server hello') {
      this.#receiveServerHello(body, bytes)
    } else if (this.state === 'server flight') {
      this.#receiveFlight(type, body, bytes)
    } else if (type === MESSAGE.key_update && this.state === 'connected') {
      this.#receiveKeyUpdate(body)
    } else if (type === MESSAGE.new_session_ticket && this.state === 'connected') {
      const { code, hash } = this.#suite()
      // The transcript ends with our Finished.
      const master = deriveSecret(hash, this.#masterSecret, 'res master', this.transcriptHash())
      this.sessions.push(readNewSessionTicket(body, code, master))
    } else {
      throw new Error(`message of type ${type} in state ${this.state}`)
    }
  }

  #receiveServerHello(body: Uint8Array, bytes: Uint8Array): void {
    const hello = readServerHello(body)
    if (toHex(hello.sessionId) !== toHex(this.hello.sessionId)) throw new Error('legacy_session_id_echo')
    if (!this.hello.suites.includes(hello.suite)) throw new Error(`suite ${hello.suite} was not offered`)
    if (this.suite !== undefined && this.suite.code !== hello.suite)
      throw new Error('another suite after retry')
    this.suite = suiteOf(hello.suite)
    if (hello.isRetry) this.#retry(hello.group, bytes)
    else this.#exchangeKeys(hello, bytes)
  }

  #retry(group: number, bytes: Uint8Array): void {
    if (this.retries++ > 0) throw new Error('a second HelloRetryRequest')
    if (this.#keys.some((key) => key.group === group)) throw new Error('retry for a group that has a share')
    if (!this.hello.groups?.includes(group)) throw new Error('retry for a group that was not offered')
    // RFC 8446 §4.4.1: ClientHello1 becomes a message_hash.
    const first = hashOf(this.#suite().hash, ...this.transcript)
    this.transcript = [message(MESSAGE.message_hash, first), bytes]
    this.#keys = [clientKey(group)]
    const keyShares = this.#keys.map(({ group, share }): KeyShare => ({ group, share }))
    const second: Hello = { ...this.hello, keyShares }
    this.hello = this.options.secondHello?.(second) ?? second
    if (this.options.autoRetry === false) return
    if (this.options.compatibility !== false) this.changeCipherSpec()
    const hello = this.noteHello()
    this.plain(RECORD.handshake, hello)
  }

  #exchangeKeys({ group, share, selectedPsk }: ServerHello, bytes: Uint8Array): void {
    const suite = this.#suite()
    if (selectedPsk !== undefined) {
      this.resumed = this.options.psks?.sessions[selectedPsk]
      if (this.resumed === undefined) throw new Error(`PSK ${selectedPsk} was not offered`)
      if (suiteOf(this.resumed.suite).hash !== suite.hash) throw new Error('a PSK of another hash')
    }
    const key = this.#keys.find((own) => own.group === group)
    if (key === undefined) throw new Error(`group 0x${group.toString(16)} has no share`)
    this.group = group
    this.transcript.push(bytes)
    const hash = this.transcriptHash()
    this.#handshakeSecret = handshakeSecret(suite.hash, key.derive(share), this.resumed?.secret)
    this.readKeys = new RecordKeys(
      suite,
      deriveSecret(suite.hash, this.#handshakeSecret, 's hs traffic', hash),
    )
    this.writeKeys = new RecordKeys(
      suite,
      deriveSecret(suite.hash, this.#handshakeSecret, 'c hs traffic', hash),
    )
    this.state = 'server flight'
  }

  #receiveFlight(type: number, body: Uint8Array, bytes: Uint8Array): void {
    const isAsked = this.messages.some((other) => other.type === MESSAGE.certificate_request)
    const isCompressed = type === MESSAGE.compressed_certificate
    const certificate = [
      ...(isAsked ? [MESSAGE.certificate_request] : []),
      isCompressed || this.compression !== undefined ? MESSAGE.compressed_certificate : MESSAGE.certificate,
      MESSAGE.certificate_verify,
    ]
    const order: number[] = [
      MESSAGE.encrypted_extensions,
      ...(this.resumed === undefined ? certificate : []),
      MESSAGE.finished,
    ]
    const seen = this.messages.filter((other) => order.includes(other.type)).length
    if (order[seen - 1] !== type) throw new Error(`message of type ${type} in the server's flight`)
    const before = this.transcriptHash()
    this.transcript.push(bytes)
    if (type === MESSAGE.encrypted_extensions) this.encryptedExtensions = readEncryptedExtensions(body)
    else if (type === MESSAGE.certificate_request) this.certificateRequest = readCertificateRequest(body)
    else if (type === MESSAGE.certificate) this.#receiveCertificate(body)
    else if (isCompressed) this.#receiveCompressedCertificate(body)
    else if (type === MESSAGE.certificate_verify) this.#receiveCertificateVerify(body, before)
    else this.#receiveFinished(body, before)
  }

  #receiveCertificate(body: Uint8Array): void {
    const { chain, leafExtensions } = readCertificate(body)
    this.chain = chain
    this.leafExtensions = leafExtensions
  }

  #receiveCompressedCertificate(body: Uint8Array): void {
    const { algorithm, certificate } = readCompressedCertificate(body)
    this.compression = algorithm
    this.#receiveCertificate(certificate)
  }

  #receiveCertificateVerify(body: Uint8Array, transcriptHash: Uint8Array): void {
    const { scheme, signature } = readCertificateVerify(body)
    const [leaf] = this.chain
    if (leaf === undefined) throw new Error('an empty chain')
    checkCertificateVerify(this.#delegatedKey(leaf, scheme) ?? leaf, scheme, signature, transcriptHash)
    this.scheme = scheme
  }

  /** undefined: the certificate's own key signs. */
  #delegatedKey(leaf: Uint8Array, scheme: number): KeyObject | undefined {
    const { schemes: offered = [], extra } = this.hello
    const delegated = this.leafExtensions.get(EXTENSION.delegated_credential)
    if (delegated === undefined) {
      if (!offered.includes(scheme)) throw new Error(`scheme ${scheme} was not offered`)
      return undefined
    }
    const accepted = extra.find(({ type }) => type === EXTENSION.delegated_credential)?.body
    return takeDelegatedCredential(delegated, leaf, { accepted, offered, scheme })
  }

  #receiveFinished(body: Uint8Array, transcriptHash: Uint8Array): void {
    const suite = this.#suite()
    const expected = finishedData(suite.hash, (this.readKeys as RecordKeys).secret, transcriptHash)
    if (toHex(expected) !== toHex(body)) throw new Error("the server's Finished is wrong")
    if (this.#handshake.length > 0) throw new Error("bytes after the server's Finished under its old key")
    const hash = this.transcriptHash()
    const master = masterSecret(suite.hash, this.#handshakeSecret)
    this.#masterSecret = master
    this.readKeys = new RecordKeys(suite, deriveSecret(suite.hash, master, 's ap traffic', hash))
    this.exporterSecret = deriveSecret(suite.hash, master, 'exp master', hash)
    this.#clientApplicationSecret = deriveSecret(suite.hash, master, 'c ap traffic', hash)
    this.state = 'finished'
    if (this.options.autoFinish === false) return
    if (this.options.compatibility !== false && this.retries === 0) this.changeCipherSpec()
    if (this.certificateRequest !== undefined) this.authenticate()
    this.finish()
  }

  #receiveKeyUpdate(body: Uint8Array): void {
    if (body.length !== 1 || (body[0] as number) > 1) throw new Error(`KeyUpdate ${toHex(body)}`)
    if (this.#handshake.length > 0) throw new Error('bytes after KeyUpdate under the old key')
    this.keyUpdates++
    this.readKeys = (this.readKeys as RecordKeys).next()
    if (body[0] === 1) this.updateKeys(0)
  }

  #suite(): Suite {
    if (this.suite === undefined) throw new Error('no suite yet')
    return this.suite
  }

  /** Of everything that counts so far. */
  transcriptHash(): Uint8Array {
    return hashOf(this.#suite().hash, ...this.transcript)
  }
}

/** A GREASE value, RFC 8701 §2: 0x?A?A. */
export function grease(index: number): number {
  const half = ((index & 0x0f) << 4) | 0x0a
  return (half << 8) | half
}
