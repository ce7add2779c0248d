// A headless Chromium, driven by the Chrome DevTools Protocol over a pipe: JSON messages that end in a NUL.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

export interface BrowserOptions {
  /** Names that are found at 127.0.0.1. */
  readonly hosts: readonly string[]
  /** The base64 of the SHA-256 of a SubjectPublicKeyInfo whose certificates are trusted. */
  readonly trustedKey: string
  readonly browserArguments?: readonly string[]
}

/** What `Network.responseReceived` says of a page. */
export interface PageVisit {
  readonly status: number
  /** The ALPN name. */
  readonly protocol: string
  readonly securityDetails: {
    readonly protocol: string
    readonly cipher: string
    readonly keyExchangeGroup?: string
    readonly subjectName: string
  }
}

type Params = Readonly<Record<string, unknown>>
interface Message {
  readonly id?: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
  readonly method?: string
  readonly params?: Params
}

/** A busy machine needs some seconds to start a browser. */
const DEADLINE_MS = 60_000
/** Chromium's own services find no network here, and must not look for one. */
const QUIET = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-extensions',
  '--disable-quic',
  '--no-first-run',
  '--no-default-browser-check',
]

export class Browser implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #commands: Writable
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>()
  #listener: (method: string, params: Params) => void = () => {}
  #lastId = 0
  #sessionId: string | undefined

  /** Starts the browser with a fresh profile and one blank page. */
  static async start(options: BrowserOptions): Promise<Browser> {
    const browser = new Browser(options)
    try {
      await browser.#openPage()
      return browser
    } catch (error) {
      await browser[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor({ hosts, trustedKey, browserArguments = [] }: BrowserOptions) {
    this.#profile = mkdtempSync(join(tmpdir(), 'latchkey-chromium-'))
    const place = [
      `--user-data-dir=${this.#profile}`,
      `--ignore-certificate-errors-spki-list=${trustedKey}`,
      `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(', ')}`,
    ]
    // As root, as in a container, Chromium has no sandbox; what it visits here is ours.
    const args = ['--headless', '--no-sandbox', '--disable-gpu', ...QUIET, ...place, ...browserArguments]
    this.#process = spawn('chromium', [...args, '--remote-debugging-pipe', 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    })
    this.#commands = this.#process.stdio[3] as Writable
    this.#commands.on('error', () => {}) // 'exit' tells
    this.#process.once('error', (error) => this.#fail(error))
    this.#process.once('exit', (code) => this.#fail(new Error(`chromium ended with ${String(code)}`)))
    this.#read(this.#process.stdio[4] as Readable)
  }

  /** Loads a page; resolves once it is complete. */
  async visit(url: string): Promise<PageVisit> {
    const response = Promise.withResolvers<PageVisit>()
    const loaded = Promise.withResolvers<void>()
    this.#listener = (method, params) => {
      if (method === 'Network.responseReceived' && params['type'] === 'Document')
        response.resolve(params['response'] as PageVisit)
      if (method === 'Page.loadEventFired') loaded.resolve()
    }
    const { errorText } = await this.#send<{ errorText?: string }>('Page.navigate', { url })
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`)
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    deadline.addEventListener('abort', () => loaded.reject(deadline.reason))
    await loaded.promise
    return response.promise
  }

  /** What an expression is in the page; a promise is waited for. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const options = { expression, awaitPromise: true, returnByValue: true }
    const { result, exceptionDetails } = await this.#send<{
      result: { value: Value }
      exceptionDetails?: object
    }>('Runtime.evaluate', options)
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return result.value
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.pid !== undefined && this.#process.exitCode === null) {
      const exit = once(this.#process, 'exit')
      this.#process.kill('SIGKILL') // its profile is thrown away
      await exit
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 })
  }

  async #openPage(): Promise<void> {
    const { targetId } = await this.#send<{ targetId: string }>('Target.createTarget', { url: 'about:blank' })
    const attach = { targetId, flatten: true }
    const { sessionId } = await this.#send<{ sessionId: string }>('Target.attachToTarget', attach)
    this.#sessionId = sessionId
    await this.#send('Network.enable')
    await this.#send('Page.enable')
  }

  async #send<Result>(method: string, params: Params = {}): Promise<Result> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<unknown>()
    this.#pending.set(id, answer)
    const session = this.#sessionId === undefined ? {} : { sessionId: this.#sessionId }
    this.#commands.write(`${JSON.stringify({ id, method, params, ...session })}\0`)
    return (await answer.promise) as Result
  }

  #read(pipe: Readable): void {
    let text = ''
    pipe.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (text + chunk).split('\0')
      text = messages.pop() ?? ''
      for (const message of messages) this.#receive(JSON.parse(message) as Message)
    })
  }

  #receive({ id, result, error, method, params }: Message): void {
    if (method !== undefined) this.#listener(method, params ?? {})
    if (id === undefined) return
    const answer = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) answer?.resolve(result)
    else answer?.reject(new Error(error.message))
  }

  #fail(error: Error): void {
    for (const answer of this.#pending.values()) answer.reject(error)
    this.#pending.clear()
  }
}
