// What is recorded of one key use, as JSON in ASCII. Built by hand: a record may not cost more than a fraction of a signature.

/** `not_found` and `denied` look the same to the client. */
export type KeyUseOutcome = 'ok' | 'denied' | 'not_found' | 'failed'

/** Who asks: the part of a record that is the same for all of a connection. */
export class AuditedClient {
  /** Members of a record, as bytes: copied into each. */
  readonly json: Uint8Array

  constructor(client: {
    /** Common names. */
    readonly names: string
    /** Decimal. */
    readonly serial: string
    /** SHA-256 of the certificate in hex. */
    readonly certificate: string
    /** Address and port. */
    readonly peer: string
  }) {
    const json =
      member('peer', client.peer) +
      member('client', client.names) +
      member('serial', client.serial) +
      member('certificate', client.certificate)
    this.json = new TextEncoder().encode(json)
  }
}

/**
 * Nothing in it is secret: no digest, no signature, no plaintext. An empty string is left out of the record. What a peer
 * chooses are `serverName` and `requestId`; the others are taken as they are, so they must be plain ASCII.
 */
export interface KeyUse {
  readonly client: AuditedClient
  /** Of the end client, if the client told it. */
  readonly clientIp: string
  readonly ski: string
  /** Such as `OpECDSASignSHA256`. */
  readonly operation: string
  readonly serverName: string
  readonly requestId: string
  /** The client showed what is signed, and this was checked. */
  readonly isScoped: boolean
  readonly outcome: KeyUseOutcome
  /** A code; empty: ok. */
  readonly reason: string
}

/** Something that a reader of the log has to know besides key uses. */
export interface AuditEvent {
  readonly event: string
  readonly [member: string]: string | number
}

/** Members of a record after those of the client, each with its comma before it. */
export function keyUseJson(use: KeyUse): string {
  const { clientIp, ski, operation, serverName, requestId, isScoped, outcome, reason } = use
  const address = clientIp === '' ? '' : `,"client_ip":"${clientIp}"`
  const key = ski === '' ? '' : `,"ski":"${ski}"`
  const why = reason === '' ? '' : `,"reason":"${reason}"`
  return `${address}${key},"operation":"${operation}"${member('sni', serverName)}${member('request_id', requestId)}${isScoped ? ',"scoped":true' : ''},"outcome":"${outcome}"${why}`
}

export function eventJson(event: AuditEvent): string {
  return Object.entries(event)
    .map(([name, value]) => (typeof value === 'number' ? `,"${name}":${value}` : member(name, value)))
    .join('')
}

/** No peer gets a longer string into a record; what is cut ends in `…`. */
const MAX_CHARS = 1024

function member(name: string, value: string): string {
  if (value === '') return ''
  return PLAIN.test(value) && value.length <= MAX_CHARS
    ? `,"${name}":"${value}"`
    : `,"${name}":${asciiJson(value)}`
}

/** Printable ASCII without `"` and `\`: JSON as it stands. */
const PLAIN = /^[ !#-[\]-~]*$/

function asciiJson(value: string): string {
  const text = value.length > MAX_CHARS ? `${value.slice(0, MAX_CHARS)}…` : value
  return JSON.stringify(text).replaceAll(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
