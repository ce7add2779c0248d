// Fuzz inputs for a connection in the middle of its life: recorded flights bring a server to a state, the input says what
// comes then. The server draws the same bytes and keys for everyone, so a flight that was good once is good again.
import { randomBytes } from 'node:crypto'
import {
  createTicketKeyring,
  ServerConnection,
  type ServerContext,
  type SignRequest,
  TicketSealer,
  TlsError,
} from '@latchkey/tls'
import { nodePrimitives } from '../../src/crypto-provider.ts'
import { toHex, u8 } from './bytes.ts'
import { message, plainRecord } from './client-hello.ts'
import type { ClientSession } from './client-psk.ts'
import { EXTENSION, GROUP, MESSAGE, RECORD } from './code-points.ts'
import { signatureFor, testContext, Wire, Wire12, type WireClient, type WireOf } from './harness.ts'
import { offeredPsks } from './offered-psks.ts'

interface Keys {
  sequence: number
  seal(type: number, content: Uint8Array): Uint8Array
}

interface Flight {
  readonly bytes: Uint8Array
  /** What the client protects records with after it, and how many it has protected. */
  readonly keys: Keys | undefined
  readonly sequence: number
}

type Conversation = readonly Flight[]

const NOW_MS = 1_800_000_000_000
const tickets = new TicketSealer({
  keyring: createTicketKeyring({ clock: () => NOW_MS }),
  random: (count) => new Uint8Array(randomBytes(count)),
  clock: () => NOW_MS,
})

const base = testContext({ tickets, clock: () => NOW_MS, alpnProtocols: ['h2', 'http/1.1'] })
const fixedKeys = new Map(
  base.groups.flatMap(({ name, generate }) => {
    // That of node:crypto may be used again, which is what this needs; no other may.
    const key = name === 'x25519' ? nodePrimitives.generateX25519() : generate?.()
    return key === undefined ? [] : [[name, key] as const]
  }),
)

/** A server with a certificate and ticket keys, and no chance in what it says. */
export const fuzzContext: ServerContext = {
  ...base,
  random: (count) => new Uint8Array(count).fill(0x5e),
  groups: base.groups.map((group) => {
    const key = fixedKeys.get(group.name)
    return key === undefined ? group : { ...group, generate: () => key }
  }),
  exchangeKeys: (group, clientShare) => {
    const key = fixedKeys.get(group.name)
    if (key === undefined) return group.exchange(clientShare)
    return { share: key.share, sharedSecret: () => key.sharedSecret(clientShare) }
  },
}

const signatures = new Map<string, Uint8Array>()

/** The same signature for the same content, as long as there are few. */
function sign(request: SignRequest): Uint8Array {
  const name = toHex(request.content)
  const signature = signatures.get(name) ?? signatureFor(request)
  if (signatures.size < 100) signatures.set(name, signature)
  return signature
}

// ── recording ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Recorded<Client> {
  readonly client: Client
  readonly flights: readonly ((client: Client) => unknown)[]
}

function record<Client extends WireClient & { readonly writeKeys: Keys | undefined }>(
  wire: WireOf<Client>,
  flights: Recorded<Client>['flights'],
): Conversation {
  const { client } = wire
  wire.onSign = ({ id, request }) => {
    wire.answered.add(id)
    wire.server.privateKeyAnswered(id, sign(request))
  }
  const conversation = flights.map((send): Flight => {
    send(client)
    const bytes = client.take()
    wire.deliver(new Uint8Array(bytes)).run()
    return { bytes, keys: client.writeKeys, sequence: client.writeKeys?.sequence ?? 0 }
  })
  if (wire.establishedCount !== 1) throw new Error(`no connection to record: ${String(wire.error)}`)
  return conversation
}

const manual = { context: fuzzContext, signing: 'hold', autoFinish: false } as const

function sessions(): ClientSession[] {
  const extra = [{ type: EXTENSION.psk_key_exchange_modes, body: Uint8Array.of(1, 1) }]
  const wire = new Wire({ context: fuzzContext, hello: { extra } }).start()
  wire.server.send([u8(1)])
  return wire.run().client.sessions
}

/** Sessions that the server of {@link fuzzContext} resumes. */
export const fuzzSessions: readonly ClientSession[] = sessions()

const CONVERSATIONS: readonly Conversation[] = [
  record(new Wire(manual), [(client) => client.start(), (client) => client.changeCipherSpec().finish()]),
  record(new Wire({ ...manual, hello: offeredPsks({ earlyData: true }) }), [
    (client) => client.start(),
    (client) => client.finish(),
  ]),
  record(new Wire({ ...manual, shares: [], autoRetry: false }), [
    (client) => client.start(),
    (client) => client.changeCipherSpec().plain(RECORD.handshake, client.noteHello()),
    (client) => client.finish(),
  ]),
  record(new Wire({ ...manual, shares: [GROUP.secp256r1], psks: { sessions: fuzzSessions } }), [
    (client) => client.start(),
    (client) => client.finish(),
  ]),
  record(new Wire12(manual), [
    (client) => client.start(),
    (client) => client.exchangeKeys(),
    (client) => client.changeCipherSpec(),
    (client) => client.finish(),
  ]),
]

/** Where an input can begin: so many flights into a conversation. */
const STARTS = CONVERSATIONS.flatMap((conversation) =>
  [...conversation.keys(), conversation.length].map((flights) => ({ conversation, flights })),
)

// ── playing ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The input's first byte is {@link STARTS}' index and whether the signature is late; then steps: kind, length, bytes. */
const LATE_SIGNATURE = 0x80

class Server {
  readonly connection: ServerConnection
  closedCount = 0
  error: TlsError | undefined
  #late = 0
  #established = 0
  #pending: (() => void)[] = []

  constructor(isLate: boolean) {
    const event = (): void => {
      this.#late += this.closedCount
    }
    this.connection = new ServerConnection(fuzzContext, {
      write: event,
      data: event,
      privateKeyOperation: (id, operation) => {
        event()
        // RSA key exchange is switched off here.
        if (operation.kind !== 'sign') return
        const answer = (): void => this.connection.privateKeyAnswered(id, sign(operation.request))
        if (isLate) this.#pending.push(answer)
        else answer()
      },
      cancelPrivateKeyOperation: () => {},
      established: () => {
        event()
        this.#established++
      },
      ended: event,
      closed: (error) => {
        this.closedCount++
        this.error = error
      },
    })
  }

  answer(): void {
    for (const answer of this.#pending.splice(0)) answer()
  }

  /** How it ended. @throws what is a bug. */
  check(): string {
    const { error } = this
    if (this.closedCount !== 1) throw new Error(`closed ${this.closedCount} times`)
    if (this.#late > 0) throw new Error('events after the end')
    if (this.#established > 1) throw new Error('established twice')
    if (error !== undefined && !(error instanceof TlsError)) throw error
    if (error?.code === 'ERR_TLS_INTERNAL') throw error
    return `${this.#established > 0 ? 'established, ' : ''}${error?.code ?? 'closed in good order'}`
  }
}

/** What a client could say next, sealed as the state has it. */
class Voice {
  readonly #conversation: Conversation
  #next: number
  #keys: Keys | undefined

  constructor({ conversation, flights }: (typeof STARTS)[number]) {
    this.#conversation = conversation
    this.#next = flights
    this.#take(conversation[flights - 1])
  }

  say(kind: number, bytes: Uint8Array): Uint8Array {
    if (kind === 0) return this.#record(RECORD.handshake, bytes)
    if (kind === 1) return this.#record(RECORD.data, bytes)
    if (kind === 2) return this.#record(RECORD.alert, bytes)
    if (kind === 3) return this.#record(bytes[0] ?? 0, bytes.subarray(1))
    if (kind === 4) return plainRecord(bytes[0] ?? 0, bytes.subarray(1))
    if (kind === 5) return bytes
    if (kind === 6) return plainRecord(RECORD.handshake, bytes)
    return this.#nextFlight()
  }

  #record(type: number, content: Uint8Array): Uint8Array {
    return this.#keys?.seal(type, content) ?? plainRecord(type, content)
  }

  #nextFlight(): Uint8Array {
    const flight = this.#conversation[this.#next++]
    this.#take(flight)
    return flight?.bytes ?? this.#record(RECORD.handshake, message(MESSAGE.key_update, u8(1)))
  }

  #take(flight: Flight | undefined): void {
    if (flight === undefined) return
    this.#keys = flight.keys
    if (flight.keys !== undefined) flight.keys.sequence = flight.sequence
  }
}

const KINDS = 8

/** Plays the input to a server; it ends with a TlsError or in good order, and only once. Gives the end. */
export function fuzzConversation(input: Uint8Array): string {
  const first = input[0] ?? 0
  const start = STARTS[(first & ~LATE_SIGNATURE) % STARTS.length] as (typeof STARTS)[number]
  const server = new Server((first & LATE_SIGNATURE) !== 0)
  for (const { bytes } of start.conversation.slice(0, start.flights))
    server.connection.receive(new Uint8Array(bytes))
  const voice = new Voice(start)
  for (let at = 1; at < input.length; ) {
    const kind = (input[at] as number) % KINDS
    const end = at + 2 + (input[at + 1] ?? 0)
    server.connection.receive(new Uint8Array(voice.say(kind, input.subarray(at + 2, end))))
    at = end
  }
  server.answer()
  server.connection.send([u8(1)])
  server.connection.transportEnded()
  if (server.closedCount === 0) server.connection.close()
  return server.check()
}

/** Inputs that say something sound in each state. */
export function sampleConversations(): Uint8Array[] {
  const step = (kind: number, bytes: Uint8Array): number[] => [kind, bytes.length, ...bytes]
  const next = step(7, new Uint8Array(0))
  const tails = [
    next,
    [...next, ...next, ...next],
    [...next, ...step(1, new Uint8Array(20)), ...next],
    [...step(4, Uint8Array.of(RECORD.ccs, 1)), ...next],
    step(0, message(MESSAGE.key_update, u8(0))),
    step(0, message(MESSAGE.finished, new Uint8Array(32))),
    step(0, message(MESSAGE.certificate, new Uint8Array(8))),
    step(0, message(MESSAGE.client_key_exchange, new Uint8Array(33).fill(32, 0, 1))),
    step(2, Uint8Array.of(1, 0)),
    step(2, Uint8Array.of(1, 90)),
    step(6, message(MESSAGE.client_hello, new Uint8Array(60))),
    step(5, plainRecord(RECORD.data, new Uint8Array(40))),
  ]
  return STARTS.flatMap((_, start) => tails.map((tail) => Uint8Array.of(start, ...tail)))
}

// ── hellos ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A hello's body, to a server that could serve it: the flight that follows is sealed and signed. Gives the end. */
export function fuzzHelloToServer(body: Uint8Array): string {
  const server = new Server(false)
  const bytes = message(MESSAGE.client_hello, body)
  for (let at = 0; at < bytes.length; at += MAX_FRAGMENT_BYTES) {
    server.connection.receive(plainRecord(RECORD.handshake, bytes.subarray(at, at + MAX_FRAGMENT_BYTES)))
  }
  server.connection.transportEnded()
  return server.check()
}

const MAX_FRAGMENT_BYTES = 16_384
