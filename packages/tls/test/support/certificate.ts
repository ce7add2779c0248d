// Self-signed leaf certificates for tests, in the DER of RFC 5280 §4.1: enough for a client that checks the key only.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { ascii, concat, hex, u8 } from './bytes.ts'

export type KeyKind = 'p256' | 'p384' | 'rsa2048' | 'ed25519'

export interface TestCertificate {
  readonly kind: KeyKind
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly der: Uint8Array
  readonly pem: string
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly keyId: Uint8Array
}

/** One DER value with its true length. */
function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(...parts)
  const { length } = body
  const size =
    length < 0x80 ? u8(length) : length < 0x100 ? Uint8Array.of(0x81, length) : hex(`82${hex16(length)}`)
  return concat(u8(tag), size, body)
}

function hex16(value: number): string {
  return value.toString(16).padStart(4, '0')
}

const SEQUENCE = 0x30
const ALGORITHMS: Readonly<Record<KeyKind, { identifier: Uint8Array; hash: string | undefined }>> = {
  p256: { identifier: hex('300a06082a8648ce3d040302'), hash: 'sha256' },
  p384: { identifier: hex('300a06082a8648ce3d040303'), hash: 'sha384' },
  rsa2048: { identifier: hex('300d06092a864886f70d01010b0500'), hash: 'sha256' },
  ed25519: { identifier: hex('300506032b6570'), hash: undefined },
}

function keyPair(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  if (kind === 'rsa2048') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  if (kind === 'ed25519') return generateKeyPairSync('ed25519')
  return generateKeyPairSync('ec', { namedCurve: kind === 'p256' ? 'prime256v1' : 'secp384r1' })
}

/** A certificate for `names`, valid from 2020 to 2049. */
export function selfSigned(kind: KeyKind, names: readonly string[]): TestCertificate {
  const { privateKey, publicKey } = keyPair(kind)
  const { identifier, hash } = ALGORITHMS[kind]
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const commonName = der(SEQUENCE, hex('0603550403'), der(0x0c, ascii('latchkey test')))
  const name = der(SEQUENCE, der(0x31, commonName))
  const altNames = der(SEQUENCE, ...names.map((host) => der(0x82, ascii(host))))
  const extension = der(SEQUENCE, hex('0603551d11'), der(0x04, altNames))
  const tbs = der(
    SEQUENCE,
    hex('a003020102'), // v3
    hex('020101'),
    identifier,
    name,
    der(SEQUENCE, der(0x17, ascii('200101000000Z')), der(0x17, ascii('491231235959Z'))),
    name,
    spki,
    der(0xa3, der(SEQUENCE, extension)),
  )
  const signature = sign(hash, tbs, privateKey)
  const certificate = der(SEQUENCE, tbs, identifier, der(0x03, u8(0), signature))
  const base64 = Buffer.from(certificate)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n')
  return {
    kind,
    privateKey,
    publicKey,
    der: certificate,
    pem: `-----BEGIN CERTIFICATE-----\n${base64.trim()}\n-----END CERTIFICATE-----\n`,
    keyId: createHash('sha256').update(spki).digest(),
  }
}
