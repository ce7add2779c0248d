// One certificate a kind of key and process, from a throw-away authority with an intermediate: chains of two.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'

export type KeyKind = 'p256' | 'p384' | 'rsa2048' | 'ed25519'

export const KEY_KINDS: readonly KeyKind[] = ['p256', 'p384', 'rsa2048', 'ed25519']

export interface TestCertificate {
  readonly kind: KeyKind
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The leaf. */
  readonly der: Uint8Array
  /** Leaf and intermediate. */
  readonly chainPem: string
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly keyId: Uint8Array
}

const ALGORITHMS: Readonly<Record<KeyKind, KeyAlgorithm>> = {
  p256: 'ecdsa-p256',
  p384: 'ecdsa-p384',
  rsa2048: 'rsa-2048',
  ed25519: 'ed25519',
}

const authority = await (await createThrowawayCa()).issueIntermediate()

async function issue(kind: KeyKind): Promise<TestCertificate> {
  const { chainPem, certificatePem, privateKeyPem } = await authority.issue({
    dnsNames: ['example.com', '*.example.com'],
    keyAlgorithm: ALGORITHMS[kind],
    isDelegation: true,
  })
  const privateKey = createPrivateKey(privateKeyPem)
  const publicKey = createPublicKey(privateKey)
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  return {
    kind,
    privateKey,
    publicKey,
    der: new X509Certificate(certificatePem).raw,
    chainPem,
    keyId: createHash('sha256').update(spki).digest(),
  }
}

const certificates = await Promise.all(KEY_KINDS.map(issue))

export function testCertificate(kind: KeyKind): TestCertificate {
  return certificates[KEY_KINDS.indexOf(kind)] as TestCertificate
}

export function certificateOfKey(keyId: Uint8Array): TestCertificate | undefined {
  return certificates.find((known) => Buffer.compare(known.keyId, keyId) === 0)
}
