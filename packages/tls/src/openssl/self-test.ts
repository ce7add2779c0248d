// Whether two implementations give the same results, for what a handshake asks.
import type { AeadName, AeadParameters, EphemeralKey, HashName, Primitives } from '../crypto-provider.ts'
import { mlKemClient, TAG_BYTES } from '../crypto-provider.ts'
import { X25519_BYTES } from './x25519.ts'

export function agree(ours: Primitives, theirs: Primitives): boolean {
  return (
    HASHES.every((name) => hashesAgree(ours, theirs, name)) &&
    exchangesAgree(ours, theirs) &&
    encapsulates(ours) &&
    aeadsAgree(ours, theirs)
  )
}

const HASHES = ['sha256', 'sha384'] as const
/** Around the ends of blocks, of the page and of what it takes at a time. */
const HASHED_LENGTHS = [
  0, 1, 55, 56, 63, 64, 65, 111, 112, 119, 127, 128, 129, 256, 257, 1024, 20_480, 20_481,
]

function hashesAgree(ours: Primitives, theirs: Primitives, name: HashName): boolean {
  const running = ours.createHash(name)
  const theirRunning = theirs.createHash(name)
  return HASHED_LENGTHS.every((length) => {
    const bytes = new Uint8Array(length).fill(length)
    const key = new Uint8Array(48).fill(length + 1)
    running.update(bytes)
    theirRunning.update(bytes)
    return (
      equal(ours.digest(name, bytes), theirs.digest(name, bytes)) &&
      equal(ours.hmac(name, key, bytes, length), theirs.hmac(name, key, bytes, length)) &&
      equal(ours.hkdfExtract(name, key, bytes), theirs.hkdfExtract(name, key, bytes)) &&
      equal(running.digestWith(key), theirRunning.digestWith(key)) &&
      equal(running.digest(), theirRunning.digest())
    )
  })
}

function exchangesAgree(ours: Primitives, theirs: Primitives): boolean {
  const a = ours.generateX25519()
  const b = theirs.generateX25519()
  return equal(a.sharedSecret(b.share), b.sharedSecret(a.share)) && refusesZero(ours.generateX25519())
}

/** A Node that has node:ffi has ML-KEM. */
function encapsulates(ours: Primitives): boolean {
  const client = mlKemClient()
  if (client === undefined) return false
  const { sharedKey, ciphertext } = ours.encapsulateMlKem768(client.encapsulationKey)
  return equal(client.open(ciphertext), sharedKey)
}

function refusesZero(key: EphemeralKey): boolean {
  try {
    key.sharedSecret(new Uint8Array(X25519_BYTES))
    return false
  } catch {
    return true
  }
}

const KEY_LENGTHS = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 } as const

function aeadsAgree(ours: Primitives, theirs: Primitives): boolean {
  return (Object.keys(KEY_LENGTHS) as AeadName[]).every((name) =>
    [0, 1, 37, 16_385].every((length) => {
      const parameters = {
        key: new Uint8Array(KEY_LENGTHS[name]).fill(length + 1),
        nonce: new Uint8Array(12).fill(length),
        additionalData: new Uint8Array(5).fill(7),
      }
      const plaintext = new Uint8Array(length).fill(length)
      const sealed = sealWhole(ours, name, parameters, plaintext)
      if (!equal(sealed, sealWhole(theirs, name, parameters, plaintext))) return false
      const opened = ours.open(name, parameters, sealed)
      sealed[length] = (sealed[length] as number) ^ 1
      return (
        opened !== undefined && equal(opened, plaintext) && ours.open(name, parameters, sealed) === undefined
      )
    }),
  )
}

function sealWhole(
  primitives: Primitives,
  name: AeadName,
  parameters: AeadParameters,
  plaintext: Uint8Array,
): Uint8Array {
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES)
  primitives.sealBuffer.set(plaintext)
  primitives.seal(sealed, 0, name, parameters, plaintext.length)
  return sealed
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
