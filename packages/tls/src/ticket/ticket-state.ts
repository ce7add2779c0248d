// What a session ticket remembers of a session, as bytes of a fixed layout, which ends with clientChainHash if the client
// showed a certificate.
//
//     0   format = 1            22  ageAdd
//     1   protocolVersion       26  tenantId
//     3   cipherSuite           42  serverNameHash
//     5   flags                 58  credentialKeyId
//     6   issuedAtMs            74  length of secret: 32 or 48
//     14  fullHandshakeAtMs     75  secret, [clientChainHash]
import { DecodeError, Reader } from '@latchkey/core'
import { TLS12, TLS13 } from '../handshake/protocol-version.ts'
import { Concealed } from './concealed.ts'

/** Bits of {@link TicketState.flags}. */
export const TicketFlag = {
  /** TLS 1.2 with extended_master_secret, RFC 7627 §5.3. */
  extendedMasterSecret: 0x01,
  /** The client showed a certificate, and had its key. */
  clientAuthenticated: 0x02,
  /** The policy accepted that certificate. */
  clientAuthorized: 0x04,
} as const

/** Everything that decides whether a session may be resumed, and the secret to do it with. */
export interface TicketState {
  /** {@link TLS12} or {@link TLS13}. */
  readonly protocolVersion: number
  /** Code point of the suite the session was made with. */
  readonly cipherSuite: number
  /** Of {@link TicketFlag}. */
  readonly flags: number
  /** When the ticket was made, milliseconds since the epoch. */
  readonly issuedAtMs: number
  /** When the peers last authenticated with a certificate: a chain of resumptions keeps it. */
  readonly fullHandshakeAtMs: number
  /** ticket_age_add of RFC 8446 §4.6.1, 32 bits. */
  readonly ageAdd: number
  /** 16 bytes. */
  readonly tenantId: Uint8Array
  /** The first 16 bytes of the SHA-256 of the server name. */
  readonly serverNameHash: Uint8Array
  /** The first 16 bytes of the credential's keyId. */
  readonly credentialKeyId: Uint8Array
  /** TLS 1.3: the PSK, 32 or 48 bytes as the suite's hash is. TLS 1.2: the master secret, 48 bytes. */
  readonly secret: Uint8Array
  /** 32 bytes: what {@link PresentedChains} calls the client's chain; undefined unless `clientAuthenticated`. */
  readonly clientChainHash: Uint8Array | undefined
}

const FORMAT = 1
const ID_BYTES = 16
const SECRET_LENGTH_AT = 74
const SECRET_AT = 75
const SECRET_BYTES = { sha256: 32, sha384: 48 } as const
/** RFC 5246 §8.1. */
const MASTER_SECRET_BYTES = 48
const CLIENT_CHAIN_HASH_BYTES = 32

/** The lengths a state can have in bytes: by them a ticket of another length is known without decrypting it. */
export const TICKET_STATE_BYTES: readonly number[] = [0, CLIENT_CHAIN_HASH_BYTES].flatMap((hashBytes) => [
  SECRET_AT + SECRET_BYTES.sha256 + hashBytes,
  SECRET_AT + SECRET_BYTES.sha384 + hashBytes,
])

/**
 * The bytes of `state`, in memory of their own: the caller wipes them. Not written with a `Writer`, whose memory is shared
 * and outlives its use.
 *
 * @throws {RangeError} if a field does not fit: a bug of the caller.
 */
export function writeTicketState(state: TicketState): Uint8Array {
  const bytes = new Uint8Array(SECRET_AT + state.secret.length + (state.clientChainHash?.length ?? 0))
  writeTicketStateInto(bytes, state)
  return bytes
}

/**
 * Writes `state` to the beginning of `bytes`, which has room for the longest.
 *
 * @returns how many bytes it took.
 * @throws {RangeError} if a field does not fit: a bug of the caller.
 */
export function writeTicketStateInto(bytes: Uint8Array, state: TicketState): number {
  const { tenantId, serverNameHash, credentialKeyId, secret, clientChainHash } = state
  const isEachId =
    tenantId.length === ID_BYTES && serverNameHash.length === ID_BYTES && credentialKeyId.length === ID_BYTES
  if (!isVersion(state.protocolVersion)) throw new RangeError('protocolVersion is neither TLS 1.2 nor 1.3')
  if (!isSecretLength(state.protocolVersion, secret.length)) throw new RangeError('secret of a wrong length')
  if (!isEachId) throw new RangeError(`an id is not ${ID_BYTES} bytes`)
  if (!areFlags(state.flags)) throw new RangeError(`ticket flags ${state.flags}`)
  if (clientChainHash?.length !== clientChainHashBytes(state.flags))
    throw new RangeError('clientChainHash does not go with the flags')
  writeNumber(bytes, 0, 1, FORMAT)
  writeNumber(bytes, 1, 2, state.protocolVersion)
  writeNumber(bytes, 3, 2, state.cipherSuite)
  writeNumber(bytes, 5, 1, state.flags)
  writeNumber(bytes, 6, 8, state.issuedAtMs)
  writeNumber(bytes, 14, 8, state.fullHandshakeAtMs)
  writeNumber(bytes, 22, 4, state.ageAdd)
  bytes.set(tenantId, 26)
  bytes.set(serverNameHash, 42)
  bytes.set(credentialKeyId, 58)
  writeNumber(bytes, SECRET_LENGTH_AT, 1, secret.length)
  bytes.set(secret, SECRET_AT)
  const end = SECRET_AT + secret.length
  if (clientChainHash === undefined) return end
  bytes.set(clientChainHash, end)
  return end + clientChainHash.length
}

/**
 * Takes the bytes over: the fields are views of them, so wiping `secret` wipes the only copy.
 *
 * @returns undefined if they are anything but a whole state of this format.
 */
export function readTicketState(bytes: Uint8Array): TicketState | undefined {
  try {
    return readFields(new Reader(bytes))
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

function readFields(reader: Reader): TicketState | undefined {
  if (reader.u8() !== FORMAT) return undefined
  const state = new StateFields(reader)
  reader.end()
  const isSound =
    isVersion(state.protocolVersion) &&
    isSecretLength(state.protocolVersion, state.secret.length) &&
    areFlags(state.flags) &&
    Number.isSafeInteger(state.issuedAtMs) &&
    Number.isSafeInteger(state.fullHandshakeAtMs)
  return isSound ? state : undefined
}

class StateFields extends Concealed implements TicketState {
  readonly protocolVersion: number
  readonly cipherSuite: number
  readonly flags: number
  readonly issuedAtMs: number
  readonly fullHandshakeAtMs: number
  readonly ageAdd: number
  readonly tenantId: Uint8Array
  readonly serverNameHash: Uint8Array
  readonly credentialKeyId: Uint8Array
  readonly secret: Uint8Array
  readonly clientChainHash: Uint8Array | undefined

  constructor(reader: Reader) {
    super()
    this.protocolVersion = reader.u16()
    this.cipherSuite = reader.u16()
    this.flags = reader.u8()
    this.issuedAtMs = readU64(reader)
    this.fullHandshakeAtMs = readU64(reader)
    this.ageAdd = reader.u32()
    this.tenantId = reader.opaque(ID_BYTES)
    this.serverNameHash = reader.opaque(ID_BYTES)
    this.credentialKeyId = reader.opaque(ID_BYTES)
    this.secret = reader.opaque8()
    const hashBytes = clientChainHashBytes(this.flags)
    this.clientChainHash = hashBytes === undefined ? undefined : reader.opaque(hashBytes)
  }
}

function isVersion(version: number): boolean {
  return version === TLS12 || version === TLS13
}

function isSecretLength(version: number, length: number): boolean {
  if (version === TLS12) return length === MASTER_SECRET_BYTES
  return length === SECRET_BYTES.sha256 || length === SECRET_BYTES.sha384
}

const { extendedMasterSecret, clientAuthenticated, clientAuthorized } = TicketFlag

/** Known flags only; and nobody is authorized who did not show who they are. */
function areFlags(flags: number): boolean {
  const isKnown = (flags & ~(extendedMasterSecret | clientAuthenticated | clientAuthorized)) === 0
  return isKnown && ((flags & clientAuthorized) === 0 || (flags & clientAuthenticated) !== 0)
}

function clientChainHashBytes(flags: number): number | undefined {
  return (flags & clientAuthenticated) === 0 ? undefined : CLIENT_CHAIN_HASH_BYTES
}

/** Big-endian. Beyond 2^53 it is not exact, and then not a safe integer either. */
function readU64(reader: Reader): number {
  return reader.u32() * 2 ** 32 + reader.u32()
}

/** Big-endian. */
function writeNumber(bytes: Uint8Array, at: number, width: number, value: number): void {
  const limit = Math.min(2 ** (8 * width) - 1, Number.MAX_SAFE_INTEGER)
  if (!Number.isSafeInteger(value) || value < 0 || value > limit)
    throw new RangeError(`${value} does not fit into ${width} bytes`)
  let rest = value
  for (let index = at + width - 1; index >= at; index--) {
    bytes[index] = rest % 256
    rest = Math.floor(rest / 256)
  }
}
