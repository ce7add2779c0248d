// The words that metrics of gokeyless use for opcodes and errors: existing dashboards select by them.
import { opcodeRow, type OpcodeRow } from '@latchkey/wire'

/** Values of the label `type`. */
export const REQUEST_TYPES = ['rsa', 'ecdsa', 'ed25519', 'custom', 'rpc', 'other', 'unknown'] as const
export type RequestType = (typeof REQUEST_TYPES)[number]

/** Values of the label `error`, each at the index of the protocol's error byte; the last one for all other bytes. */
export const ERROR_TEXTS = [
  'no error',
  'cryptography error',
  'key not found due to no matching SKI/SNI/ServerIP',
  'read failure',
  'version mismatch',
  'bad opcode',
  'unexpected opcode',
  'malformed message',
  'internal error',
  'certificate not found',
  'sealing key expired',
  'remote configuration error',
  'unknown error',
] as const

export function requestType(opcode: number): RequestType {
  const row: OpcodeRow | undefined = opcodeRow(opcode)
  if (row === undefined) return 'unknown'
  switch (row.kind) {
    case 'sign':
    case 'decrypt':
      return row.keyType === 'ec' ? 'ecdsa' : row.keyType
    case 'custom':
    case 'rpc':
      return row.kind
    case 'seal':
    case 'unseal':
    case 'ping':
    case 'pong':
    case 'response':
    case 'error':
      return 'other'
    default:
      return row satisfies never
  }
}
