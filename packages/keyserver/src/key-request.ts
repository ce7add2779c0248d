// One request as it is logged and decided upon.
import { randomUUID } from 'node:crypto'
import type { LogFields } from '@latchkey/core'
import { type Operation, opcodeName, serverNameText } from '@latchkey/wire'
import type { Client } from './client.ts'
import { readRequestContext } from './request-context.ts'
import type { RequestSpan } from './tracer.ts'

/** A request with what log lines say about it; the texts are made when they are first asked for. */
export class KeyRequest {
  readonly id: number
  readonly client: Client
  /** Fields are views of received bytes: copy what outlives the answer. */
  readonly operation: Operation
  /** Why the request context could not be read. */
  readonly contextFlaw: string | undefined
  /** What is recorded of the work on it. */
  span: RequestSpan | undefined = undefined
  #requestId: string | undefined

  constructor(id: number, operation: Operation, client: Client) {
    this.id = id
    this.operation = operation
    this.client = client
    const { requestId, flaw } = readRequestContext(operation.requestContext)
    this.#requestId = requestId
    this.contextFlaw = flaw
  }

  /** The client's own id of this request; a random UUID if it gave none. */
  get requestId(): string {
    this.#requestId ??= randomUUID()
    return this.#requestId
  }

  /** The same if the client gave it or a log line has it; else empty: a random one would lead nowhere. */
  get saidRequestId(): string {
    return this.#requestId ?? ''
  }

  /** A signature of which the client shows what is signed: the payload is no digest. */
  get isScoped(): boolean {
    return this.client.knowsScopes && this.operation.extra !== undefined
  }

  get opcodeName(): string {
    return opcodeName(this.operation.opcode)
  }

  /** 40 hex digits; empty if the request names no key. */
  get skiHex(): string {
    return hex(this.operation.ski)
  }

  /** Empty if the client gave none. */
  get serverName(): string {
    return serverNameText(this.operation) ?? ''
  }

  get serverIp(): string {
    return ipText(this.operation.serverIp)
  }

  get clientIp(): string {
    return ipText(this.operation.clientIp)
  }

  /** As unchecked as a server name, and made readable in the same way. */
  get certId(): string {
    const { certId } = this.operation
    return certId === undefined ? '' : (serverNameText({ opcode: 0, serverName: certId }) ?? '')
  }

  /** For a structured log line. */
  get fields(): LogFields {
    return {
      peer: this.client.peer,
      client: this.client.names,
      serial: this.client.serial,
      opcode: this.opcodeName,
      sni: this.serverName,
      ip: this.serverIp,
      ski: this.skiHex,
      request_id: this.requestId,
    }
  }
}

export function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString('hex') // toHex() is not in Node 24
}

/** Dotted for 4 bytes; RFC 5952 §4.2 for 16: the longest run of zero groups is left out. */
export function ipText(address: Uint8Array | undefined): string {
  if (address === undefined) return ''
  if (address.length === 4) return address.join('.')
  const view = new DataView(address.buffer, address.byteOffset, address.length)
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(2 * index).toString(16))
  const runs = groups.join(':').match(/(?<![^:])0(?::0)+(?![^:])/g) ?? []
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '')
  if (longest === '') return groups.join(':')
  const text = groups.join(':')
  const at = text.search(new RegExp(`(?<![^:])${longest}(?![^:])`))
  return `${text.slice(0, at).replace(/:$/, '')}::${text.slice(at + longest.length).replace(/^:/, '')}`
}
