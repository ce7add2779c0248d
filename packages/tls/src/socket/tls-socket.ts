// An established connection as an ordinary Duplex, with the properties that node:http and frameworks look for.
import type { PeerCertificate } from 'node:tls'
import type { AddressInfo, Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { X509Certificate } from '../crypto-provider.ts'
import { TlsError, type TlsErrorCode } from '../errors.ts'
import type { Fingerprint } from '../handshake/fingerprint.ts'
import type { ProtocolName, Session } from '../handshake/session.ts'
import { CIPHER_SUITES12, type CipherSuite12Name } from '../handshake12/cipher-suite12.ts'
import { legacyPeerCertificate } from './peer-certificate.ts'

/** What a TlsSocket needs from the connection under it. */
export interface SecureTransport {
  readonly socket: Socket
  readonly fingerprint: Fingerprint | undefined
  /** Seals and sends; `done` comes when more may follow. */
  send(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void
  /** Sends close_notify and half-closes; `done` comes once everything has gone, or cannot any more. */
  end(done: (error?: Error | null) => void): void
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array
  /** The reader has room again. */
  resume(): void
  /** Drops everything, without close_notify: the peer learns that it was not the end. */
  destroy(): void
}

export class TlsSocket extends Duplex {
  readonly #transport: SecureTransport
  #forwardsTimeout = false
  /** What was negotiated. */
  readonly session: Session
  /** As `tls.TLSSocket` has it. */
  readonly encrypted = true
  /** Whether the client showed a certificate that we accept. */
  readonly authorized: boolean
  /** Why it is not authorized, a code of `TLS_ERRORS`; `null` where no certificate was asked for. */
  readonly authorizationError: TlsErrorCode | null
  /** `false` where no protocol was negotiated, as in `node:tls`. */
  readonly alpnProtocol: string | false
  readonly servername: string | false

  constructor(transport: SecureTransport, session: Session, { allowHalfOpen }: { allowHalfOpen: boolean }) {
    super({ allowHalfOpen })
    this.#transport = transport
    this.session = session
    this.authorized = session.authorized
    this.authorizationError = session.authorizationError ?? null
    this.alpnProtocol = session.alpnProtocol ?? false
    this.servername = session.serverName === '' ? false : session.serverName
  }

  /** JA3 and JA4 of the ClientHello, if the server was made with `fingerprints`. */
  get fingerprint(): Fingerprint | undefined {
    return this.#transport.fingerprint
  }

  get remoteAddress(): string | undefined {
    return this.#transport.socket.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.#transport.socket.remotePort
  }

  get remoteFamily(): string | undefined {
    return this.#transport.socket.remoteFamily
  }

  get localAddress(): string | undefined {
    return this.#transport.socket.localAddress
  }

  get localPort(): number | undefined {
    return this.#transport.socket.localPort
  }

  /** The local end, as `net.Socket` has it; empty once the connection is gone. */
  address(): AddressInfo | Record<string, never> {
    return this.#transport.socket.address()
  }

  /** It exists since the handshake is done. */
  get connecting(): false {
    return false
  }

  /** Idle milliseconds, as set by {@link setTimeout}. */
  get timeout(): number | undefined {
    return this.#transport.socket.timeout
  }

  /** Bytes on the wire, records and handshake included. */
  get bytesRead(): number {
    return this.#transport.socket.bytesRead
  }

  /** Bytes on the wire, records and handshake included. */
  get bytesWritten(): number {
    return this.#transport.socket.bytesWritten
  }

  getProtocol(): ProtocolName {
    return this.session.protocol
  }

  /** `name` is OpenSSL's, `standardName` that of IANA's registry; the same in TLS 1.3. */
  getCipher(): { name: string; standardName: string; version: string } {
    const { cipherSuite, protocol } = this.session
    return { name: openSslName(cipherSuite), standardName: cipherSuite, version: protocol }
  }

  /** Empty where there was no key exchange, as in `node:tls`. */
  getEphemeralKeyInfo(): { type: 'ECDH'; name: string } | Record<string, never> {
    const { group } = this.session
    return group === undefined ? {} : { type: 'ECDH', name: group }
  }

  /** As in `node:tls`: empty if the client showed none. `isDetailed`: with those that came with it. */
  getPeerCertificate(isDetailed = false): PeerCertificate | Record<string, never> {
    return legacyPeerCertificate(this.session.peerCertificates, isDetailed)
  }

  /** What the client showed; whether we accept it says `authorized`. */
  getPeerX509Certificate(): X509Certificate | undefined {
    const [leaf] = this.session.peerCertificates
    return leaf && new X509Certificate(leaf)
  }

  /**
   * As `tls.TLSSocket` has it: `length` bytes bound to this connection, for a `label` of IANA's registry. RFC 5705.
   *
   * @throws {TypeError} if the connection has ended, or TLS 1.2 gives none.
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return Buffer.from(this.#transport.exportKeyingMaterial(label, context, length).buffer)
  }

  /** Our certificate, as an object of `node:tls`. */
  getCertificate(): ReturnType<X509Certificate['toLegacyObject']> {
    return this.getX509Certificate().toLegacyObject()
  }

  getX509Certificate(): X509Certificate {
    return new X509Certificate(this.session.credential.chain[0] as Uint8Array)
  }

  /** Sessions are kept by clients, in tickets: there is none to be had here. */
  getSession(): undefined {
    return undefined
  }

  isSessionReused(): boolean {
    return this.session.isResumed
  }

  /** There is no renegotiation to disable: RFC 9325 §3.5. */
  disableRenegotiation(): void {}

  /** Refuses: `false`, and the callback is told why. */
  renegotiate(_options: object, callback?: (error: Error) => void): false {
    if (callback !== undefined) process.nextTick(callback, new TlsError('ERR_TLS_NO_RENEGOTIATION'))
    return false
  }

  /** As `net.Socket.setTimeout`: `timeout` is emitted after so many idle milliseconds; nothing is closed. */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    const { socket } = this.#transport
    if (callback !== undefined) {
      if (timeoutMs === 0) this.removeListener('timeout', callback)
      else this.once('timeout', callback)
    }
    socket.setTimeout(timeoutMs)
    if (!this.#forwardsTimeout) socket.on('timeout', () => this.emit('timeout'))
    this.#forwardsTimeout = true
    return this
  }

  setNoDelay(noDelay = true): this {
    this.#transport.socket.setNoDelay(noDelay)
    return this
  }

  setKeepAlive(enable = false, initialDelayMs = 0): this {
    this.#transport.socket.setKeepAlive(enable, initialDelayMs)
    return this
  }

  ref(): this {
    this.#transport.socket.ref()
    return this
  }

  unref(): this {
    this.#transport.socket.unref()
    return this
  }

  /** As `net.Socket.resetAndDestroy`: the client gets a RST. */
  resetAndDestroy(): this {
    this.#transport.socket.resetAndDestroy()
    return this
  }

  /** As `net.Socket.destroySoon`: destroys once everything written has gone. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  override _read(): void {
    this.#transport.resume()
  }

  override _write(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#transport.send([chunk], callback)
  }

  override _writev(
    chunks: { chunk: Uint8Array; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#transport.send(
      chunks.map(({ chunk }) => chunk),
      callback,
    )
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#transport.end(callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#transport.destroy()
    callback(error)
  }
}

function openSslName(cipherSuite: Session['cipherSuite']): string {
  return cipherSuite in CIPHER_SUITES12
    ? CIPHER_SUITES12[cipherSuite as CipherSuite12Name].openSslName
    : cipherSuite
}
