// From a certificate to delegated credentials that can be served in its place, and until when. RFC 9345.
import { allowsDigitalSignature, DecodeError, readCertificateExtensions } from '@latchkey/core'
import {
  importPublicKey,
  type KeyObject,
  signContent,
  verifySignature,
  X509Certificate,
} from '../crypto-provider.ts'
import { TlsError } from '../errors.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import { CertificateMessages } from './certificate-messages.ts'
import type { Credential } from './credential.ts'
import {
  delegatedCredentialContent,
  type DelegatedKey,
  readDelegatedCredential,
} from './delegated-credential.ts'

/** What a delegated key may sign with. RFC 9345 §4: no rsaEncryption keys, and we have no others of RSA. */
export type DelegatedScheme = Exclude<SignatureSchemeName, `rsa_${string}`>

/** A delegated credential that can be served, with its key. The bytes are shared by all handshakes: do not change them. */
export interface DelegatedCredential {
  /** The Certificate messages that carry it. */
  readonly certificateMessages: CertificateMessages
  /** `dc_cert_verify_algorithm`: what {@link sign} signs with. */
  readonly scheme: DelegatedScheme
  /** What the certificate's key signed it with. */
  readonly algorithm: SignatureSchemeName
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number
  /** Signs with the delegated key, here and at once. */
  sign(content: Uint8Array): Uint8Array
}

/** Which delegated credentials may stand in for a certificate now. Synchronous: no handshake waits for one. */
export interface DelegatedCredentialSource {
  /** In order of preference; whether one is still good is checked by who asks. */
  current(credential: Credential): readonly DelegatedCredential[]
}

/** RFC 9345 §4.1.3: clients refuse one that is good for longer. */
export const MAX_VALIDITY_MS = 7 * 24 * 3_600_000
/** What a client's clock may be wrong by, either way. */
export const CLOCK_SKEW_MS = 3_600_000

/** Whether clients whose clock is not too wrong will take it. RFC 9345 §4.1.3, §5.1. */
export function isServable({ expiresAtMs }: DelegatedCredential, nowMs: number): boolean {
  const left = expiresAtMs - nowMs
  return left >= CLOCK_SKEW_MS && left <= MAX_VALIDITY_MS - CLOCK_SKEW_MS
}

/** DelegationUsage. RFC 9345 §4.2. */
const DELEGATION_USAGE = '1.3.6.1.4.1.44363.44'
const KEY_USAGE = '2.5.29.15'

/**
 * A certificate whose key may sign delegated credentials: without these extensions every client would refuse them.
 *
 * @throws {TlsError} ERR_TLS_CREDENTIAL
 * @see RFC 9345 §4.2
 */
export function requireDelegationUsage(credential: Credential): void {
  const extensions = extensionsOf(leafOf(credential))
  if (!extensions.some(({ oid }) => oid === DELEGATION_USAGE))
    unfit('the certificate has no DelegationUsage extension: its authority must issue it with one')
  const keyUsage = extensions.find(({ oid }) => oid === KEY_USAGE)
  if (keyUsage === undefined || !allowsDigitalSignature(keyUsage.value))
    unfit("the certificate's keyUsage does not allow digital signatures")
}

function extensionsOf(leaf: Uint8Array): ReturnType<typeof readCertificateExtensions> {
  try {
    return readCertificateExtensions(leaf)
  } catch (cause) {
    if (cause instanceof DecodeError)
      throw new TlsError('ERR_TLS_CREDENTIAL', { detail: `certificate: ${cause.message}`, cause })
    throw cause
  }
}

export function leafOf({ chain }: Credential): Uint8Array {
  return chain[0] as Uint8Array // loadCredential has seen to it that there is one
}

/** The start of a certificate's validity, from which `valid_time` counts. Milliseconds since the epoch. */
export function notBeforeMs(credential: Credential): number {
  return Date.parse(new X509Certificate(leafOf(credential)).validFrom)
}

/**
 * A delegated credential that was issued elsewhere, with its key.
 *
 * @throws {TlsError} ERR_TLS_CREDENTIAL if a client would refuse it, whatever the time.
 */
export function loadDelegatedCredential(parts: DelegatedCredentialParts): DelegatedCredential {
  requireDelegationUsage(parts.credential)
  checkDelegation(parts.credential, parts.encoded)
  return openDelegatedCredential(parts)
}

export interface DelegatedCredentialParts {
  /** The certificate that it stands in for. */
  readonly credential: Credential
  /** DelegatedCredential of RFC 9345 §4. */
  readonly encoded: Uint8Array
  readonly privateKey: KeyObject
}

/** Whether the certificate's key has signed it, for a time that it has itself. @throws {TlsError} ERR_TLS_CREDENTIAL */
export function checkDelegation(credential: Credential, encoded: Uint8Array): void {
  const { key, cred, algorithm: code, signature } = readDelegatedCredential(encoded)
  const { hash } = SIGNATURE_SCHEMES[algorithmOf(credential, code)]
  const content = delegatedCredentialContent(leafOf(credential), cred, code)
  if (!verifySignature(credential.publicKey, { hash, pss: true }, content, signature))
    unfit('delegated credential: the signature does not verify')
  if (expiresAtMs(credential, key) > credential.notAfterMs)
    unfit('delegated credential: it outlives the certificate')
}

/** Milliseconds since the epoch. */
function expiresAtMs(credential: Credential, { validTimeSeconds }: DelegatedKey): number {
  return notBeforeMs(credential) + validTimeSeconds * 1000
}

function algorithmOf({ schemes }: Credential, code: number): SignatureSchemeName {
  return (
    schemes.find((name) => SIGNATURE_SCHEMES[name].code === code) ??
    unfit(`delegated credential: signed with ${hex(code)}, which is not for the certificate's key`)
  )
}

/** {@link loadDelegatedCredential} without a look at the certificate, its signature and its time: who calls has looked. */
export function openDelegatedCredential({
  credential,
  encoded,
  privateKey,
}: DelegatedCredentialParts): DelegatedCredential {
  const { key, algorithm } = readDelegatedCredential(encoded)
  const scheme = delegatedSchemeOf(key.dcCertVerifyAlgorithm)
  const { hash } = SIGNATURE_SCHEMES[scheme]
  checkKey(key.spki, privateKey, scheme)
  return {
    certificateMessages: new CertificateMessages(credential.chain, credential.staples, encoded),
    scheme,
    algorithm: algorithmOf(credential, algorithm),
    expiresAtMs: expiresAtMs(credential, key),
    sign: (content) => signContent(privateKey, { hash, pss: false }, content),
  }
}

function delegatedSchemeOf(code: number): DelegatedScheme {
  const [name] = Object.entries(SIGNATURE_SCHEMES).find(([, row]) => row.code === code) ?? []
  if (name === undefined || name.startsWith('rsa_'))
    return unfit(`delegated credential: dc_cert_verify_algorithm ${hex(code)} is not allowed`)
  return name as DelegatedScheme
}

/** The key that is here is the one that was vouched for, and can do what it was vouched for. */
function checkKey(spki: Uint8Array, privateKey: KeyObject, scheme: DelegatedScheme): void {
  const { hash, keyType, curve } = SIGNATURE_SCHEMES[scheme]
  const publicKey =
    importPublicKey(spki) ?? unfit('delegated credential: its SubjectPublicKeyInfo cannot be read')
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey
  if (asymmetricKeyType !== keyType || (curve !== undefined && asymmetricKeyDetails?.namedCurve !== curve))
    unfit(`delegated credential: its key is not for ${scheme}`)
  if (privateKey.asymmetricKeyType !== keyType) unfit('delegated credential: the private key is not its key')
  const parameters = { hash, pss: false }
  if (!verifySignature(publicKey, parameters, spki, signContent(privateKey, parameters, spki)))
    unfit('delegated credential: the private key is not its key')
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(4, '0')}`
}

function unfit(detail: string): never {
  throw new TlsError('ERR_TLS_CREDENTIAL', { detail })
}
