// A key server whose keys answer after a delay, as one behind an ocean or a slow HSM does.
import { setTimeout as delay } from 'node:timers/promises'
import { silentLogger } from '@latchkey/core'
import type { KeyStore, PrivateKey } from '@latchkey/keys'
import { openFileStore } from '@latchkey/keys'
import { createKeyServer } from '@latchkey/keyserver'
import { answerParent } from '../support/child-side.ts'

export interface DelayedKeyServer {
  readonly keyFile: string
  readonly delayMs: number
  readonly cert: string
  readonly key: string
  readonly ca: string
}

answerParent(async ({ keyFile, delayMs, cert, key, ca }: DelayedKeyServer) => {
  const files = await openFileStore([{ file: keyFile }])
  const keyStore = delayMs === 0 ? files : delayed(files, delayMs)
  const server = createKeyServer({ keyStore, cert, key, ca, logger: silentLogger })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  return { port }
})

/** The same keys, each signature after `delayMs`. */
function delayed(store: KeyStore, delayMs: number): KeyStore {
  const slow = (key: PrivateKey): PrivateKey => ({
    ski: key.ski,
    keyType: key.keyType,
    publicKey: key.publicKey,
    algorithms: key.algorithms,
    source: key.source,
    sign: async (algorithm, input) => {
      const copy = new Uint8Array(input)
      await delay(delayMs)
      return key.sign(algorithm, copy)
    },
  })
  const keys = new Map([...store.list()].map((key) => [hex(key.ski), slow(key)]))
  return {
    find: (ski) => keys.get(hex(ski)),
    list: () => keys.values(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
