// Everything that can be wrong with a packet, and the twelve one-byte errors a peer may answer.
import { CodedError, type ErrorDetail } from '@latchkey/core'

/**
 * One row an error. `wire` is the byte that tells a peer about it, undefined where no peer is told. The twelve rows
 * with a `name` are the errors of the protocol itself; the others are what this side finds, in finer detail.
 */
export const KEYLESS_ERRORS = {
  ERR_KEYLESS_NONE: { wire: 0, name: 'none', text: 'error reply without an error' },
  ERR_KEYLESS_CRYPTOGRAPHY: { wire: 1, name: 'cryptography failure', text: 'the key operation failed' },
  ERR_KEYLESS_KEY_NOT_FOUND: { wire: 2, name: 'key not found', text: 'no key with this SKI' },
  ERR_KEYLESS_READ: { wire: 3, name: 'read failure', text: 'the request could not be read' },
  ERR_KEYLESS_VERSION_MISMATCH: {
    wire: 4,
    name: 'version mismatch',
    text: 'protocol version is not understood',
  },
  ERR_KEYLESS_BAD_OPCODE: { wire: 5, name: 'bad opcode', text: 'unknown opcode' },
  ERR_KEYLESS_UNEXPECTED_OPCODE: {
    wire: 6,
    name: 'unexpected opcode',
    text: 'opcode is not one of a request',
  },
  ERR_KEYLESS_MALFORMED: { wire: 7, name: 'malformed', text: 'malformed packet' },
  ERR_KEYLESS_INTERNAL: { wire: 8, name: 'internal', text: 'internal error of the key server' },
  ERR_KEYLESS_CERTIFICATE_NOT_FOUND: {
    wire: 9,
    name: 'certificate not found',
    text: 'no such certificate',
  },
  ERR_KEYLESS_SEALING_KEY_EXPIRED: {
    wire: 10,
    name: 'sealing key expired',
    text: 'the sealing key has been retired',
  },
  ERR_KEYLESS_REMOTE_CONFIGURATION: {
    wire: 11,
    name: 'remote configuration error',
    text: 'the signer behind the key server cannot be reached',
  },
  ERR_KEYLESS_ITEM_TRUNCATED: { wire: 7, name: undefined, text: 'an item runs past the end of its packet' },
  ERR_KEYLESS_ITEM_DUPLICATE: { wire: 7, name: undefined, text: 'an item occurs twice' },
  ERR_KEYLESS_OPCODE_LENGTH: { wire: 7, name: undefined, text: 'an opcode is not one byte' },
  ERR_KEYLESS_IP_LENGTH: { wire: 7, name: undefined, text: 'an IP address is neither 4 nor 16 bytes' },
  ERR_KEYLESS_REGION_LENGTH: { wire: 7, name: undefined, text: 'a compliance region is not one byte' },
  ERR_KEYLESS_TOO_LARGE: { wire: 8, name: undefined, text: 'the packet would be too large' },
  ERR_KEYLESS_REPLY: { wire: undefined, name: undefined, text: 'the reply is not understood' },
} as const satisfies Record<string, KeylessErrorRow>

export interface KeylessErrorRow {
  readonly wire: number | undefined
  readonly name: string | undefined
  readonly text: string
}

export type KeylessErrorCode = keyof typeof KEYLESS_ERRORS

/** One of the twelve errors that a peer may answer. */
export interface ProtocolError {
  readonly wire: number
  readonly name: string
  readonly text: string
  readonly code: KeylessErrorCode
}

/** The errors of the protocol, each at the index of its byte. */
export const PROTOCOL_ERRORS: readonly ProtocolError[] = (
  Object.entries(KEYLESS_ERRORS) as [KeylessErrorCode, KeylessErrorRow][]
).flatMap(([code, { wire, name, text }]) =>
  wire === undefined || name === undefined ? [] : [{ wire, name, text, code }],
)

/** The name of error byte `wire`, for people: `key not found`; `unknown error 99` if the protocol has no such. */
export function protocolErrorText(wire: number): string {
  return PROTOCOL_ERRORS[wire]?.name ?? `unknown error ${wire}`
}

/** What a {@link KeylessError} may carry besides its code. */
export interface KeylessErrorDetail extends ErrorDetail {
  /** The id of the packet that is at fault, so that it can be answered. */
  readonly packetId?: number | undefined
}

/** A packet that cannot be understood or built, or an error that a peer answered. */
export class KeylessError extends CodedError<KeylessErrorCode> {
  /** The id of the packet at fault; undefined where no packet was framed yet. */
  readonly packetId: number | undefined

  constructor(code: KeylessErrorCode, options: KeylessErrorDetail = {}) {
    super(code, KEYLESS_ERRORS[code].text, options)
    this.packetId = options.packetId
  }

  /** The byte that tells a peer about it: 7 for every malformed item; undefined if no peer is to be told. */
  get wire(): number | undefined {
    return KEYLESS_ERRORS[this.code].wire
  }
}
