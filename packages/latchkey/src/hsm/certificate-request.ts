// A certification request (RFC 2986) signed by a key that only signs: on a token, in a cloud, at a file store.
import 'reflect-metadata' // must be loaded before the certificate library
import { webcrypto } from 'node:crypto'
import { createHash } from 'node:crypto'
import { type PrivateKey, SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '@latchkey/keys'
import { ecdsaFromDer, ORDER_BYTES } from '@latchkey/keys/driver'
import * as x509 from '@peculiar/x509'

export interface RequestOptions {
  /** DNS names; the first is the common name as well, if it is short enough. */
  readonly names: readonly string[]
}

/** RFC 5280 appendix A.1, ub-common-name. */
const MAX_COMMON_NAME = 64

interface Signing {
  readonly algorithm: SignatureAlgorithm
  /** As WebCrypto names it: what the certificate library takes. */
  readonly web: Readonly<Record<string, unknown>>
}

/** The request in PEM. @throws {KeysError} of the signature. @throws {TypeError} if the key has no signature for it. */
export async function certificateRequest(key: PrivateKey, { names }: RequestOptions): Promise<string> {
  const { algorithm, web } = signingOf(key)
  const spki = key.publicKey.export({ type: 'spki', format: 'der' })
  const publicKey = await webcrypto.subtle.importKey('spki', spki, web as never, true, ['verify'])
  const [first = ''] = names
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: new x509.Name(first.length > MAX_COMMON_NAME ? [] : [{ CN: [first] }]),
      // It never leaves the signer: the library asks for its algorithm only.
      keys: {
        publicKey,
        privateKey: { ...publicKeyShape(publicKey), type: 'private', usages: ['sign'] } as never,
      },
      signingAlgorithm: web as never,
      extensions: [
        new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
      ],
    },
    signingElsewhere(async (data) => {
      const { hash } = SIGNATURE_ALGORITHMS[algorithm]
      const input = hash === undefined ? data : createHash(hash).update(data).digest()
      const signature = await key.sign(algorithm, input)
      const curve = key.publicKey.asymmetricKeyDetails?.namedCurve ?? ''
      return key.keyType === 'ec' ? ecdsaFromDer(signature, ORDER_BYTES[curve] as number) : signature
    }),
  )
  return `${request.toString('pem')}\n`
}

function publicKeyShape({ algorithm, extractable }: webcrypto.CryptoKey): object {
  return { algorithm, extractable }
}

/** node:crypto's, but for signatures. */
function signingElsewhere(sign: (data: Uint8Array) => Promise<Uint8Array>): Crypto {
  const subtle = new Proxy(webcrypto.subtle, {
    get: (target, name) => {
      if (name === 'sign') {
        return async (_algorithm: unknown, _key: unknown, data: ArrayBuffer | Uint8Array) =>
          new Uint8Array(await sign(new Uint8Array(data))).buffer
      }
      const member = Reflect.get(target, name) as unknown
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
  return { subtle, getRandomValues: webcrypto.getRandomValues.bind(webcrypto) } as unknown as Crypto
}

function signingOf(key: PrivateKey): Signing {
  const curve = key.publicKey.asymmetricKeyDetails?.namedCurve
  const candidates: readonly Signing[] = [
    ...(curve === 'prime256v1' ? [ecdsa('P-256', 256)] : []),
    ...(curve === 'secp384r1' ? [ecdsa('P-384', 384)] : []),
    ...(curve === 'secp521r1' ? [ecdsa('P-521', 512)] : []),
    ...([256, 384, 512] as const).map(
      (bits): Signing => ({
        algorithm: `rsa_pkcs1_sha${bits}`,
        web: { name: 'RSASSA-PKCS1-v1_5', hash: `SHA-${bits}` },
      }),
    ),
    ...([256, 384, 512] as const).map(
      (bits): Signing => ({
        algorithm: `rsa_pss_sha${bits}`,
        web: { name: 'RSA-PSS', hash: `SHA-${bits}`, saltLength: bits / 8 },
      }),
    ),
    { algorithm: 'ed25519', web: { name: 'Ed25519' } },
  ]
  const found = candidates.find(({ algorithm }) => key.algorithms.has(algorithm))
  if (found === undefined) throw new TypeError(`${key.source}: no signature that a request can have`)
  return found
}

function ecdsa(namedCurve: string, bits: 256 | 384 | 512): Signing {
  return { algorithm: `ecdsa_sha${bits}`, web: { name: 'ECDSA', namedCurve, hash: `SHA-${bits}` } }
}
