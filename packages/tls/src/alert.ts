// Alerts: what one end tells the other before it closes. RFC 8446 §6.

/** AlertDescription. RFC 8446 §6, §B.2. */
export const ALERTS = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
} as const satisfies Record<string, number>

export type AlertName = keyof typeof ALERTS

const NAMES = new Map<number, AlertName>(
  Object.entries(ALERTS).map(([name, code]) => [code, name as AlertName]),
)

/** The name of an AlertDescription, or `alert(NNN)` for one we do not know. */
export function alertName(code: number): string {
  return NAMES.get(code) ?? `alert(${code})`
}

/** AlertLevel of an alert that need not be the end. RFC 5246 §7.2. */
export const WARNING = 1
const FATAL = 2

/** The two bytes of an Alert. The level of a closure alert is warning, of all others fatal (RFC 8446 §6). */
export function writeAlert(name: AlertName): Uint8Array {
  const level = name === 'close_notify' || name === 'user_canceled' ? WARNING : FATAL
  return Uint8Array.of(level, ALERTS[name])
}
