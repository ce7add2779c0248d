// A certificate authority that lives as long as the program: it issues certificates that every TLS client accepts
// once it trusts the root, and nothing of it is kept.
import 'reflect-metadata' // must be loaded before the certificate library
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import {
  type CryptoKeyPair,
  generateKeyPair,
  KEY_ALGORITHMS,
  type KeyAlgorithm,
  privateKeyPem,
} from './key-algorithm.ts'

/** RFC 5280 §4.2.1.12. */
export const EXTENDED_KEY_USAGES = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  any: '2.5.29.37.0',
} as const satisfies Record<string, string>
export type ExtendedKeyUsageName = keyof typeof EXTENDED_KEY_USAGES

/** DelegationUsage ::= NULL, never critical. RFC 9345 §4.2. */
const DELEGATION_USAGE = '1.3.6.1.4.1.44363.44'
const NULL = Uint8Array.of(0x05, 0x00)

/** RFC 5280 §4.1.2.2: at most 20 octets, positive; 16 random ones cannot collide. */
const SERIAL_BYTES = 16
/** RFC 5280 appendix A.1, ub-common-name: longer names live in the SAN alone. */
const MAX_COMMON_NAME = 64
/** Clocks of test machines and containers differ. */
const BACKDATE_MS = 3_600_000
/** Long enough that nobody warns of its end in a demo; short enough that nobody builds on it. */
const LIFETIME_MS = 90 * 24 * 3_600_000

/** Any extension by its OID; it replaces the usual one of the same OID. For certificates that are wrong on purpose. */
export interface ExtensionOption {
  readonly oid: string
  readonly critical?: boolean
  /** DER of the value. */
  readonly value: Uint8Array
}

export interface CaOptions {
  /** Default: a name that says what it is. */
  readonly commonName?: string
  /** Default: ecdsa-p256. */
  readonly keyAlgorithm?: KeyAlgorithm
  /** Default: none, what is below may be used for anything. */
  readonly extendedKeyUsages?: readonly ExtendedKeyUsageName[]
  /** How many CAs may be below this one, RFC 5280 §4.2.1.9. Default: any number. */
  readonly pathLength?: number
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly extensions?: readonly ExtensionOption[]
}

export interface IssueOptions {
  /** Default: the first name of the SAN. */
  readonly commonName?: string
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  /** Default: ecdsa-p256. */
  readonly keyAlgorithm?: KeyAlgorithm
  /** Default: serverAuth and clientAuth. An empty list leaves the extension out. */
  readonly extendedKeyUsages?: readonly ExtendedKeyUsageName[]
  /** Whether its key may sign delegated credentials, RFC 9345 §4.2. Default: false. */
  readonly isDelegation?: boolean
  /** Default: an hour ago. */
  readonly notBefore?: Date
  /** Default: in 90 days. */
  readonly notAfter?: Date
  readonly extensions?: readonly ExtensionOption[]
}

export interface Issued {
  readonly certificatePem: string
  /** PKCS#8, not encrypted. */
  readonly privateKeyPem: string
  /** The certificate, then its intermediates, leaf first; the root is not in it. */
  readonly chainPem: string
}

/** Issues any number of certificates, also concurrently. There is nothing to close. */
export interface ThrowawayCa {
  /** What a client has to trust; of an intermediate, its own certificate. */
  readonly certificatePem: string
  issue(options: IssueOptions): Promise<Issued>
  /** A certificate for the key of a certification request (RFC 2986); what else the request says is not looked at. */
  issueForRequest(csrPem: string, options: IssueOptions): Promise<Omit<Issued, 'privateKeyPem'>>
  issueIntermediate(options?: CaOptions): Promise<ThrowawayCa>
}

/**
 * Makes a root with a fresh key.
 *
 * @example
 * const ca = await createThrowawayCa()
 * const { chainPem, privateKeyPem } = await ca.issue({ dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] })
 */
export async function createThrowawayCa(options: CaOptions = {}): Promise<ThrowawayCa> {
  return createCa(options, undefined)
}

/** A certificate that vouches for itself: no client trusts it unless it is told to trust this very one. */
export async function createSelfSigned(options: IssueOptions = {}): Promise<Issued> {
  return issueLeaf(undefined, options)
}

/** Who signs: its name and key, and the certificates a client needs to reach the root from here. */
interface Authority {
  readonly name: x509.Name
  readonly keyAlgorithm: KeyAlgorithm
  readonly keys: CryptoKeyPair
  readonly intermediatesPem: string
}

async function createCa(options: CaOptions, parent: Authority | undefined): Promise<ThrowawayCa> {
  const { commonName = parent ? 'Throw-away intermediate' : 'Throw-away root', keyAlgorithm = 'ecdsa-p256' } =
    options
  const keys = await generateKeyPair(keyAlgorithm)
  const name = commonNameOnly(commonName)
  const self: Authority = { name, keyAlgorithm, keys, intermediatesPem: '' }
  const certificatePem = await signCertificate(parent ?? self, {
    subject: name,
    publicKey: keys.publicKey,
    validity: options,
    extensions: [
      new x509.BasicConstraintsExtension(true, options.pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ...extendedKeyUsage(options.extendedKeyUsages ?? []),
    ],
    replacements: options.extensions,
  })
  const intermediatesPem = parent === undefined ? '' : certificatePem + parent.intermediatesPem
  const authority: Authority = { ...self, intermediatesPem }
  return {
    certificatePem,
    issue: (leaf) => issueLeaf(authority, leaf),
    issueForRequest: (csrPem, leaf) => issueForRequest(authority, csrPem, leaf),
    issueIntermediate: (intermediate = {}) => createCa(intermediate, authority),
  }
}

async function issueLeaf(authority: Authority | undefined, options: IssueOptions): Promise<Issued> {
  const { keyAlgorithm = 'ecdsa-p256' } = options
  const keys = await generateKeyPair(keyAlgorithm)
  const issuer = authority ?? { name: leafSubject(options), keyAlgorithm, keys, intermediatesPem: '' }
  return {
    ...(await certify(issuer, keys.publicKey, options)),
    privateKeyPem: await privateKeyPem(keys),
  }
}

async function issueForRequest(
  authority: Authority,
  csrPem: string,
  options: IssueOptions,
): Promise<Omit<Issued, 'privateKeyPem'>> {
  const request = new x509.Pkcs10CertificateRequest(csrPem)
  if (!(await request.verify(webcrypto))) throw new Error('the request is not signed by its key')
  return await certify(authority, await request.publicKey.export(webcrypto), options)
}

/** What is certified for whom, once there is a key. */
async function certify(
  issuer: Authority,
  publicKey: webcrypto.CryptoKey,
  options: IssueOptions,
): Promise<Omit<Issued, 'privateKeyPem'>> {
  const { keyAlgorithm = 'ecdsa-p256', isDelegation = false } = options
  const { extendedKeyUsages = ['serverAuth', 'clientAuth'] } = options
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    leafKeyUsage(keyAlgorithm),
    ...extendedKeyUsage(extendedKeyUsages),
    ...(isDelegation ? [new x509.Extension(DELEGATION_USAGE, false, NULL)] : []),
  ]
  const subject = leafSubject(options)
  const names = alternativeNames(options)
  // RFC 5280 §4.1.2.6: with an empty subject the SAN is critical.
  if (names.length > 0) {
    extensions.push(new x509.SubjectAlternativeNameExtension(names, isNameless(options)))
  }
  const certificatePem = await signCertificate(issuer, {
    subject,
    publicKey,
    validity: options,
    extensions,
    replacements: options.extensions,
  })
  return { certificatePem, chainPem: certificatePem + issuer.intermediatesPem }
}

function alternativeNames({ dnsNames = [], ipAddresses = [] }: IssueOptions) {
  return [
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ]
}

function leafName(options: IssueOptions): string {
  return options.commonName ?? alternativeNames(options)[0]?.value ?? 'throw-away'
}

function isNameless(options: IssueOptions): boolean {
  return leafName(options).length > MAX_COMMON_NAME
}

function leafSubject(options: IssueOptions): x509.Name {
  return isNameless(options) ? new x509.Name([]) : commonNameOnly(leafName(options))
}

interface Request {
  readonly subject: x509.Name
  readonly publicKey: webcrypto.CryptoKey
  readonly validity: { readonly notBefore?: Date; readonly notAfter?: Date }
  readonly extensions: readonly x509.Extension[]
  readonly replacements: readonly ExtensionOption[] | undefined
}

async function signCertificate(issuer: Authority, request: Request): Promise<string> {
  const now = Date.now()
  const replacements = (request.replacements ?? []).map(
    ({ oid, critical = false, value }) => new x509.Extension(oid, critical, value),
  )
  const usual = [
    ...request.extensions,
    await x509.SubjectKeyIdentifierExtension.create(request.publicKey, false, webcrypto),
    await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey, false, webcrypto),
  ].filter(({ type }) => !replacements.some((each) => each.type === type))
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: request.subject,
      issuer: issuer.name,
      notBefore: request.validity.notBefore ?? new Date(now - BACKDATE_MS),
      notAfter: request.validity.notAfter ?? new Date(now + LIFETIME_MS),
      publicKey: request.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: KEY_ALGORITHMS[issuer.keyAlgorithm].sign,
      extensions: [...usual, ...replacements],
    },
    webcrypto,
  )
  return `${certificate.toString('pem')}\n`
}

/** Not zero and, with the top bit clear, positive in DER without a further octet. */
function serialNumber(): string {
  const bytes = randomBytes(SERIAL_BYTES)
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function leafKeyUsage(algorithm: KeyAlgorithm): x509.KeyUsagesExtension {
  const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags
  return KEY_ALGORITHMS[algorithm].canEncrypt
    ? new x509.KeyUsagesExtension(digitalSignature | keyEncipherment, true)
    : new x509.KeyUsagesExtension(digitalSignature, true)
}

/** An empty list is no extension: such an extension would allow nothing. */
function extendedKeyUsage(usages: readonly ExtendedKeyUsageName[]): x509.ExtendedKeyUsageExtension[] {
  if (usages.length === 0) return []
  return [new x509.ExtendedKeyUsageExtension(usages.map((usage) => EXTENDED_KEY_USAGES[usage]))]
}

/** By structure, not by text: a name with a comma in it stays one name. */
function commonNameOnly(commonName: string): x509.Name {
  return new x509.Name([{ CN: [{ utf8String: commonName }] }])
}
