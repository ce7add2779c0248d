// Which operations a key of this kind and size has room for.
import { DIGEST_INFO } from './digest-info.ts'
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from './private-key.ts'
import type { SupportedHalf } from './supported-half.ts'

/** Shared by all keys of a kind. */
const algorithmSets = new Map<string, ReadonlySet<SignatureAlgorithm>>()

/** What the key can do: its type's rows of the table, less what a short modulus has no room for. */
export function algorithmsOf(half: SupportedHalf): ReadonlySet<SignatureAlgorithm> {
  const bits = half.kind === 'rsa' ? half.bits : 0
  const name = `${half.kind} ${bits}`
  const known = algorithmSets.get(name)
  if (known !== undefined) return known
  const names = Object.keys(SIGNATURE_ALGORITHMS) as SignatureAlgorithm[]
  const algorithms = new Set(
    names.filter((each) => SIGNATURE_ALGORITHMS[each].keyType === half.kind && hasRoom(each, bits)),
  )
  algorithmSets.set(name, algorithms)
  return algorithms
}

function hasRoom(algorithm: SignatureAlgorithm, modulusBits: number): boolean {
  const { keyType, hash, digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType !== 'rsa') return true
  // RFC 8017 §9.1.1: emLen ≥ hLen + sLen + 2, of modBits - 1 bits. §9.2: k ≥ tLen + 11.
  if (isPss(algorithm)) return Math.ceil((modulusBits - 1) / 8) >= 2 * digestBytes + 2
  return Math.ceil(modulusBits / 8) >= DIGEST_INFO[hash].length + digestBytes + 11
}

export function isPss(algorithm: SignatureAlgorithm): boolean {
  return algorithm.startsWith('rsa_pss_')
}
