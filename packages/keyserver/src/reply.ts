// An answer as it goes out: the packet, and what became of the request.
import {
  encodeError,
  encodePacket,
  encodeSecretResponse,
  KEYLESS_ERRORS,
  KeylessError,
  type KeylessErrorCode,
} from '@latchkey/wire'
import { type Answer, Failure, type Success, wipeAnswer } from './answer.ts'

export interface Reply {
  readonly packet: Uint8Array
  /** The packet must be wiped when it was sent. */
  readonly isSecret: boolean
  /** Undefined: a success. */
  readonly failure: Failure | undefined
}

/** An answer that is too large for a packet cannot be given. What is secret in `answered` is wiped: the packet has it. */
export function encodeReply(id: number, answered: Answer): Reply {
  if (answered instanceof Failure) return encodeFailure(id, answered)
  try {
    return { packet: encodeSuccess(id, answered), isSecret: answered.isSecret, failure: undefined }
  } catch (error) {
    if (!(error instanceof KeylessError)) throw error
    return encodeFailure(id, new Failure(error.code, 'operation', error.message))
  } finally {
    wipeAnswer(answered)
  }
}

function encodeSuccess(id: number, { opcode, payload, isSecret }: Success): Uint8Array {
  if (payload === undefined) return encodePacket(id, { opcode })
  return isSecret ? encodeSecretResponse(id, payload) : encodePacket(id, { opcode, payload })
}

function encodeFailure(id: number, failure: Failure): Reply {
  return { packet: errorPacket(id, failure.code), isSecret: false, failure }
}

export function errorPacket(id: number, code: KeylessErrorCode): Uint8Array {
  return encodeError(id, wireByte(code))
}

/** The byte that tells a client about `code`. */
export function wireByte(code: KeylessErrorCode): number {
  return KEYLESS_ERRORS[code].wire ?? KEYLESS_ERRORS.ERR_KEYLESS_INTERNAL.wire
}
