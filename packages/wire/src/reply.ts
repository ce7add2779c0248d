// What a reply means to whoever asked.
import { KeylessError, PROTOCOL_ERRORS } from './errors.ts'
import { OPCODES } from './opcode.ts'
import type { Operation } from './operation.ts'

/**
 * Turns an error reply, or a packet that is no reply, into an error; a success or a pong comes back as it is.
 *
 * @throws {KeylessError} the code of the error byte; ERR_KEYLESS_REPLY if the byte is unknown or not one byte, or if
 * the opcode is not one of a reply.
 */
export function readReply(operation: Operation): Operation {
  const { opcode, payload } = operation
  if (opcode === OPCODES.OpResponse.code || opcode === OPCODES.OpPong.code) return operation
  if (opcode !== OPCODES.OpError.code) {
    throw new KeylessError('ERR_KEYLESS_REPLY', { detail: `opcode ${opcode}` })
  }
  const wire = payload?.length === 1 ? payload[0] : undefined
  if (wire === undefined) {
    throw new KeylessError('ERR_KEYLESS_REPLY', { detail: `error of ${payload?.length ?? 0} bytes` })
  }
  const row = PROTOCOL_ERRORS[wire]
  if (row === undefined) throw new KeylessError('ERR_KEYLESS_REPLY', { detail: `error ${wire}` })
  throw new KeylessError(row.code)
}
