// HandshakeType and the four-byte header of every handshake message. RFC 8446 §4, RFC 5246 §7.4.

export const HandshakeType = {
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  end_of_early_data: 5,
  encrypted_extensions: 8,
  certificate: 11,
  server_key_exchange: 12,
  certificate_request: 13,
  server_hello_done: 14,
  certificate_verify: 15,
  client_key_exchange: 16,
  finished: 20,
  certificate_status: 22,
  key_update: 24,
  message_hash: 254,
} as const satisfies Record<string, number>

export type HandshakeTypeName = keyof typeof HandshakeType

/** One handshake message: `body` without, `bytes` with the header. Both are views. */
export interface HandshakeMessage {
  readonly type: number
  readonly body: Uint8Array
  readonly bytes: Uint8Array
}

export const HANDSHAKE_HEADER_BYTES = 4
