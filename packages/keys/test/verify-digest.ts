// Verifies a signature over a digest with none of the code that made it: the padding of RFC 8017 and the curve
// arithmetic of FIPS 186-5 in plain BigInt. For tests; nothing here is constant in time or fast.
import { constants, createHash, type KeyObject, publicDecrypt, verify } from 'node:crypto'
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../src/private-key.ts'

/** Whether `signature` is `publicKey`'s over `input`: a digest, or the message for Ed25519. */
export function verifyDigest(
  publicKey: KeyObject,
  algorithm: SignatureAlgorithm,
  input: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyType, hash } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType === 'ed25519') return verify(null, input, publicKey, signature)
  if (keyType === 'ec') return verifyEcdsa(publicKey, input, signature)
  const modulusBits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0
  if (signature.length !== Math.ceil(modulusBits / 8)) return false
  const block = rawRsaPublic(publicKey, signature)
  if (block === undefined) return false
  if (algorithm.startsWith('rsa_pss_')) return verifyPss(block, modulusBits, hash, input)
  return Buffer.compare(block, pkcs1Block(block.length, hash, input)) === 0
}

/** s^e mod n; undefined if s ≥ n. */
export function rawRsaPublic(publicKey: KeyObject, signature: Uint8Array): Uint8Array | undefined {
  try {
    return publicDecrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, signature)
  } catch {
    return undefined
  }
}

/** RFC 8017 §9.2 note 1: DER of DigestInfo up to the digest. MD5‖SHA-1 goes without (RFC 2246 §4.7). */
const DIGEST_INFO: Readonly<Record<string, string>> = {
  'md5-sha1': '',
  sha1: '3021300906052b0e03021a05000414',
  sha224: '302d300d06096086480165030402040500041c',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
}

/** RFC 8017 §9.2: 00 01 FF…FF 00 DigestInfo */
function pkcs1Block(length: number, hash: string, digest: Uint8Array): Buffer {
  const info = Buffer.concat([Buffer.from(DIGEST_INFO[hash] as string, 'hex'), digest])
  const padding = Buffer.alloc(length - info.length - 3, 0xff)
  return Buffer.concat([Buffer.of(0, 1), padding, Buffer.of(0), info])
}

/** RFC 8017 §9.1.2 with sLen = hLen. */
function verifyPss(block: Uint8Array, modulusBits: number, hash: string, digest: Uint8Array): boolean {
  const sha = (...parts: Uint8Array[]): Buffer => createHash(hash).update(Buffer.concat(parts)).digest()
  const bits = modulusBits - 1
  const length = Math.ceil(bits / 8)
  const encoded = block.subarray(block.length - length)
  if (block.subarray(0, block.length - length).some((byte) => byte !== 0)) return false
  const hashLength = digest.length
  if (length < 2 * hashLength + 2 || encoded.at(-1) !== 0xbc) return false
  const masked = encoded.subarray(0, length - hashLength - 1)
  const h = encoded.subarray(length - hashLength - 1, -1)
  const unusedBits = 8 * length - bits
  if ((masked[0] as number) >> (8 - unusedBits) !== 0 && unusedBits > 0) return false

  const db = Buffer.alloc(masked.length)
  for (let at = 0, counter = 0; at < db.length; at += hashLength, counter++) {
    const mask = sha(h, Buffer.of(counter >>> 24, counter >>> 16, counter >>> 8, counter))
    for (let i = 0; i < hashLength && at + i < db.length; i++) {
      db[at + i] = (masked[at + i] as number) ^ (mask[i] as number)
    }
  }
  db[0] = (db[0] as number) & (0xff >> unusedBits)
  const zeros = db.length - hashLength - 1
  if (db.subarray(0, zeros).some((byte) => byte !== 0) || db[zeros] !== 1) return false
  return sha(Buffer.alloc(8), digest, db.subarray(zeros + 1)).equals(h)
}

interface Curve {
  /** y² = x³ - 3x + b over the field of p, order n, base point (gx, gy). FIPS 186-4 §D.1.2. */
  readonly p: bigint
  readonly n: bigint
  readonly gx: bigint
  readonly gy: bigint
}

const CURVES: Readonly<Record<string, Curve>> = {
  secp224r1: {
    p: 2n ** 224n - 2n ** 96n + 1n,
    n: 0xffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3dn,
    gx: 0xb70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21n,
    gy: 0xbd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34n,
  },
  prime256v1: {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    gx: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
    gy: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  },
  secp384r1: {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    gx: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
    gy: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
  },
  secp521r1: {
    p: 2n ** 521n - 1n,
    n: 0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    gx: 0xc6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
    gy: 0x11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
  },
}

/** FIPS 186-5 §6.4.2. */
function verifyEcdsa(publicKey: KeyObject, digest: Uint8Array, signature: Uint8Array): boolean {
  const curve = CURVES[publicKey.asymmetricKeyDetails?.namedCurve ?? '']
  const parts = derIntegers(signature)
  if (curve === undefined || parts === undefined) return false
  const [r, s] = parts
  const { n, p } = curve
  if (r < 1n || r >= n || s < 1n || s >= n) return false

  const orderBits = n.toString(2).length
  const excess = Math.max(0, digest.length * 8 - orderBits)
  const e = integer(digest) >> BigInt(excess)
  const inverse = invert(s, n)
  const q = publicPoint(publicKey, p)
  const sum = add(
    multiply([curve.gx, curve.gy, 1n], modulo(e * inverse, n), p),
    multiply(q, modulo(r * inverse, n), p),
    p,
  )
  if (sum[2] === 0n) return false
  const zInverse = invert(sum[2], p)
  return modulo(modulo(sum[0] * zInverse * zInverse, p), n) === r
}

/** The last 2·|p| bytes of a SubjectPublicKeyInfo with an uncompressed point. */
function publicPoint(publicKey: KeyObject, p: bigint): Point {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const fieldBytes = Math.ceil(p.toString(2).length / 8)
  const point = spki.subarray(spki.length - 2 * fieldBytes)
  return [integer(point.subarray(0, fieldBytes)), integer(point.subarray(fieldBytes)), 1n]
}

/** Jacobian: x = X/Z², y = Y/Z³; Z = 0 is the point at infinity. */
type Point = readonly [bigint, bigint, bigint]
const INFINITY: Point = [1n, 1n, 0n]

function multiply(point: Point, scalar: bigint, p: bigint): Point {
  let result = INFINITY
  for (const bit of scalar.toString(2)) {
    result = double(result, p)
    if (bit === '1') result = add(result, point, p)
  }
  return result
}

/** a = -3: https://hyperelliptic.org/EFD/g1p/auto-shortw-jacobian-3.html, dbl-2001-b. */
function double([x, y, z]: Point, p: bigint): Point {
  if (z === 0n) return INFINITY
  const delta = modulo(z * z, p)
  const gamma = modulo(y * y, p)
  const beta = modulo(x * gamma, p)
  const alpha = modulo(3n * (x - delta) * (x + delta), p)
  const x3 = modulo(alpha * alpha - 8n * beta, p)
  const z3 = modulo((y + z) * (y + z) - gamma - delta, p)
  return [x3, modulo(alpha * (4n * beta - x3) - 8n * gamma * gamma, p), z3]
}

/** add-2007-bl of the same page. */
function add(left: Point, right: Point, p: bigint): Point {
  if (left[2] === 0n) return right
  if (right[2] === 0n) return left
  const z1z1 = modulo(left[2] * left[2], p)
  const z2z2 = modulo(right[2] * right[2], p)
  const u1 = modulo(left[0] * z2z2, p)
  const u2 = modulo(right[0] * z1z1, p)
  const s1 = modulo(left[1] * right[2] * z2z2, p)
  const s2 = modulo(right[1] * left[2] * z1z1, p)
  if (u1 === u2) return s1 === s2 ? double(left, p) : INFINITY
  const h = u2 - u1
  const i = modulo(4n * h * h, p)
  const j = modulo(h * i, p)
  const r = 2n * (s2 - s1)
  const v = modulo(u1 * i, p)
  const x3 = modulo(r * r - j - 2n * v, p)
  const y3 = modulo(r * (v - x3) - 2n * s1 * j, p)
  return [x3, y3, modulo(2n * left[2] * right[2] * h, p)]
}

function modulo(value: bigint, p: bigint): bigint {
  const rest = value % p
  return rest < 0n ? rest + p : rest
}

/** By the extended Euclidean algorithm. */
function invert(value: bigint, p: bigint): bigint {
  let [r0, r1] = [p, modulo(value, p)]
  let [t0, t1] = [0n, 1n]
  while (r1 !== 0n) {
    const quotient = r0 / r1
    ;[r0, r1] = [r1, r0 - quotient * r1]
    ;[t0, t1] = [t1, t0 - quotient * t1]
  }
  return modulo(t0, p)
}

function integer(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

/** SEQUENCE { INTEGER r, INTEGER s } in strict DER: shortest lengths, shortest positive integers, nothing after. */
function derIntegers(der: Uint8Array): readonly [bigint, bigint] | undefined {
  let at = 0
  const header = (tag: number): number => {
    if (der[at++] !== tag) return -1
    const length = der[at++] ?? -1
    if (length < 0x80) return length
    const long = der[at++] ?? -1
    return length === 0x81 && long >= 0x80 ? long : -1
  }
  const positive = (): bigint | undefined => {
    const length = header(0x02)
    const bytes = der.subarray(at, at + length)
    at += length
    const [first, second] = bytes
    if (length < 1 || bytes.length !== length || first === undefined || first >= 0x80) return undefined
    if (first === 0 && (second === undefined || second < 0x80)) return undefined
    return integer(bytes)
  }
  if (header(0x30) !== der.length - at) return undefined
  const r = positive()
  const s = positive()
  return r === undefined || s === undefined || at !== der.length ? undefined : [r, s]
}
