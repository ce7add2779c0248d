// A server context with throw-away credentials, and a wire that joins a TestClient to a ServerConnection in memory.
import { constants, privateDecrypt } from 'node:crypto'
import {
  type ConnectionHandlers,
  createCertificateStore,
  createServerContext,
  type Credential,
  type DecryptRequest,
  loadCredential,
  ServerConnection,
  type ServerContext,
  type ServerContextOptions,
  type Session,
  type SignRequest,
  type TlsError,
} from '@latchkey/tls'
import { concat, pieces, toHex } from './bytes.ts'
import { certificateOfKey, type KeyKind, testCertificate } from './certificate.ts'
import { signAs, signAs12 } from './client-crypto.ts'
import { type ClientOptions, type ReceivedAlert, TestClient } from './test-client.ts'
import { type Client12Options, TestClient12 } from './test-client12.ts'

export function testCredential(kind: KeyKind): Credential {
  return loadCredential({ chain: testCertificate(kind).chainPem })
}

export interface ContextOptions extends Partial<ServerContextOptions> {
  readonly kinds?: readonly KeyKind[]
  /** Also serve clients without a server name. Default false. */
  readonly isDefault?: boolean
}

export function testContext({ kinds = ['p256'], isDefault, ...options }: ContextOptions = {}): ServerContext {
  const credentials = kinds.map(testCredential)
  const store = createCertificateStore({
    hosts: [{ serverNames: ['example.com', '*.example.com'], credentials }],
    ...(isDefault === true ? { default: credentials } : {}),
  })
  // How quick the test machine is decides nothing.
  return createServerContext({ certificates: store, earlyFlush: 'always', ...options })
}

export interface SignCall {
  readonly id: number
  readonly request: SignRequest
}

export interface DecryptCall {
  readonly id: number
  readonly request: DecryptRequest
}

/**
 * How `sign` requests are answered: `at once` from inside the handler, `after` the method that asked returned, or not
 * (`hold`), until the test answers.
 */
export type Signing = 'at once' | 'after' | 'hold'

export interface ServerSide {
  readonly context?: ServerContext
  readonly signing?: Signing
  /** Hand over bytes in pieces of this size, both ways. */
  readonly pieceBytes?: number
}

export interface WireOptions extends ClientOptions, ServerSide {}

export interface Wire12Options extends Client12Options, ServerSide {}

/** What a wire needs of a client, of either version. */
export interface WireClient {
  readonly state: string
  readonly alerts: readonly ReceivedAlert[]
  readonly received: Uint8Array
  start(): unknown
  send(data: Uint8Array): unknown
  /** Everything to be sent since the last call, in one piece. */
  take(): Uint8Array
  receive(bytes: Uint8Array): void
}

/** The signature a key server would give. @throws if the key is none of ours. */
export function signatureFor({ keyId, scheme, content, purpose }: SignRequest): Uint8Array {
  const certificate = certificateOfKey(keyId)
  if (certificate === undefined) throw new Error(`no key ${toHex(keyId)}`)
  const sign = purpose === 'tls12-ske' ? signAs12 : signAs
  return sign(scheme, certificate.privateKey, content)
}

/** The premaster secret as OpenSSL would have it, with its own implicit rejection: of any length. */
export function premasterFor({ keyId, ciphertext }: DecryptRequest): Uint8Array {
  const key = certificateOfKey(keyId)?.privateKey
  if (key === undefined) throw new Error(`no key ${toHex(keyId)}`)
  return privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, ciphertext)
}

/** A client and a server with nothing between them, and a record of everything the server did. */
export class WireOf<Client extends WireClient> {
  readonly client: Client
  readonly server: ServerConnection
  readonly signCalls: SignCall[] = []
  readonly decryptCalls: DecryptCall[] = []
  readonly cancelled: number[] = []
  /** Called for each sign request, from inside the handler. */
  onSign: (call: SignCall) => void = () => {}
  /** Whoever has the key. */
  decryptPremaster: (request: DecryptRequest) => Uint8Array = premasterFor
  /** Called when the handshake is done, from inside the handler. */
  onEstablished: () => void = () => {}
  /** Ids that got an answer from here. */
  readonly answered = new Set<number>()
  /** One entry a call of `write`. */
  readonly writes: Uint8Array[] = []
  readonly data: Uint8Array[] = []
  session: Session | undefined
  establishedCount = 0
  endedCount = 0
  closedCount = 0
  error: TlsError | undefined
  readonly #pieceBytes: number
  readonly #signing: Signing
  #unanswered: SignCall[] = []
  #undecrypted: DecryptCall[] = []
  #delivered = 0

  constructor(
    client: Client,
    { context, signing = 'after', pieceBytes = Number.POSITIVE_INFINITY }: ServerSide = {},
  ) {
    this.#pieceBytes = pieceBytes
    this.#signing = signing
    this.client = client
    this.server = new ServerConnection(context ?? defaultContext(), this.#handlers(), {
      clientAddress: '192.0.2.1',
    })
  }

  /** Sends the ClientHello and lets both sides talk until neither has anything to say. */
  start(): this {
    this.client.start()
    return this.run()
  }

  /** Carries bytes both ways until there are none; answers sign requests unless they are held. */
  run(): this {
    for (;;) {
      const fromClient = this.client.take()
      if (fromClient.length > 0) this.deliver(fromClient)
      const hasAnswered = this.#answer()
      const fromServer = this.#undelivered()
      for (const piece of this.#split(fromServer)) this.client.receive(piece)
      if (fromClient.length === 0 && fromServer.length === 0 && !hasAnswered) return this
    }
  }

  /** Hands bytes to the server as they are, past the client. */
  deliver(bytes: Uint8Array): this {
    for (const piece of this.#split(bytes)) {
      this.server.receive(piece)
      piece.fill(0xa5) // the caller's buffer has another use now
    }
    return this
  }

  /** Answers a sign request as a key server would. */
  sign({ id, request }: SignCall): void {
    this.answered.add(id)
    this.server.privateKeyAnswered(id, signatureFor(request))
  }

  /** Answers a decrypt request as a key server would. */
  decrypt({ id, request }: DecryptCall): void {
    this.answered.add(id)
    this.server.privateKeyAnswered(id, this.decryptPremaster(request))
  }

  /** Everything the server has sent. */
  get output(): Uint8Array {
    return concat(...this.writes)
  }

  /** All application data the server got. */
  get received(): Uint8Array {
    return concat(...this.data)
  }

  /** The last alert the client got. */
  get alert(): string | undefined {
    return this.client.alerts.at(-1)?.name
  }

  get isClosed(): boolean {
    return this.closedCount > 0
  }

  #split(bytes: Uint8Array): Uint8Array[] {
    // Copies: the engine must not rely on the caller's buffer after the call, nor the client.
    if (this.#pieceBytes === Number.POSITIVE_INFINITY)
      return bytes.length === 0 ? [] : [new Uint8Array(bytes)]
    return pieces(bytes, this.#pieceBytes).map((piece) => new Uint8Array(piece))
  }

  #answer(): boolean {
    if (this.#signing === 'hold') return false
    const calls = this.#unanswered
    this.#unanswered = []
    for (const call of calls) this.sign(call)
    const ciphertexts = this.#undecrypted
    this.#undecrypted = []
    for (const call of ciphertexts) this.decrypt(call)
    return calls.length + ciphertexts.length > 0
  }

  #undelivered(): Uint8Array {
    const bytes = concat(...this.writes.slice(this.#delivered))
    this.#delivered = this.writes.length
    return bytes
  }

  #handlers(): ConnectionHandlers {
    return {
      write: (chunks) => {
        this.#mustBeOpen('write')
        this.writes.push(concat(...chunks))
      },
      data: (bytes) => {
        this.#mustBeOpen('data')
        this.data.push(bytes.slice())
      },
      privateKeyOperation: (id, { kind, request }) => {
        this.#mustBeOpen('private key')
        if (kind === 'decrypt') {
          this.decryptCalls.push({ id, request })
          if (this.#signing === 'at once') this.decrypt({ id, request })
          else this.#undecrypted.push({ id, request })
          return
        }
        this.signCalls.push({ id, request })
        this.onSign({ id, request })
        if (this.#signing === 'at once') this.sign({ id, request })
        else this.#unanswered.push({ id, request })
      },
      cancelPrivateKeyOperation: (id) => {
        this.cancelled.push(id)
      },
      established: (session) => {
        this.#mustBeOpen('established')
        this.session = session
        this.establishedCount++
        this.onEstablished()
      },
      ended: () => {
        this.#mustBeOpen('ended')
        this.endedCount++
      },
      closed: (error) => {
        this.error = error
        this.closedCount++
      },
    }
  }

  /** `closed` is the last word: the contract of ConnectionHandlers. */
  #mustBeOpen(event: string): void {
    if (this.closedCount > 0) this.lateEvents.push(event)
  }

  /** Events after `closed`: there must be none. */
  readonly lateEvents: string[] = []
}

/** With a client of TLS 1.3. */
export class Wire extends WireOf<TestClient> {
  constructor(options: WireOptions = {}) {
    super(new TestClient(options), options)
  }
}

/** With a client of TLS 1.2. */
export class Wire12 extends WireOf<TestClient12> {
  constructor(options: Wire12Options = {}) {
    super(new TestClient12(options), options)
  }
}

/** A connection whose handshake is done. */
export function establishedWire(options: WireOptions = {}): Wire {
  const wire = new Wire(options).start()
  if (wire.establishedCount !== 1 || wire.client.state !== 'connected') {
    throw new Error(`no connection: ${String(wire.error)}`)
  }
  return wire
}

/** A connection that has everything but the client's Finished. */
export function unfinishedWire(options: WireOptions = {}): Wire {
  return new Wire({ autoFinish: false, ...options }).start()
}

let sharedContext: ServerContext | undefined

function defaultContext(): ServerContext {
  sharedContext ??= testContext()
  return sharedContext
}
