// ProtocolVersion. RFC 8446 §4.2.1.

/** TLS 1.2, and the legacy_version of every TLS 1.3 message. */
export const TLS12 = 0x0303
export const TLS13 = 0x0304
