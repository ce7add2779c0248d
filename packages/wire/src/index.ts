// The bytes of the Keyless protocol: frames, items, opcodes, errors. No socket, no key, no clock.
export {
  KEYLESS_ERRORS,
  KeylessError,
  type KeylessErrorCode,
  type KeylessErrorDetail,
  type KeylessErrorRow,
  PROTOCOL_ERRORS,
  type ProtocolError,
  protocolErrorText,
} from './errors.ts'
export { PacketFramer } from './framer.ts'
export {
  type DecryptOpcodeRow,
  type OpcodeName,
  type OpcodeRow,
  OPCODES,
  opcodeForSignature,
  opcodeName,
  opcodeRow,
  type ReplyOpcodeRow,
  type ServiceOpcodeRow,
  type SignOpcodeRow,
  type WireSignatureAlgorithm,
} from './opcode.ts'
export { type Operation, readOperation } from './operation.ts'
export {
  encodeError,
  encodePacket,
  encodePong,
  encodeResponse,
  encodeSecretResponse,
  type FramedPacket,
  type Header,
  HEADER_BYTES,
  MAX_BODY_BYTES,
  MAX_PACKET_BYTES,
  type Packet,
  PADDED_PACKET_BYTES,
  PROTOCOL_VERSION,
  readHeader,
  readPacket,
  setPacketId,
} from './packet.ts'
export { readReply } from './reply.ts'
export {
  readSigningScope,
  SCOPED_SIGNING_PROTOCOL,
  SIGNING_SCOPES,
  type SigningScope,
} from './scoped-signing.ts'
export { serverNameText } from './server-name.ts'
export { type CallerSpan, readCallerSpan } from './span.ts'
