// How each signature algorithm is asked of a token: the mechanism, what goes in, what comes out.
import type { SignatureAlgorithm } from '@latchkey/keys'
import {
  DIGEST_INFO,
  type DigestInfoHash,
  ecdsaInput,
  ecdsaToDer,
  isPss,
  ORDER_BYTES,
  type SupportedHalf,
} from '@latchkey/keys/driver'
import { SIGNATURE_ALGORITHMS } from '@latchkey/keys'
import { emsaPss } from './emsa-pss.ts'
import { CK, codeOf, type Cryptoki, type Handle, type Mechanism } from './cryptoki.ts'

/** What one signature is made with. */
export interface SigningPlan {
  readonly mechanism: Mechanism
  /** The bytes to hand over, memory of their own. */
  input(digest: Uint8Array): Buffer
  /** Bytes the token answers with. */
  readonly outputBytes: number
  /** From the token's form to that of TLS. */
  output(signature: Buffer): Uint8Array
}

/** PKCS #11 v2.40 mechanisms §2.1.10: hash, MGF1 of the same hash, and as long a salt. */
const PSS: Readonly<
  Record<string, { readonly hashAlg: number; readonly mgf: number; readonly saltLen: number }>
> = {
  sha256: { hashAlg: CK.CKM_SHA256, mgf: CK.CKG_MGF1_SHA256, saltLen: 32 },
  sha384: { hashAlg: CK.CKM_SHA384, mgf: CK.CKG_MGF1_SHA384, saltLen: 48 },
  sha512: { hashAlg: CK.CKM_SHA512, mgf: CK.CKG_MGF1_SHA512, saltLen: 64 },
}

const ED25519_BYTES = 64

/** The mechanism of an algorithm; undefined where the token has none. */
export type TokenMechanisms = ReadonlySet<number>

export function mechanismOf(algorithm: SignatureAlgorithm): number {
  const { keyType } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType === 'ed25519') return CK.CKM_EDDSA
  if (keyType === 'ec') return CK.CKM_ECDSA
  return isPss(algorithm) ? CK.CKM_RSA_PKCS_PSS : CK.CKM_RSA_PKCS
}

/** @param padsHere PSS is made here, and the token does raw RSA on it. */
export function signingPlan(
  algorithm: SignatureAlgorithm,
  half: SupportedHalf,
  padsHere: boolean,
): SigningPlan {
  const { hash } = SIGNATURE_ALGORITHMS[algorithm]
  const mechanism = mechanismOf(algorithm)
  if (half.kind === 'ec') {
    const bytes = ORDER_BYTES[half.curve] as number
    return {
      mechanism: { mechanism },
      input: (digest) => Buffer.from(ecdsaInput(digest, bytes)),
      outputBytes: 2 * bytes,
      output: (signature) => ecdsaToDer(signature, bytes),
    }
  }
  if (half.kind === 'ed25519') {
    return { mechanism: { mechanism }, input: copyOf, outputBytes: ED25519_BYTES, output: asBytes }
  }
  const outputBytes = Math.ceil(half.bits / 8)
  if (isPss(algorithm) && padsHere) {
    const options = { hashName: hash as string, modulusBits: half.bits }
    return {
      mechanism: { mechanism: CK.CKM_RSA_X_509 },
      input: (digest) => emsaPss(digest, options),
      outputBytes,
      output: asBytes,
    }
  }
  if (isPss(algorithm)) {
    const parameter = { type: CK.CK_PARAMS_RSA_PSS, ...PSS[hash as string] }
    return { mechanism: { mechanism, parameter }, input: copyOf, outputBytes, output: asBytes }
  }
  const info = DIGEST_INFO[hash as DigestInfoHash]
  return {
    mechanism: { mechanism },
    input: (digest) => Buffer.concat([info, digest]),
    outputBytes,
    output: asBytes,
  }
}

/** Never a null pointer, which modules refuse: an empty message is one as well. */
function copyOf(digest: Uint8Array): Buffer {
  const copy = Buffer.alloc(digest.length + 1).subarray(0, digest.length)
  copy.set(digest)
  return copy
}

function asBytes(signature: Buffer): Uint8Array {
  return signature
}

/** What the token can sign with. */
export function signingMechanisms(cryptoki: Cryptoki, slot: Handle): TokenMechanisms {
  return mechanismsWith(cryptoki, slot, CK.CKF_SIGN)
}

/** Whether the token decrypts RSA without looking at the padding. */
export function hasRawDecryption(cryptoki: Cryptoki, slot: Handle): boolean {
  return mechanismsWith(cryptoki, slot, CK.CKF_DECRYPT).has(CK.CKM_RSA_X_509)
}

function mechanismsWith(cryptoki: Cryptoki, slot: Handle, wanted: number): Set<number> {
  const names = [CK.CKM_RSA_PKCS, CK.CKM_RSA_PKCS_PSS, CK.CKM_RSA_X_509, CK.CKM_ECDSA, CK.CKM_EDDSA]
  return new Set(
    names.filter((name) => {
      try {
        return (cryptoki.C_GetMechanismInfo(slot, name).flags & wanted) !== 0
      } catch (cause) {
        if (codeOf(cause) === undefined) throw cause
        return false
      }
    }),
  )
}
