// JSON over HTTP(S) as Vault speaks it: bounded, on connections that are kept.
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { KeysError } from '@latchkey/keys'

export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  /** Undefined: none, or nothing that is JSON. */
  readonly body: unknown
}

export interface Question {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: object
  readonly signal: AbortSignal
}

const MAX_ANSWER = 1 << 20
const MAX_SOCKETS = 64

export class HttpClient {
  readonly #base: URL
  readonly #agent: HttpAgent | HttpsAgent

  /** @throws {KeysError} ERR_KEYS_URI, ERR_KEYS_UNREADABLE */
  constructor(address: string, caFile: string | undefined) {
    if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) {
      throw new KeysError('ERR_KEYS_URI', { path: 'VAULT_ADDR', expected: 'https://<host>:8200' })
    }
    this.#base = new URL(address)
    const keep = { keepAlive: true, maxSockets: MAX_SOCKETS }
    this.#agent =
      this.#base.protocol === 'https:'
        ? new HttpsAgent({ ...keep, ...(caFile === undefined ? {} : { ca: readCa(caFile) }) })
        : new HttpAgent(keep)
  }

  /** @throws whatever the network throws; {KeysError} ERR_KEYS_REPLY for an answer that is cut short or too long. */
  ask({ method, path, headers, body, signal }: Question): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const send = this.#base.protocol === 'https:' ? httpsRequest : httpRequest
    const text = body === undefined ? undefined : JSON.stringify(body)
    const request = send(new URL(`/v1/${path}`, this.#base), {
      method,
      agent: this.#agent,
      signal,
      headers: {
        ...headers,
        'x-vault-request': 'true',
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      },
    })
    request.once('error', reject)
    request.once('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MAX_ANSWER) return void response.destroy(cut('longer than is reasonable'))
        chunks.push(chunk)
      })
      response.once('error', (cause: NodeJS.ErrnoException) =>
        reject(cause.code === 'ECONNRESET' ? cut('cut short') : cause),
      )
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          body: json(Buffer.concat(chunks)),
        }),
      )
    })
    request.end(text)
    return promise
  }

  close(): void {
    this.#agent.destroy()
  }
}

function cut(detail: string): KeysError {
  return new KeysError('ERR_KEYS_REPLY', { detail: `an answer that is ${detail}` })
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

function readCa(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const detail = `VAULT_CACERT: ${(cause as NodeJS.ErrnoException).code ?? 'not readable'}`
    throw new KeysError('ERR_KEYS_UNREADABLE', { path, detail, cause })
  }
}
