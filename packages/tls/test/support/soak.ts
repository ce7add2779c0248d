// What must hold for very long: short in the tests, at full length in scripts/soak.ts.
import assert from 'node:assert/strict'
import { ascii, u8 } from './bytes.ts'
import { message } from './client-hello.ts'
import { GROUP, MESSAGE, RECORD, SUITE } from './code-points.ts'
import { establishedWire, unfinishedWire, Wire, type WireClient, type WireOf } from './harness.ts'

/** Ten KeyUpdates of the client and one of the server a round, with data both ways. */
export function updateKeys(count: number): void {
  const wire = establishedWire()
  const rounds = count / 10
  for (let round = 0; round < rounds; round++) {
    for (let update = 0; update < 10; update++) wire.client.updateKeys(update === 9 ? 1 : 0)
    wire.client.send(u8(round))
    wire.deliver(wire.client.take())
    wire.server.send([u8(round)])
    if (round % 100 === 99) wire.run()
  }
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.data.length, rounds)
  assert.equal(wire.client.data.length, rounds)
  assert.equal(wire.client.keyUpdates, rounds)
}

// ── nonces ────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Finds a (key, nonce) pair that is used twice, without a look inside: the first bytes of a record are plaintext ⊕
 * keystream, and the keystream is a function of key and nonce (with AES a permutation of the nonce: two alike are the
 * same nonce). So among records of known plaintext no two keystreams may be alike. Eight bytes of each are kept, six of
 * a KeyUpdate, which has no more: that two of 10^6 are alike by chance has a probability below 10^-6.
 */
export class NonceWatch {
  readonly #keystreams: BigUint64Array
  readonly #ofKeyUpdates = new Set<bigint>()
  #count = 0

  constructor(records: number) {
    this.#keystreams = new BigUint64Array(records)
  }

  /** The ciphertext of zeros, at least eight. */
  seeZeros(ciphertext: Uint8Array): void {
    this.#keystreams[this.#count++] = head(ciphertext)
  }

  seeKeyUpdate(ciphertext: Uint8Array): void {
    this.#ofKeyUpdates.add((head(ciphertext) ^ KEY_UPDATE_HEAD) >> 16n)
  }

  get count(): number {
    return this.#count
  }

  get keyUpdates(): number {
    return this.#ofKeyUpdates.size
  }

  /** How many keystreams were used before. */
  get repeats(): number {
    const sorted = this.#keystreams.subarray(0, this.#count).toSorted()
    let repeats = 0
    for (let at = 0; at < sorted.length; at++) {
      const keystream = sorted[at] as bigint
      if (keystream === sorted[at - 1] || this.#ofKeyUpdates.has(keystream >> 16n)) repeats++
    }
    return repeats
  }
}

function head(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)
}

/** KeyUpdate(update_not_requested) and its content type, then two bytes of tag that nothing is known of. */
const KEY_UPDATE_HEAD = 0x18_000001_00_16_0000n

export const HEADER_BYTES = 5
const ZEROS = [new Uint8Array(8)]

/** Has the server send zeros, and sees each record; `recordBytes` long, with `explicit` bytes of nonce in it. */
export function watch(
  wire: WireOf<WireClient>,
  watcher: NonceWatch,
  { records, recordBytes, explicit }: Record<'records' | 'recordBytes' | 'explicit', number>,
): void {
  wire.writes.length = 0
  for (let count = 0; count < records; count++) wire.server.send(ZEROS)
  for (const write of wire.writes) {
    // A KeyUpdate may stand in front.
    const start = write.length - recordBytes
    if (start > 0) watcher.seeKeyUpdate(write.subarray(HEADER_BYTES))
    watcher.seeZeros(write.subarray(start + HEADER_BYTES + explicit))
  }
}

/** Header, content, content type, tag. */
export const RECORD_BYTES = HEADER_BYTES + 8 + 1 + 16

/** Sends `records` records under ever new keys and sees that no (key, nonce) pair comes twice. */
export function watchNonces(suite: keyof typeof SUITE, records: number, recordsPerKey: number): void {
  const wire = establishedWire({ hello: { suites: [SUITE[suite]] } })
  const watcher = new NonceWatch(records)
  const keys = records / recordsPerKey
  for (let key = 0; key < keys; key++) {
    if (key > 0) wire.client.updateKeys(1).send(u8(1))
    wire.deliver(wire.client.take())
    watch(wire, watcher, { records: recordsPerKey, recordBytes: RECORD_BYTES, explicit: 0 })
  }
  assert.equal(wire.error, undefined)
  assert.equal(watcher.count, records)
  assert.equal(watcher.keyUpdates, keys - 1)
  assert.equal(watcher.repeats, 0)
}

// ── handshakes that fail ──────────────────────────────────────────────────────────────────────────────────────────

/** Ways to fail, from the first byte to the last, one after the other. */
const FAILURES: readonly (() => Wire)[] = [
  () => new Wire().deliver(ascii('GET / HTTP/1.1\r\n')),
  () => new Wire({ hello: { alpn: ['h3'] } }).start(),
  () => new Wire({ hello: { keyShares: [{ group: GROUP.x25519, share: new Uint8Array(32) }] } }).start(),
  () => new Wire({ shares: [], secondHello: (hello) => ({ ...hello, keyShares: [] }) }).start(),
  () => unfinishedWire().deliver(new Uint8Array(6000).fill(RECORD.data)),
  () => {
    const wire = unfinishedWire()
    wire.client.finish(message(MESSAGE.finished, new Uint8Array(32)))
    return wire.run()
  },
  () => {
    const wire = new Wire({ signing: 'hold' }).start()
    wire.server.transportEnded()
    return wire
  },
]

/** Starts `count` handshakes, none of which comes to an end that the client wants. */
export function failHandshakes(count: number): void {
  for (let round = 0; round < count; round++) {
    const wire = FAILURES[round % FAILURES.length]?.()
    assert.ok(wire?.isClosed === true && wire.error !== undefined && wire.establishedCount === 0)
  }
}
