// A key management service on this machine: it speaks the documented REST of its original, has real keys inside, and fails
// in the ways a test asks for.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { loadPrivateKey, type NativePrivateKey } from '@latchkey/keys'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Readonly<Record<string, unknown>>
}

export interface Answered {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}

/** In place of what would have been answered. `slow`: nothing comes. `truncated`: half of it. `garbage`: no JSON. */
export type Fault = Answered | 'slow' | 'truncated' | 'garbage' | 'reset' | ((answer: Answered) => Answered)

export const KEY_PAIRS = {
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ed25519: generateKeyPairSync('ed25519'),
} as const
export type PairName = keyof typeof KEY_PAIRS

/** What signs inside: a digest as it is, which node:crypto does not. */
export function signerOf(name: PairName): NativePrivateKey {
  const der = KEY_PAIRS[name].privateKey.export({ type: 'pkcs8', format: 'der' })
  return loadPrivateKey(Buffer.from(der), { source: name })
}

export function publicKeyOf(name: PairName): KeyObject {
  return KEY_PAIRS[name].publicKey
}

/** A token that was signed elsewhere, for a server that checks it. */
export function freshRsa(): { readonly pem: string; readonly publicKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    publicKey,
  }
}

export interface ServiceOptions {
  /** PEM: then it is HTTPS. */
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly answer: (asked: Asked) => Answered | Promise<Answered>
  /** Which requests a fault is for. */
  readonly isFaulty: (asked: Asked) => boolean
}

export class Service implements AsyncDisposable {
  readonly asked: Asked[] = []
  /** One for each request to come; the last one is for all after it, if it is `forever`. */
  readonly faults: Fault[] = []
  isForever = false
  readonly #options: ServiceOptions
  readonly #server: Server
  readonly #held = new Set<ServerResponse>()

  private constructor(options: ServiceOptions) {
    this.#options = options
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#serve(request, response)
    }
    this.#server =
      options.tls === undefined ? createHttpServer(listener) : createHttpsServer(options.tls, listener)
  }

  static async start(options: ServiceOptions): Promise<Service> {
    const service = new Service(options)
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve))
    return service
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The next requests fail like this. */
  fail(...faults: readonly Fault[]): void {
    this.faults.push(...faults)
  }

  /** All requests fail like this until {@link heal}. */
  failAlways(fault: Fault): void {
    this.faults.splice(0, Infinity, fault)
    this.isForever = true
  }

  heal(): void {
    this.faults.length = 0
    this.isForever = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const response of this.#held) response.destroy()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked: Asked = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: await readBody(request),
    }
    this.asked.push(asked)
    const fault = this.#options.isFaulty(asked) ? this.#nextFault() : undefined
    if (fault === 'slow') return void this.#held.add(response)
    if (fault === 'reset') return void request.socket.destroy()
    const own = await this.#options.answer(asked)
    const { status, headers, body } =
      typeof fault === 'object' ? fault : typeof fault === 'function' ? fault(own) : own
    const text = fault === 'garbage' ? '<html>a page of a proxy</html>' : JSON.stringify(body)
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...headers,
    })
    if (fault !== 'truncated') return void response.end(text)
    response.write(text.slice(0, text.length / 2))
    setTimeout(() => request.socket.destroy(), 20)
  }

  #nextFault(): Fault | undefined {
    return this.isForever ? this.faults[0] : this.faults.shift()
  }
}

async function readBody(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return Object.fromEntries(new URLSearchParams(text))
  }
}
