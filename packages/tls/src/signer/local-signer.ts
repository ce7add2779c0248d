// A signer for keys that are in this process after all: tests, benches, and servers that only want the engine.
import { decryptRaw, type KeyObject, publicKeyId, signContent } from '../crypto-provider.ts'
import { TlsError } from '../errors.ts'
import { SIGNATURE_SCHEMES } from '../handshake/signature-scheme.ts'
import { premasterOfBlock } from '../handshake12/premaster-secret.ts'
import type { Signer } from './signer.ts'

const ROW_BY_CODE = new Map<number, (typeof SIGNATURE_SCHEMES)[keyof typeof SIGNATURE_SCHEMES]>(
  Object.values(SIGNATURE_SCHEMES).map((row) => [row.code, row]),
)

/** Signs and decrypts with `keys`, found by the SHA-256 of their SubjectPublicKeyInfo; answers in the same turn. */
export function createLocalSigner(
  keys: readonly { readonly privateKey: KeyObject; readonly publicKey: KeyObject }[],
): Signer {
  const byId = new Map(
    keys.map(({ privateKey, publicKey }) => [hex(publicKeyId(publicKey).keyId), privateKey]),
  )
  return {
    sign({ keyId, scheme, content }) {
      const key = byId.get(hex(keyId))
      const row = ROW_BY_CODE.get(scheme)
      if (key === undefined || row === undefined)
        throw new TlsError('ERR_TLS_SIGNER', { detail: `no key ${hex(keyId)} for scheme ${scheme}` })
      return signContent(key, { hash: row.hash, pss: row.keyType === 'rsa' && row.tls13 }, content)
    },
    decryptPremaster({ keyId, ciphertext }) {
      const key = byId.get(hex(keyId))
      if (key === undefined) throw new TlsError('ERR_TLS_SIGNER', { detail: `no key ${hex(keyId)}` })
      return premasterOfBlock(decryptRaw(key, ciphertext))
    },
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
