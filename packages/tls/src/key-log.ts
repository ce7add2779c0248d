// The SSLKEYLOGFILE format: secrets of a connection as lines that Wireshark reads. RFC 9850.
//
// Whoever has a line reads the connection. It is the one place where secrets become text; nothing here knows a file, and
// nothing is written but to a function that someone has passed in on purpose, for test data.

/** Takes one line, its end of line included: what `node:tls` gives its `keylog` event, as text. It must not throw. */
export type KeyLog = (line: string) => void

/** Labels of the secrets that this engine has. RFC 9850 §2.1, §2.2. */
export const KEY_LOG_LABELS = [
  'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'CLIENT_TRAFFIC_SECRET_0',
  'SERVER_TRAFFIC_SECRET_0',
  'EXPORTER_SECRET',
  /** TLS 1.2: the master secret. */
  'CLIENT_RANDOM',
] as const
export type KeyLogLabel = (typeof KEY_LOG_LABELS)[number]

/**
 * One line: label, ClientHello.random, secret, the last two in hexadecimal.
 *
 * @param clientRandom 32 bytes; after a HelloRetryRequest both hellos carry the same.
 * @param secret as long as the hash of the suite (TLS 1.3), or 48 bytes (TLS 1.2). Not kept.
 * @throws {TypeError} if `clientRandom` has another length.
 * @see RFC 9850 §2
 */
export function keyLogLine(label: KeyLogLabel, clientRandom: Uint8Array, secret: Uint8Array): string {
  if (clientRandom.length !== RANDOM_BYTES)
    throw new TypeError(`ClientHello.random of ${clientRandom.length} bytes`)
  return `${label} ${toHex(clientRandom)} ${toHex(secret)}\n`
}

const RANDOM_BYTES = 32

/**
 * Gives the two handshake traffic secrets to `keyLog`, if there is one.
 *
 * Secrets after a KeyUpdate are not logged: they follow from `…_TRAFFIC_SECRET_0` (RFC 8446 §7.2).
 */
export function logHandshakeSecrets(
  keyLog: KeyLog | undefined,
  clientRandom: Uint8Array,
  { client, server }: { readonly client: Uint8Array; readonly server: Uint8Array },
): void {
  if (keyLog === undefined) return
  keyLog(keyLogLine('CLIENT_HANDSHAKE_TRAFFIC_SECRET', clientRandom, client))
  keyLog(keyLogLine('SERVER_HANDSHAKE_TRAFFIC_SECRET', clientRandom, server))
}

/** Gives the first two application traffic secrets, and the exporter's if it is known, to `keyLog`, if there is one. */
export function logTrafficSecrets(
  keyLog: KeyLog | undefined,
  clientRandom: Uint8Array,
  { client, server }: { readonly client: Uint8Array; readonly server: Uint8Array },
  exporterMasterSecret?: Uint8Array,
): void {
  if (keyLog === undefined) return
  keyLog(keyLogLine('CLIENT_TRAFFIC_SECRET_0', clientRandom, client))
  keyLog(keyLogLine('SERVER_TRAFFIC_SECRET_0', clientRandom, server))
  if (exporterMasterSecret !== undefined) {
    keyLog(keyLogLine('EXPORTER_SECRET', clientRandom, exporterMasterSecret))
  }
}

/** Gives the master secret of TLS 1.2 to `keyLog`, if there is one. RFC 9850 §2.2. */
export function logMasterSecret(
  keyLog: KeyLog | undefined,
  clientRandom: Uint8Array,
  masterSecret: Uint8Array,
): void {
  if (keyLog !== undefined) keyLog(keyLogLine('CLIENT_RANDOM', clientRandom, masterSecret))
}

function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}
