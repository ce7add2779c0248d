// Looks for secrets that show in time. Run it on a quiet machine when something that touches secrets has changed:
//   node scripts/timing-leak.ts [seconds a target]
//
// Each target does the same work on two kinds of secret, in random order, and Welch's t-test says whether the times of the
// two are different ("dudect", Reparaz, Balasch, Verbauwhede 2017): |t| above 4.5 is a leak, or a machine that is not quiet.
// The controls leak on purpose, a little: unless they are found, nothing that was not found means anything. What a
// target's "sees" says is the smallest difference that would have been found.
import { constants, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto'
import { createLocalSigner, premasterOfBlock } from '@latchkey/tls'
import { equalSecrets, publicKeyId } from '../packages/tls/src/crypto-provider.ts'
import { checkedPremaster } from '../packages/tls/src/handshake12/premaster-secret.ts'
import { seededRandom } from '../packages/tls/test/support/random.ts'
import { type NamedCase, TIMING_CASES } from '../packages/tls/test/support/timing-cases.ts'
import { measure, T_LIMIT } from '../packages/tls/test/support/timing.ts'

const seconds = Number(process.argv[2] ?? 4)
/** Fewer say nothing, whatever t is. */
const MIN_SAMPLES = 500
/** Inputs of each kind; a sample goes through some of them. */
const INPUTS = 256

interface Target {
  readonly name: string
  readonly isControl?: boolean
  /** Inputs a sample. */
  readonly batch: number
  /** Kind 0 or 1. */
  readonly input: (kind: number) => Uint8Array
  /** Must not keep or change more of the input than it does with every other. */
  readonly work: (input: Uint8Array) => unknown
}

/** A block of 256 bytes as RSA gives it: padded well, or wrong at `at`. */
function block(at?: number, value = 0): Uint8Array {
  const bytes = new Uint8Array(randomBytes(256)).map((byte) => byte || 1)
  bytes.set([0, 2])
  bytes[207] = 0
  if (at !== undefined) bytes[at] = value
  return bytes
}

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const { keyId } = publicKeyId(publicKey)
const signer = createLocalSigner([{ privateKey, publicKey }])
const { signal } = new AbortController()
const rsa = (bytes: Uint8Array): Uint8Array =>
  publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, bytes)
const decrypt = (ciphertext: Uint8Array): unknown =>
  signer.decryptPremaster?.(
    { keyId, ciphertext, clientVersion: 0x0303, serverName: '', clientAddress: undefined, deadlineMs: 0 },
    signal,
  )

const expected = new Uint8Array(randomBytes(32))
const substitute = new Uint8Array(randomBytes(48))

function premaster(version: number): Uint8Array {
  return Uint8Array.from([version >>> 8, version & 0xff, ...randomBytes(46)])
}

/** Looks for the end of the padding from the left. */
function leakyPremaster(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== 0 || bytes[1] !== 2) return undefined
  const end = bytes.indexOf(0, 2)
  return end === 207 ? bytes.slice(208) : undefined
}

const TARGETS: readonly Target[] = [
  {
    name: 'control: padding that is searched',
    isControl: true,
    batch: 64,
    input: (kind) => (kind === 0 ? block() : block(20)),
    work: leakyPremaster,
  },
  {
    name: 'equalSecrets (Finished, binders, ticket ids): equal or not',
    batch: 64,
    input: (kind) => (kind === 0 ? expected.slice() : new Uint8Array(randomBytes(32))),
    work: (input) => equalSecrets(input, expected),
  },
  {
    name: 'premasterOfBlock: good, or a zero early in the padding',
    batch: 16,
    input: (kind) => (kind === 0 ? block() : block(20)),
    work: (input) => premasterOfBlock(input.slice()),
  },
  {
    name: 'premasterOfBlock: good, or another block type',
    batch: 16,
    input: (kind) => (kind === 0 ? block() : block(1, 1)),
    work: (input) => premasterOfBlock(input.slice()),
  },
  {
    name: 'premasterOfBlock: good, or random',
    batch: 16,
    input: (kind) => (kind === 0 ? block() : new Uint8Array(randomBytes(256))),
    work: (input) => premasterOfBlock(input.slice()),
  },
  {
    name: 'checkedPremaster: the right version, or another',
    batch: 32,
    input: (kind) => premaster(kind === 0 ? 0x0303 : 0x0302),
    work: (input) => checkedPremaster(input.slice(), 0x0303, substitute),
  },
  {
    name: 'RSA-2048 with the local signer: good, or a zero early in the padding',
    batch: 1,
    input: (kind) => rsa(kind === 0 ? block() : block(20)),
    work: decrypt,
  },
  {
    name: 'RSA-2048 with the local signer: good, or no padding at all',
    batch: 1,
    input: (kind) => rsa(kind === 0 ? block() : Uint8Array.from([0, ...randomBytes(255)])),
    work: decrypt,
  },
]

/** Both kinds are worked on in the same memory: where an input lies takes its time too, and says nothing about the work. */
function caseOf({ name, isControl = false, batch, input, work }: Target): NamedCase {
  const inputs = [0, 1].map((kind) => Array.from({ length: INPUTS }, () => input(kind)))
  const memory = Array.from({ length: batch }, () => input(0).slice())
  let at = 0
  return {
    name,
    leaks: isControl,
    operations: batch,
    samples: Number.POSITIVE_INFINITY,
    prepare: (kind) => {
      const own = inputs[kind] as Uint8Array[]
      for (const bytes of memory) bytes.set(own[at++ % INPUTS] as Uint8Array)
      return () => {
        for (const bytes of memory) work(bytes)
      }
    },
  }
}

function verdict(isFound: boolean, samples: number): string {
  if (samples < MIN_SAMPLES) return `too few samples (${MIN_SAMPLES} are needed: give it more seconds)`
  return isFound ? 'differs' : 'no difference'
}

const random = seededRandom(Date.now() % 2 ** 31)
for (const target of [...TIMING_CASES, ...TARGETS.map(caseOf)]) {
  const { leaks } = target
  const { t, differenceNs, detectableNs, samples } = measure(target, random, seconds)
  const isFound = Math.abs(t) > T_LIMIT
  const isAsItShould = samples >= MIN_SAMPLES && (leaks === undefined || isFound === leaks)
  if (!isAsItShould) process.exitCode = 1
  console.log(
    `${isAsItShould ? 'ok ' : 'BAD'} ${target.name}: ${verdict(isFound, samples)}, t = ${t.toFixed(1)}, ` +
      `${differenceNs.toFixed(1)} ns, ${samples} samples, sees ${detectableNs.toFixed(2)} ns`,
  )
}
