// Makes one mutually authenticated TLS connection to a key server.
import { isIP } from 'node:net'
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { SCOPED_SIGNING_PROTOCOL } from '@latchkey/wire'

/** Post-quantum first, and a key share for those that do not have it, so that neither costs a round trip more. */
const GROUPS = '?*X25519MLKEM768:*X25519:P-256:P-384'

/** A key server and how we and it prove who we are. PEM texts or their bytes. */
export interface KeyServerAddress {
  readonly host: string
  /** 2407 unless told. */
  readonly port?: number
  /** The name that the key server's certificate must carry; `host` unless told. */
  readonly serverName?: string
  /** The authorities that a key server's certificate may come from; no other is trusted. */
  readonly ca: string | Uint8Array | readonly (string | Uint8Array)[]
  /** Our certificate, its chain behind it. */
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  /** 1.2 unless told: a peer of the protocol's first implementation speaks nothing newer. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Whether to offer scoped signing; a key server that does not know it ignores the offer. Default: true. */
  readonly scopedSigning?: boolean
}

export const DEFAULT_PORT = 2407

export interface DialHandlers {
  /** The key server has proved who it is. Whether it takes us shows only later, in TLS 1.3. */
  readonly onOpen: (socket: TLSSocket) => void
  readonly onFailed: (error: Error) => void
}

/** Dials one address any number of times. */
export class Dialler {
  readonly #host: string
  readonly #port: number
  readonly #name: string
  readonly #secureContext: SecureContext
  readonly #protocols: string[]

  /** @throws {Error} of Node if a certificate or key cannot be used; {RangeError} on a port that is none. */
  constructor(address: KeyServerAddress) {
    const { host, port = DEFAULT_PORT, serverName, ca, cert, key, minVersion, scopedSigning = true } = address
    if (!Number.isInteger(port) || port < 1 || port > 0xffff) throw new RangeError(`port ${port}`)
    this.#host = host
    this.#port = port
    this.#name = serverName ?? host
    this.#protocols = scopedSigning ? [SCOPED_SIGNING_PROTOCOL] : []
    this.#secureContext = createSecureContext({
      ca: [ca].flat().map(bytesOrText),
      cert: bytesOrText(cert),
      key: bytesOrText(key),
      minVersion: minVersion ?? 'TLSv1.2',
      ecdhCurve: GROUPS,
    })
  }

  /** For people: `host:port`. */
  get text(): string {
    return isIP(this.#host) === 6 ? `[${this.#host}]:${this.#port}` : `${this.#host}:${this.#port}`
  }

  /**
   * Connects and does the handshake. Exactly one handler is called, later; none after the returned function, which
   * gives up. Once a handler was called that function does nothing: an open socket belongs to who was given it.
   */
  dial(timeoutMs: number, { onOpen, onFailed }: DialHandlers): () => void {
    const name = this.#name
    const socket = connect({
      host: this.#host,
      port: this.#port,
      secureContext: this.#secureContext,
      ALPNProtocols: this.#protocols,
      servername: isIP(name) === 0 ? name : '', // RFC 6066 §3: no addresses in SNI
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    })
    socket.setNoDelay(true)
    const timeout = AbortSignal.timeout(timeoutMs)
    let isOver = false
    const finish = (): boolean => {
      if (isOver) return false
      isOver = true
      timeout.removeEventListener('abort', expire)
      return true
    }
    const fail = (error: Error): void => {
      if (finish()) onFailed(error)
      socket.destroy()
    }
    const expire = (): void => fail(new Error(`no connection within ${timeoutMs} ms`))
    timeout.addEventListener('abort', expire)
    // Stays for good: a socket between two owners, or given up, must not have an 'error' without a listener.
    socket.on('error', fail)
    socket.once('close', () => fail(new Error('closed during the handshake')))
    socket.once('secureConnect', () => {
      if (finish()) onOpen(socket)
    })
    return () => {
      if (finish()) socket.destroy()
    }
  }
}

/** Node's types want a Buffer where any bytes do. */
function bytesOrText(material: string | Uint8Array): string | Buffer {
  if (typeof material === 'string') return material
  return Buffer.from(material.buffer, material.byteOffset, material.byteLength)
}
