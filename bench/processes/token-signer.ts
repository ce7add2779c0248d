// Signs on a token through the driver, or with the bare binding in a loop, as many at a time as there are sessions: both in
// one process, on one module. Started with UV_THREADPOOL_SIZE for as many.
import { createRequire } from 'node:module'
import type { PrivateKey, SignatureAlgorithm } from '@latchkey/keys'
import { openKeyStore } from '@latchkey/keys-pkcs11'
import type * as pkcs11js from 'pkcs11js'
import { answerParent } from '../../test/support/child-side.ts'

export interface TokenLoad {
  readonly uri: string
  readonly module: string
  readonly pin: string
  readonly label: string
  readonly kind: 'p256' | 'rsa2048'
  readonly through: 'driver' | 'binding'
  readonly sessions: number
  readonly seconds: number
}

const KINDS = {
  p256: { algorithm: 'ecdsa_sha256', mechanism: 0x1041, outputBytes: 64, prefix: '' },
  rsa2048: {
    algorithm: 'rsa_pkcs1_sha256',
    mechanism: 0x01,
    outputBytes: 256,
    prefix: '3031300d060960864801650304020105000420',
  },
} as const satisfies Record<
  string,
  { algorithm: SignatureAlgorithm; mechanism: number; outputBytes: number; prefix: string }
>

const opened = new Map<string, Promise<PrivateKey>>()
function keyOf({ uri, sessions }: TokenLoad): Promise<PrivateKey> {
  const name = `${uri} ${sessions}`
  const known = opened.get(name)
  if (known !== undefined) return known
  const key = openKeyStore([{ uri, maxInFlight: sessions }], {}).then((store) => {
    const [first] = store.list()
    if (first === undefined) throw new Error('the store is empty')
    return first
  })
  opened.set(name, key)
  return key
}

async function throughDriver(load: TokenLoad): Promise<number> {
  const key = await keyOf(load)
  const { algorithm } = KINDS[load.kind]
  const digest = new Uint8Array(32).fill(7)
  return rate(load, async () => {
    await key.sign(algorithm, digest)
  })
}

/** As short as it can be: no queue, no deadline, no check. */
async function throughBinding(load: TokenLoad): Promise<number> {
  await keyOf(load) // the module is started and logged in
  const { PKCS11 } = createRequire(new URL('../../packages/keys-pkcs11/src/index.ts', import.meta.url))(
    'pkcs11js',
  ) as typeof pkcs11js
  const token = new PKCS11()
  token.load(load.module)
  const slot = token.C_GetSlotList(true)[0]
  if (slot === undefined) throw new Error('no token')
  const { mechanism, outputBytes, prefix } = KINDS[load.kind]
  const input = Buffer.concat([Buffer.from(prefix, 'hex'), Buffer.alloc(32, 7)])
  const sessions: { readonly session: pkcs11js.Handle; readonly key: pkcs11js.Handle }[] = []
  for (let n = 0; n < load.sessions; n++) {
    const session = token.C_OpenSession(slot, 4)
    token.C_FindObjectsInit(session, [
      { type: 0, value: 3 },
      { type: 3, value: load.label },
    ])
    const [key] = token.C_FindObjects(session, 1)
    token.C_FindObjectsFinal(session)
    if (key === undefined) throw new Error('no such key')
    sessions.push({ session, key })
  }
  let next = 0
  const perSecond = await rate(load, async (lane) => {
    const { session, key } = sessions[lane] as (typeof sessions)[number]
    token.C_SignInit(session, { mechanism }, key)
    await token.C_SignAsync(session, input, Buffer.alloc(outputBytes))
    next++
  })
  for (const { session } of sessions) token.C_CloseSession(session)
  return next > 0 ? perSecond : 0
}

async function rate(
  { sessions, seconds }: TokenLoad,
  once: (lane: number) => Promise<void>,
): Promise<number> {
  const startedAt = performance.now()
  const until = startedAt + seconds * 1000
  let count = 0
  await Promise.all(
    Array.from({ length: sessions }, async (_, lane) => {
      while (performance.now() < until) {
        await once(lane)
        count++
      }
    }),
  )
  return count / ((performance.now() - startedAt) / 1000)
}

answerParent(async (load: TokenLoad) => ({
  perSecond: await (load.through === 'driver' ? throughDriver(load) : throughBinding(load)),
}))
