// A key server on a free port that ends with its test, and what it logged.
import type { TestContext } from 'node:test'
import { createLogger, type LogRecord, parseLogLevel } from '@latchkey/core'
import type { ConnectionOptions } from 'node:tls'
import { createKeyServer, type KeyServer, type KeyServerOptions } from '../../src/index.ts'
import { pki } from './pki.ts'
import { connectTo, type TestClient } from './test-client.ts'
import { storeOf } from './test-keys.ts'

const LINE_PATIENCE_MS = 5000

export interface TestServer {
  readonly server: KeyServer
  readonly port: number
  readonly log: TestLog
  readonly connect: (options?: ConnectionOptions) => Promise<TestClient>
}

/** Starts a server with an empty store unless `options` say otherwise. */
export async function startServer(
  t: TestContext,
  options: Partial<KeyServerOptions> = {},
): Promise<TestServer> {
  const { ca, server: identity } = await pki()
  const log = new TestLog()
  const server = createKeyServer({
    keyStore: storeOf(),
    cert: identity.chainPem,
    key: identity.privateKeyPem,
    ca: ca.certificatePem,
    logger: log.logger,
    ...options,
  })
  const clients: TestClient[] = []
  t.after(async () => {
    for (const client of clients) client.destroy()
    await server.close({ drainMs: 50 })
  })
  const { port } = await server.listen({ port: 0 })
  const connect = async (connection?: ConnectionOptions): Promise<TestClient> => {
    const client = await connectTo(port, connection)
    clients.push(client)
    return client
  }
  return { server, port, log, connect }
}

/** Keeps every line and lets a test wait for one. */
export class TestLog {
  readonly records: LogRecord[] = []
  #waiting: (() => void)[] = []
  readonly logger = createLogger((record) => {
    this.records.push(record)
    for (const check of this.#waiting) check()
  }, parseLogLevel('debug'))

  lines(level?: string): string[] {
    return this.records.filter((each) => level === undefined || each.level === level).map(({ text }) => text)
  }

  /** The first record whose text matches, when there is one. */
  async line(pattern: RegExp): Promise<LogRecord> {
    const find = (): LogRecord | undefined => this.records.find(({ text }) => pattern.test(text))
    const { promise, resolve, reject } = Promise.withResolvers<LogRecord>()
    const patience = setTimeout(
      () => reject(new Error(`no line ${pattern} in:\n${this.lines().join('\n')}`)),
      LINE_PATIENCE_MS,
    )
    const check = (): void => {
      const found = find()
      if (found !== undefined) resolve(found)
    }
    this.#waiting.push(check)
    try {
      check()
      return await promise
    } finally {
      clearTimeout(patience)
      this.#waiting = this.#waiting.filter((each) => each !== check)
    }
  }
}
