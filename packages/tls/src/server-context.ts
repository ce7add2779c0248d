// What all connections of one listener share: parsed once, read-only after.
import type { ClockMs } from '@latchkey/core'
import { Admission, type AdmissionOptions } from './admission/admission.ts'
import type { ClientCertificatePolicies } from './client-certificate/policy.ts'
import type { CertificateStore } from './credential/certificate-store.ts'
import type { DelegatedCredentialSource } from './credential/delegation.ts'
import { digest, type KeyExchange, publicRandom } from './crypto-provider.ts'
import {
  type CipherSuite,
  type CipherSuiteName,
  cipherSuite,
  DEFAULT_CIPHER_SUITES,
} from './handshake/cipher-suite.ts'
import {
  type CipherSuite12,
  type CipherSuite12Name,
  cipherSuite12,
  DEFAULT_CIPHER_SUITES12,
} from './handshake12/cipher-suite12.ts'
import { TLS12, TLS13 } from './handshake/protocol-version.ts'
import type { ProtocolName } from './handshake/session.ts'
import type { KeyLog } from './key-log.ts'
import type { PaddingPolicy } from './record/padding.ts'
import type { RecordSizingName } from './record/record-sizing.ts'
import { SignatureChecks } from './signer/signature-checks.ts'
import { SignerLoad } from './signer/signer-load.ts'
import type { TicketSealer } from './ticket/ticket-sealer.ts'
import { DEFAULT_GROUPS, type GroupName, type NamedGroup, namedGroup } from './handshake/named-group.ts'

export type EarlyFlush = 'auto' | 'always' | 'never'

export interface ServerContextOptions {
  readonly certificates: CertificateStore
  /** In our order of preference; empty: ALPN is not answered. Default `['http/1.1']`. */
  readonly alpnProtocols?: readonly string[]
  /** The lowest version that is spoken. Default `'TLSv1.2'`. */
  readonly minVersion?: ProtocolName
  /** The highest version that is spoken. Default `'TLSv1.3'`; below it only to try out what clients do. */
  readonly maxVersion?: ProtocolName
  /** Of TLS 1.3, in our order of preference. */
  readonly cipherSuites?: readonly CipherSuiteName[]
  /** Of TLS 1.2, in our order of preference. */
  readonly cipherSuites12?: readonly CipherSuite12Name[]
  /** In our order of preference. */
  readonly groups?: readonly GroupName[]
  /** Seals and opens session tickets; undefined: no session is resumed. */
  readonly tickets?: TicketSealer | undefined
  /** Tickets of one tenant are of no use at another that shares the keys. Default: ''. */
  readonly ticketTenant?: string
  /**
   * Delegated credentials for clients that accept them: their keys are in this process. Default: none, the signer does
   * every full handshake.
   */
  readonly delegatedCredentials?: DelegatedCredentialSource
  /** How many handshakes are let in, before they cost anything asymmetric. */
  readonly admission?: AdmissionOptions
  /** Zeros behind the content of each protected record of TLS 1.3, to hide its length. Default: none. */
  readonly padding?: PaddingPolicy
  /**
   * How long records of application data are. `'max'`, the default: 16,384 bytes. `'dynamic'`: the first 16, and the first 16
   * after a second of silence, fit into a packet each, so that a client need not wait for several to read the first.
   */
  readonly recordSizing?: RecordSizingName
  /** Gets the secrets of every connection, for debugging with test data: whoever has them reads the connection. */
  readonly keyLog?: KeyLog
  /** Whether JA3 and JA4 of each ClientHello are computed: about 20 µs each. Default false. */
  readonly fingerprints?: boolean
  /** Whether and how clients are asked for a certificate, by the name they ask for. Default: they are not. */
  readonly clientCertificates?: ClientCertificatePolicies | undefined
  /** Signatures waited for with one credential: beyond, its full handshakes fail at once. Default 512. */
  readonly maxSignaturesPerKey?: number
  /** Signatures waited for in all. Default 2048. */
  readonly maxSignatures?: number
  /**
   * Whether ServerHello and Certificate go out while the signature is waited for. `'auto'`: when that takes longer than
   * 2 ms, smoothed over the last signatures with the same credential. Default `'auto'`.
   */
  readonly earlyFlush?: EarlyFlush
  /** Milliseconds since the epoch. */
  readonly clock?: ClockMs
  /** Milliseconds of a clock that is never set: rates and durations are measured by it. */
  readonly monotonicClock?: ClockMs
  /** Public random bytes. A replay passes its own. */
  readonly random?: (count: number) => Uint8Array
  /** Our half of the key exchange, fresh for each handshake. A replay passes its own. */
  readonly exchangeKeys?: (group: NamedGroup, clientShare: Uint8Array) => KeyExchange
}

export interface ServerContext {
  readonly certificates: CertificateStore
  readonly alpnProtocols: readonly string[]
  /** As on the wire. */
  readonly minVersion: typeof TLS12 | typeof TLS13
  readonly maxVersion: typeof TLS12 | typeof TLS13
  readonly cipherSuites: readonly CipherSuite[]
  readonly cipherSuites12: readonly CipherSuite12[]
  readonly groups: readonly NamedGroup[]
  readonly tickets: TicketSealer | undefined
  /** 16 bytes: of a SHA-256. */
  readonly ticketTenant: Uint8Array
  readonly delegatedCredentials: DelegatedCredentialSource | undefined
  readonly admission: Admission
  readonly padding: PaddingPolicy | undefined
  readonly recordSizing: RecordSizingName
  readonly keyLog: KeyLog | undefined
  readonly fingerprints: boolean
  readonly clientCertificates: ClientCertificatePolicies
  readonly signerLoad: SignerLoad
  readonly earlyFlush: EarlyFlush
  readonly clock: ClockMs
  readonly monotonicClock: ClockMs
  readonly random: (count: number) => Uint8Array
  readonly exchangeKeys: (group: NamedGroup, clientShare: Uint8Array) => KeyExchange
  readonly signatureChecks: SignatureChecks
}

const DEFAULT_MAX_SIGNATURES_PER_KEY = 512
const DEFAULT_MAX_SIGNATURES = 2048

/** @throws {TypeError} if a list that must not be empty is, or no version is left. */
export function createServerContext(options: ServerContextOptions): ServerContext {
  const monotonicClock = options.monotonicClock ?? (() => performance.now())
  if (options.minVersion === 'TLSv1.3' && options.maxVersion === 'TLSv1.2')
    throw new TypeError('minVersion is above maxVersion')
  return {
    certificates: options.certificates,
    alpnProtocols: options.alpnProtocols ?? ['http/1.1'],
    minVersion: options.minVersion === 'TLSv1.3' ? TLS13 : TLS12,
    maxVersion: options.maxVersion === 'TLSv1.2' ? TLS12 : TLS13,
    cipherSuites: notEmpty('cipherSuites', options.cipherSuites ?? DEFAULT_CIPHER_SUITES).map(cipherSuite),
    cipherSuites12: notEmpty('cipherSuites12', options.cipherSuites12 ?? DEFAULT_CIPHER_SUITES12).map(
      cipherSuite12,
    ),
    groups: notEmpty('groups', options.groups ?? DEFAULT_GROUPS).map(namedGroup),
    tickets: options.tickets,
    delegatedCredentials: options.delegatedCredentials,
    ticketTenant: digest('sha256', new TextEncoder().encode(options.ticketTenant ?? '')).subarray(0, 16),
    clientCertificates: options.clientCertificates ?? (() => undefined),
    padding: options.padding,
    recordSizing: options.recordSizing ?? 'max',
    keyLog: options.keyLog,
    fingerprints: options.fingerprints ?? false,
    admission: new Admission({ ...options.admission, clock: monotonicClock }),
    signerLoad: new SignerLoad({
      maxPerCredential: options.maxSignaturesPerKey ?? DEFAULT_MAX_SIGNATURES_PER_KEY,
      maxTotal: options.maxSignatures ?? DEFAULT_MAX_SIGNATURES,
      clock: monotonicClock,
    }),
    earlyFlush: options.earlyFlush ?? 'auto',
    clock: options.clock ?? Date.now,
    monotonicClock,
    random: options.random ?? publicRandom,
    exchangeKeys: options.exchangeKeys ?? ((group, clientShare) => group.exchange(clientShare)),
    signatureChecks: new SignatureChecks(monotonicClock),
  }
}

function notEmpty<T>(name: string, list: readonly T[]): readonly T[] {
  if (list.length === 0) throw new TypeError(`${name} must not be empty`)
  return list
}
