// Session tickets: the state of a session, sealed under a key that the servers of a fleet can derive and nobody else.
// RFC 8446 §4.6.1 and RFC 5077 §4 leave the format to the server. Ours, where everything before the state is the AAD:
//
//     0   1   format = 1
//     1   4   id of the root key
//     5   16  salt of the process that sealed
//     21  12  nonce
//     33  n   AES-256-GCM( state ), see ticket-state.ts
//     33+n 16 tag
//
//     sealing key = HKDF-SHA256(IKM = root key, salt = process salt, info = "latchkey session ticket 1")
//
// Nonces are random. They are safe for 2^32 tickets under one key (NIST SP 800-38D §8.3), and a key is of one process and one
// root key, not of a fleet.
import { allocate, type ClockMs, Reader } from '@latchkey/core'
import {
  type AeadKey,
  hkdfSha256,
  importAeadKey,
  openAes256Gcm,
  sealAes256Gcm,
  TAG_BYTES,
  wipeAeadKey,
} from '../crypto-provider.ts'
import { DerivedKeys } from './derived-keys.ts'
import { PresentedChains } from './presented-chains.ts'
import { TICKET_LIFETIME_SECONDS, type TicketKeyring, type TicketRootKey } from './ticket-keys.ts'
import {
  readTicketState,
  TICKET_STATE_BYTES,
  type TicketState,
  writeTicketStateInto,
} from './ticket-state.ts'

export { TICKET_LIFETIME_SECONDS } from './ticket-keys.ts'

export interface TicketSealerOptions {
  readonly keyring: TicketKeyring
  /** Public random bytes (salts and nonces, never keys) that do not repeat. */
  readonly random: (count: number) => Uint8Array
  readonly clock: ClockMs
  /** Derived keys kept, of this process and of others: 1024 by default. */
  readonly derivedKeyCache?: number
  /** Chains of clients kept, which no ticket has room for: 1024 by default. */
  readonly clientChainCache?: number
  /** Tickets sealed under one derived key; it cannot be more than the default, 2^32. */
  readonly maxSealsPerKey?: number
}

const FORMAT = 1
const ROOT_ID_BYTES = 4
const SALT_BYTES = 16
const NONCE_BYTES = 12
const NONCE_AT = 1 + ROOT_ID_BYTES + SALT_BYTES
const HEADER_BYTES = NONCE_AT + NONCE_BYTES
const KEY_BYTES = 32
const MAX_SEALS_PER_KEY = 2 ** 32
const DERIVED_KEY_CACHE = 1024
/** The plaintext of the ticket being sealed; wiped after each. */
const scratch = new Uint8Array(Math.max(...TICKET_STATE_BYTES))
const INFO = new TextEncoder().encode('latchkey session ticket 1')

const LIFETIME_MS = TICKET_LIFETIME_SECONDS * 1000
/**
 * A client may bring a ticket to another server of the fleet at once, and that server's clock may be behind. Clocks that NTP
 * keeps differ by far less than ten seconds; a ticket from further ahead was made by a clock that is wrong, and its age
 * means nothing.
 */
const MAX_SKEW_MS = 10_000
/** How often derived keys are held against the ring: how long one may outlive its root key in a process that is in use. */
const SWEEP_MS = 60_000

/** Seals and opens the tickets of one process. Losing every key costs full handshakes and nothing else. */
export class TicketSealer {
  /** Whom tickets of clients with certificates are for. */
  readonly clientChains: PresentedChains
  readonly #keyring: TicketKeyring
  readonly #random: (count: number) => Uint8Array
  readonly #clock: ClockMs
  readonly #maxSealsPerKey: number
  readonly #derivedKeys: DerivedKeys
  #salt: Uint8Array
  // What the salt and #sealingRoot give has sealed so many tickets.
  #sealingRoot = ''
  // What the derived key of both is called.
  #sealingName = ''
  #seals = 0
  #sweptAtMs = Number.NEGATIVE_INFINITY

  /** @throws {RangeError} if a limit is not a whole number from 1 up, or above 2^32 seals. */
  constructor({
    keyring,
    random,
    clock,
    derivedKeyCache = DERIVED_KEY_CACHE,
    clientChainCache,
    maxSealsPerKey = MAX_SEALS_PER_KEY,
  }: TicketSealerOptions) {
    if (!Number.isSafeInteger(maxSealsPerKey) || maxSealsPerKey < 1 || maxSealsPerKey > MAX_SEALS_PER_KEY)
      throw new RangeError(`${maxSealsPerKey} seals under one key`)
    this.#keyring = keyring
    this.#random = random
    this.#clock = clock
    this.#maxSealsPerKey = maxSealsPerKey
    this.#derivedKeys = new DerivedKeys(derivedKeyCache)
    this.clientChains = new PresentedChains({ clock, maxChains: clientChainCache })
    this.#salt = random(SALT_BYTES)
  }

  /** Derived keys in memory, for metrics. */
  get derivedKeys(): number {
    return this.#derivedKeys.size
  }

  /**
   * A ticket of 156 or 172 bytes, by the length of the secret, and 32 more if the client showed a certificate. `state` stays
   * the caller's, its secret to wipe.
   *
   * @returns undefined if there is no key to seal with: then the client gets no ticket.
   * @throws {RangeError} if a field of `state` does not fit: a bug of the caller.
   */
  seal(state: TicketState): Uint8Array | undefined {
    const now = this.#clock()
    this.#sweep(now)
    const root = this.#keyring.current(now)
    if (root === undefined) return undefined
    const stateBytes = writeTicketStateInto(scratch, state)
    this.#countSeal(root)
    const ticket = allocate(HEADER_BYTES + stateBytes + TAG_BYTES)
    this.#writeHeader(ticket, root)
    const additionalData = ticket.subarray(0, HEADER_BYTES)
    const nonce = ticket.subarray(NONCE_AT, HEADER_BYTES)
    sealAes256Gcm(
      ticket,
      HEADER_BYTES,
      { key: this.#sealingKey(root), nonce, additionalData },
      scratch.subarray(0, stateBytes),
    )
    scratch.fill(0)
    return ticket
  }

  /**
   * What a ticket remembers; the caller owns it and wipes its secret. Whether it is for this server name, tenant and
   * credential is for the caller to judge.
   *
   * @returns undefined if it is not ours, was changed, is too old, or its key is gone: why, nobody learns. Never throws.
   */
  open(ticket: Uint8Array): TicketState | undefined {
    const parts = readTicket(ticket)
    if (parts === undefined) return undefined
    const now = this.#clock()
    this.#sweep(now)
    const root = this.#keyring.find(parts.rootId, now)
    if (root === undefined) return undefined
    const plaintext = this.#unseal(root, parts)
    if (plaintext === undefined) return undefined
    const state = readTicketState(plaintext)
    if (state !== undefined && isAlive(state.issuedAtMs, now) && isAlive(state.fullHandshakeAtMs, now))
      return state
    plaintext.fill(0)
    return undefined
  }

  #writeHeader(ticket: Uint8Array, root: TicketRootKey): void {
    ticket[0] = FORMAT
    ticket.set(root.id, 1)
    ticket.set(this.#salt, 1 + ROOT_ID_BYTES)
    ticket.set(this.#random(NONCE_BYTES), NONCE_AT)
  }

  /** Counts before it seals. Another root key gives another derived key, and so does, at the limit, another salt. */
  #countSeal(root: TicketRootKey): void {
    const name = binaryString(root.id)
    const isSpent = name === this.#sealingRoot && this.#seals >= this.#maxSealsPerKey
    if (isSpent) this.#salt = this.#random(SALT_BYTES)
    if (isSpent || name !== this.#sealingRoot) {
      this.#sealingRoot = name
      this.#sealingName = keyName(root.id, this.#salt)
      this.#seals = 0
    }
    this.#seals++
  }

  #sealingKey(root: TicketRootKey): AeadKey {
    const known = this.#derivedKeys.get(this.#sealingName)
    if (known !== undefined) return known
    const key = deriveKey(root, this.#salt)
    this.#derivedKeys.add(this.#sealingName, new Uint8Array(root.id), key)
    return key
  }

  #unseal(root: TicketRootKey, { salt, nonce, header, sealed }: TicketParts): Uint8Array | undefined {
    const name = keyName(root.id, salt)
    const known = this.#derivedKeys.get(name)
    const key = known ?? deriveKey(root, salt)
    const plaintext = openAes256Gcm(key, nonce, header, sealed)
    if (known !== undefined) return plaintext
    // Only a ticket that authenticates leaves its key behind: anybody can make up salts and would push out the others.
    if (plaintext === undefined) wipeAeadKey(key)
    else this.#derivedKeys.add(name, new Uint8Array(root.id), key)
    return plaintext
  }

  /** Derived keys go when their root key goes; the clock may have been set back. */
  #sweep(now: number): void {
    if (Math.abs(now - this.#sweptAtMs) < SWEEP_MS) return
    this.#sweptAtMs = now
    this.#derivedKeys.retain((rootId) => this.#keyring.find(rootId, now) !== undefined)
  }
}

/** Views of one ticket. */
interface TicketParts {
  readonly rootId: Uint8Array
  readonly salt: Uint8Array
  readonly nonce: Uint8Array
  readonly header: Uint8Array
  readonly sealed: Uint8Array
}

const TICKET_BYTES: ReadonlySet<number> = new Set(
  TICKET_STATE_BYTES.map((stateBytes) => HEADER_BYTES + stateBytes + TAG_BYTES),
)

/** The length says it all: what is shorter, or has bytes after its end, is not ours. */
function readTicket(ticket: Uint8Array): TicketParts | undefined {
  if (!TICKET_BYTES.has(ticket.length)) return undefined
  const reader = new Reader(ticket)
  if (reader.u8() !== FORMAT) return undefined
  const parts = {
    rootId: reader.opaque(ROOT_ID_BYTES),
    salt: reader.opaque(SALT_BYTES),
    nonce: reader.opaque(NONCE_BYTES),
    header: ticket.subarray(0, HEADER_BYTES),
    sealed: reader.rest(),
  }
  reader.end()
  return parts
}

function deriveKey(root: TicketRootKey, salt: Uint8Array): AeadKey {
  return importAeadKey(hkdfSha256(root.secret, salt, INFO, KEY_BYTES))
}

function isAlive(sinceMs: number, now: number): boolean {
  const ageMs = now - sinceMs
  return ageMs >= -MAX_SKEW_MS && ageMs <= LIFETIME_MS
}

function keyName(rootId: Uint8Array, salt: Uint8Array): string {
  return binaryString(rootId) + binaryString(salt)
}

/** One character a byte, for public bytes. */
function binaryString(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
