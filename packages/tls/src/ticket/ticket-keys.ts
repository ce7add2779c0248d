// The keys that session tickets are sealed under, one an hour, and the ring that holds the live ones.
//
//     ├─ active: seals ─┤──────────── opens only ────────────┤ wiped
//     activeFromMs      decryptUntilMs - lifetimeMs          decryptUntilMs
//                       └ the next key's activeFromMs
//
// A ticket sealed in the last millisecond of the active hour is good for its whole life. By default 19 keys are live (one that
// seals, 18 that open), and for ten minutes of each hour the next one too.
//
// The clock may jump. The ring holds no timer and does its work when it is asked, by the time it is told:
//  - forwards: keys whose end has passed are wiped, their tickets are lost, and a new key is made. A jump by mistake costs
//    full handshakes; keeping keys longer than promised would cost forward secrecy.
//  - backwards by less than a rotation: the key that was active then is active again, and if there was none, the next one
//    seals early. Nothing is made, so a clock that trembles does not fill the ring. Keys "of the future" open as before.
//  - backwards by more: keys that would become active later than one rotation from now were made by a clock that was wrong,
//    and would live too long by as much. They are wiped; keys from outside must be put in again.
//
// A ring that nobody asks wipes nothing: what runs it calls `list` now and then.
import type { ClockMs } from '@latchkey/core'
import { equalSecrets, secretRandom } from '../crypto-provider.ts'
import { concealSecret } from './concealed.ts'

/** How long a ticket is good for, as clients are told: 18 h. RFC 8446 §4.6.1 allows seven days. */
export const TICKET_LIFETIME_SECONDS = 64_800

/** One key of a fleet. From it every process derives its own: no two processes seal under the same key. */
export interface TicketRootKey {
  /** 4 bytes, public. */
  readonly id: Uint8Array
  /** 32 bytes. */
  readonly secret: Uint8Array
  /** Seals tickets from here on, milliseconds since the epoch. */
  readonly activeFromMs: number
  /** Opens tickets before this moment, then is wiped. */
  readonly decryptUntilMs: number
}

/**
 * Where a sealer finds root keys. Both answers belong to the ring, which wipes them when their time has come: use them at
 * once, and do not keep them.
 */
export interface TicketKeyring {
  /** The key to seal with; undefined: there is none, so no ticket is issued. */
  current(nowMs: number): TicketRootKey | undefined
  /** The live key of this id. */
  find(id: Uint8Array, nowMs: number): TicketRootKey | undefined
}

/** A ring that can be shared: what one lists, others put in. */
export interface SharedTicketKeyring extends TicketKeyring {
  /**
   * Takes a copy of a key from outside, which is then preferred to keys made here. The same key may come again.
   *
   * @returns whether the ring holds the key now: not if it is past, comes more than one rotation early, has the id of
   *   another, or would be the first to go from a full ring.
   * @throws {RangeError} if it is not 4 and 32 bytes, or lives not at all or for more than seven days.
   */
  put(key: TicketRootKey): boolean
  /** Copies of the live keys and of the next, which exists ten minutes before it is needed; the caller wipes them. */
  list(): TicketRootKey[]
}

export interface TicketKeyringOptions {
  /** Bytes fit for keys; the ring takes them over and wipes them. Default: the system's, from no pool. */
  readonly random?: (count: number) => Uint8Array
  /** Tells `put` and `list` the time. */
  readonly clock: ClockMs
  /** How long a key made here seals: 1 h by default. */
  readonly rotationMs?: number
  /** How long a key opens after that, at least the life of a ticket: 18 h by default. */
  readonly lifetimeMs?: number
}

const ROTATION_MS = 3_600_000
/** A fleet has this long to pass the next key on. */
const EARLY_MS = 600_000
/** No ticket may live longer (RFC 8446 §4.6.1), so no key needs to. */
const MAX_KEY_LIFE_MS = 7 * 24 * 3_600_000
/** Bounds the ring when somebody asks for keys of a second each. */
const MAX_LIVE_KEYS = 1024
const ID_BYTES = 4
const SECRET_BYTES = 32

/** @throws {RangeError} if a duration is not a whole number of milliseconds, or they are too long or too uneven together. */
export function createTicketKeyring({
  random = secretRandom,
  clock,
  rotationMs = ROTATION_MS,
  lifetimeMs = TICKET_LIFETIME_SECONDS * 1000,
}: TicketKeyringOptions): SharedTicketKeyring {
  for (const duration of [rotationMs, lifetimeMs]) {
    if (!Number.isSafeInteger(duration) || duration <= 0) throw new RangeError(`duration of ${duration} ms`)
  }
  const liveKeys = Math.ceil(lifetimeMs / rotationMs) + 1
  if (rotationMs + lifetimeMs > MAX_KEY_LIFE_MS) throw new RangeError('a key would live for more than 7 days')
  if (liveKeys > MAX_LIVE_KEYS) throw new RangeError(`${liveKeys} keys would be live at a time`)
  return new Ring({ random, clock, rotationMs, lifetimeMs, liveKeys })
}

interface Entry {
  readonly key: TicketRootKey
  readonly isFromOutside: boolean
}

type RingOptions = Required<TicketKeyringOptions> & { readonly liveKeys: number }

class Ring implements SharedTicketKeyring {
  readonly #options: RingOptions
  /** By id. */
  readonly #entries = new Map<number, Entry>()
  /** Twice the keys of one issuer and its next: during a change of issuer there are two. */
  readonly #capacity: number

  constructor(options: RingOptions) {
    this.#options = options
    this.#capacity = 2 * (options.liveKeys + 1)
  }

  current(nowMs: number): TicketRootKey {
    this.#sweep(nowMs)
    const active = this.#activeAt(nowMs) ?? this.#firstAfter(nowMs) ?? this.#make(nowMs)
    const nextFromMs = this.#activeUntil(active)
    const isDue = nextFromMs - nowMs <= Math.min(EARLY_MS, this.#options.rotationMs)
    // In a full ring it must wait: making room for it could wipe the key that is returned here.
    if (isDue && this.#activeAt(nextFromMs) === undefined && !this.#isFull) this.#make(nextFromMs)
    return active
  }

  find(id: Uint8Array, nowMs: number): TicketRootKey | undefined {
    this.#sweep(nowMs)
    return id.length === ID_BYTES ? this.#entries.get(idNumber(id))?.key : undefined
  }

  put(key: TicketRootKey): boolean {
    const { activeFromMs, decryptUntilMs } = key
    const lifeMs = decryptUntilMs - activeFromMs
    if (key.id.length !== ID_BYTES || key.secret.length !== SECRET_BYTES)
      throw new RangeError(`a ticket key is ${ID_BYTES} and ${SECRET_BYTES} bytes`)
    if (!Number.isSafeInteger(activeFromMs) || !Number.isSafeInteger(decryptUntilMs))
      throw new RangeError('a ticket key has no whole milliseconds')
    if (lifeMs <= 0 || lifeMs > MAX_KEY_LIFE_MS) throw new RangeError(`a ticket key that lives ${lifeMs} ms`)

    const nowMs = this.#options.clock()
    this.#sweep(nowMs)
    if (!this.#isPlausible(key, nowMs)) return false
    const known = this.#entries.get(idNumber(key.id))
    if (known !== undefined && !isSameKey(known.key, key)) return false
    if (known === undefined && !this.#makeRoomFor(key)) return false
    this.#entries.set(idNumber(key.id), { key: known?.key ?? copyOf(key), isFromOutside: true })
    return true
  }

  list(): TicketRootKey[] {
    this.current(this.#options.clock())
    return [...this.#entries.values()].map(({ key }) => copyOf(key))
  }

  /** Of the keys that may seal: those from outside first, so that a fleet agrees; then the newest. */
  #activeAt(nowMs: number): TicketRootKey | undefined {
    let best: Entry | undefined
    for (const entry of this.#entries.values()) {
      const { key } = entry
      if (key.activeFromMs <= nowMs && nowMs < this.#activeUntil(key) && isBetter(entry, best)) best = entry
    }
    return best?.key
  }

  /** Only when none is active: after a step of the clock, or when a fleet passed on the next key and no other. */
  #firstAfter(nowMs: number): TicketRootKey | undefined {
    let first: TicketRootKey | undefined
    for (const { key } of this.#entries.values()) {
      if (key.activeFromMs > nowMs && (first === undefined || key.activeFromMs < first.activeFromMs))
        first = key
    }
    return first
  }

  /** A ticket sealed before this moment can live its whole life. */
  #activeUntil({ decryptUntilMs }: TicketRootKey): number {
    return decryptUntilMs - this.#options.lifetimeMs
  }

  #make(activeFromMs: number): TicketRootKey {
    const { random, rotationMs, lifetimeMs } = this.#options
    if (this.#isFull) this.#drop(this.#firstToGo())
    const id = new Uint8Array(random(ID_BYTES))
    // The next free id: with random ones this never runs, and with others it ends.
    while (this.#entries.has(idNumber(id))) setIdNumber(id, (idNumber(id) + 1) >>> 0)
    const decryptUntilMs = activeFromMs + rotationMs + lifetimeMs
    const key = concealSecret({ id, secret: random(SECRET_BYTES), activeFromMs, decryptUntilMs })
    this.#entries.set(idNumber(id), { key, isFromOutside: false })
    return key
  }

  get #isFull(): boolean {
    return this.#entries.size >= this.#capacity
  }

  /** False if `key` itself would be the first to go. */
  #makeRoomFor(key: TicketRootKey): boolean {
    if (!this.#isFull) return true
    const first = this.#firstToGo()
    if (first.decryptUntilMs >= key.decryptUntilMs) return false
    this.#drop(first)
    return true
  }

  /** Of a ring that is not empty. */
  #firstToGo(): TicketRootKey {
    return [...this.#entries.values()]
      .map(({ key }) => key)
      .reduce((first, key) => (key.decryptUntilMs < first.decryptUntilMs ? key : first))
  }

  #sweep(nowMs: number): void {
    for (const { key } of this.#entries.values()) {
      if (!this.#isPlausible(key, nowMs)) this.#drop(key)
    }
  }

  #isPlausible({ activeFromMs, decryptUntilMs }: TicketRootKey, nowMs: number): boolean {
    return nowMs < decryptUntilMs && activeFromMs <= nowMs + this.#options.rotationMs
  }

  #drop(key: TicketRootKey): void {
    key.secret.fill(0)
    this.#entries.delete(idNumber(key.id))
  }
}

function isBetter(a: Entry, b: Entry | undefined): boolean {
  if (b === undefined) return true
  if (a.isFromOutside !== b.isFromOutside) return a.isFromOutside
  if (a.key.activeFromMs !== b.key.activeFromMs) return a.key.activeFromMs > b.key.activeFromMs
  // Two issuers at the same moment: any order does, if all who have both keys choose the same.
  return idNumber(a.key.id) > idNumber(b.key.id)
}

function isSameKey(a: TicketRootKey, b: TicketRootKey): boolean {
  return (
    a.activeFromMs === b.activeFromMs &&
    a.decryptUntilMs === b.decryptUntilMs &&
    equalSecrets(a.secret, b.secret)
  )
}

function copyOf({ id, secret, activeFromMs, decryptUntilMs }: TicketRootKey): TicketRootKey {
  return concealSecret({
    id: new Uint8Array(id),
    secret: new Uint8Array(secret),
    activeFromMs,
    decryptUntilMs,
  })
}

function idNumber(id: Uint8Array): number {
  return new DataView(id.buffer, id.byteOffset, ID_BYTES).getUint32(0)
}

function setIdNumber(id: Uint8Array, value: number): void {
  new DataView(id.buffer, id.byteOffset, ID_BYTES).setUint32(0, value)
}
