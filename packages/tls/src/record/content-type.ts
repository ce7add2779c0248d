// ContentType and the limits of TLSPlaintext and TLSCiphertext. RFC 8446 §5.1, §5.2.

export const ContentType = {
  change_cipher_spec: 20,
  alert: 21,
  handshake: 22,
  application_data: 23,
} as const satisfies Record<string, number>

export const RECORD_HEADER_BYTES = 5
/** Most content of one record. */
export const MAX_PLAINTEXT_BYTES = 2 ** 14
/** Most bytes of TLSInnerPlaintext: content, its type and padding. RFC 8446 §5.4. */
export const MAX_INNER_PLAINTEXT_BYTES = MAX_PLAINTEXT_BYTES + 1
/** Most bytes of a protected record: content, its type, padding and tag. */
export const MAX_CIPHERTEXT_BYTES = MAX_PLAINTEXT_BYTES + 256

/** legacy_record_version of everything we send. */
export const LEGACY_RECORD_VERSION = 0x0303
