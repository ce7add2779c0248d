// Pre-shared keys of the test client: what it keeps of a NewSessionTicket, and how it offers it. RFC 8446 §4.2.11, §4.6.1.
import { Reader } from '@latchkey/core'
import { concat, u16, u8, vector16, vector8 } from './bytes.ts'
import type { Extension } from './client-hello.ts'
import { deriveSecret, expandLabel, finishedData, hashOf, hmac, suiteOf } from './client-keys.ts'
import { EXTENSION } from './code-points.ts'

/** A session that can be resumed. */
export interface ClientSession {
  readonly suite: number
  readonly ticket: Uint8Array
  readonly secret: Uint8Array
  readonly ageAdd: number
  readonly lifetimeSeconds: number
}

export interface PskOffer {
  readonly sessions: readonly ClientSession[]
  /** Default psk_dhe_ke; undefined: no psk_key_exchange_modes. */
  readonly modes?: readonly number[] | undefined
  /** Stands in for each binder, in its place; as long as {@link binderBytes} says. */
  readonly binder?: (good: Uint8Array, index: number) => Uint8Array
  /** Default: what the hash of the session gives. */
  readonly binderBytes?: number
}

/** @param resumptionMaster of the connection that the ticket came on */
export function readNewSessionTicket(
  body: Uint8Array,
  suite: number,
  resumptionMaster: Uint8Array,
): ClientSession {
  const reader = new Reader(body)
  const lifetimeSeconds = reader.u32()
  const ageAdd = reader.u32()
  const nonce = reader.opaque8()
  const ticket = new Uint8Array(reader.opaque16())
  reader.vector16()
  reader.end()
  const { hash } = suiteOf(suite)
  const secret = expandLabel(hash, resumptionMaster, 'resumption', nonce, resumptionMaster.length)
  return { suite, ticket, secret, ageAdd, lifetimeSeconds }
}

/** psk_key_exchange_modes and pre_shared_key, with binders of zeros. */
export function pskExtensions({ sessions, ...offer }: PskOffer): Extension[] {
  const modes = 'modes' in offer ? offer.modes : [1]
  const identities = sessions.map(({ ticket, ageAdd }) =>
    concat(vector16(ticket), u16(ageAdd >>> 16), u16(ageAdd & 0xffff)),
  )
  const blanks = sessions.map(({ secret }) => vector8(new Uint8Array(offer.binderBytes ?? secret.length)))
  const body = concat(vector16(...identities), vector16(...blanks))
  return [
    ...(modes === undefined
      ? []
      : [{ type: EXTENSION.psk_key_exchange_modes, body: vector8(...modes.map(u8)) }]),
    { type: EXTENSION.pre_shared_key, body },
  ]
}

/** `hello` with its binders. @param before what the transcript holds: nothing, or a first hello and its retry */
export function withBinders(hello: Uint8Array, offer: PskOffer, before: readonly Uint8Array[]): Uint8Array {
  const sizes = offer.sessions.map(({ secret }) => 1 + (offer.binderBytes ?? secret.length))
  const truncated = hello.subarray(0, hello.length - sizes.reduce((sum, size) => sum + size, 2))
  return concat(truncated, bindersList(offer, [...before, truncated]))
}

function bindersList({ sessions, binder }: PskOffer, transcript: readonly Uint8Array[]): Uint8Array {
  const binders = sessions.map((session, index) => {
    const good = binderOf(session, transcript)
    return vector8(binder?.(good, index) ?? good)
  })
  return vector16(...binders)
}

function binderOf({ suite, secret }: ClientSession, transcript: readonly Uint8Array[]): Uint8Array {
  const { hash } = suiteOf(suite)
  const early = hmac(hash, new Uint8Array(secret.length), secret)
  return finishedData(
    hash,
    deriveSecret(hash, early, 'res binder', hashOf(hash)),
    hashOf(hash, ...transcript),
  )
}
