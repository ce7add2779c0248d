// Each key use is recorded before it is answered, and what cannot be recorded is not answered.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { type AuditTrail, type AuditVerdict, type KeyRequest, type KeyServerOptions } from '../src/index.ts'
import { SealingKeys } from '../src/sealing-keys.ts'
import { errorByte } from './support/test-client.ts'
import { RemoteKey, storeOf, testKey } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'

const SIGN = OPCODES.OpECDSASignSHA256.code
const DECRYPT = OPCODES.OpRSADecrypt.code
const DIGEST = new Uint8Array(32)
const EC = testKey('p256')
const RSA = testKey('rsa2048')

interface Batch {
  isKept: boolean
}

/** Keeps records in memory; with `isFull` it keeps none. */
class MemoryTrail implements AuditTrail {
  readonly records: string[] = []
  isFull = false
  #gathered: string[] = []
  #batch: Batch = { isKept: false }

  record(request: KeyRequest, { outcome, reason }: AuditVerdict): Batch {
    this.#gathered.push(`${request.id} ${request.opcodeName} ${outcome} ${reason}`.trim())
    return this.#batch
  }

  commit(): void {
    this.#batch.isKept = !this.isFull
    if (!this.isFull) this.records.push(...this.#gathered)
    this.#gathered = []
    this.#batch = { isKept: false }
  }
}

async function start(t: TestContext, options: Partial<KeyServerOptions> = {}) {
  const audit = new MemoryTrail()
  const keyStore = storeOf(EC, RSA)
  return { audit, ...(await startServer(t, { keyStore, audit, ...options })) }
}

test('each use of a key has a record with what came of it; a ping has none', async (t) => {
  const sealing = new SealingKeys({
    secrets: [new Uint8Array(32).fill(1)],
    rotationSeconds: 3600,
    keptRotations: 2,
  })
  const { audit, connect } = await start(t, {
    sealing,
    denial: ({ request }) => (request.id === 5 ? 'not five' : undefined),
  })
  const client = await connect()
  await client.ask(1, { opcode: OPCODES.OpPing.code })
  await client.ask(2, { opcode: SIGN, ski: EC.ski, payload: DIGEST })
  await client.ask(3, { opcode: SIGN, ski: new Uint8Array(20).fill(1), payload: DIGEST })
  await client.ask(4, { opcode: SIGN, ski: EC.ski, payload: new Uint8Array(3) })
  await client.ask(5, { opcode: SIGN, ski: EC.ski, payload: DIGEST })
  await client.ask(6, { opcode: DECRYPT, ski: RSA.ski, payload: new Uint8Array(256) })
  await client.ask(7, { opcode: OPCODES.OpSeal.code, payload: DIGEST })
  await client.ask(8, { opcode: OPCODES.OpUnseal.code, payload: DIGEST })
  await client.ask(9, { opcode: 0x77 })
  assert.deepEqual(audit.records, [
    '2 OpECDSASignSHA256 ok',
    '3 OpECDSASignSHA256 not_found ERR_KEYLESS_KEY_NOT_FOUND',
    '4 OpECDSASignSHA256 failed ERR_KEYLESS_CRYPTOGRAPHY',
    '5 OpECDSASignSHA256 denied ERR_KEYLESS_KEY_NOT_FOUND',
    '6 OpRSADecrypt ok',
    '7 OpSeal ok',
    '8 OpUnseal failed ERR_KEYLESS_CRYPTOGRAPHY',
  ])
})

test('without a record there is no answer but error 8, of many requests too, and pings go on', async (t) => {
  const { audit, connect } = await start(t)
  const client = await connect()
  audit.isFull = true
  client.send(
    ...Array.from({ length: 20 }, (_, at) => [
      encodePacket(3 * at, { opcode: SIGN, ski: EC.ski, payload: DIGEST }),
      encodePacket(3 * at + 1, { opcode: OPCODES.OpPing.code, payload: DIGEST }),
      encodePacket(3 * at + 2, { opcode: DECRYPT, ski: RSA.ski, payload: new Uint8Array(256) }),
    ]).flat(),
  )
  for (const packet of await client.replies(60)) {
    assert.equal(errorByte(packet), packet.id % 3 === 1 ? undefined : 8, `packet ${packet.id}`)
    if (packet.id % 3 !== 1) assert.equal(packet.operation.payload?.length, 1)
  }
  audit.isFull = false
  assert.equal(errorByte(await client.ask(100, { opcode: SIGN, ski: EC.ski, payload: DIGEST })), undefined)
  assert.deepEqual(audit.records, ['100 OpECDSASignSHA256 ok'])
})

test('an answer that comes later, with a commit of another connection that failed, is not sent either', async (t) => {
  const far = new RemoteKey()
  const { audit, connect } = await start(t, { keyStore: storeOf(EC, far) })
  const [one, two] = [await connect(), await connect()]
  one.send(encodePacket(1, { opcode: SIGN, ski: far.ski, payload: DIGEST }))
  await far.asked(1)
  audit.isFull = true
  far.questions[0]?.answer(new Uint8Array(70).fill(9))
  two.send(encodePacket(2, { opcode: SIGN, ski: EC.ski, payload: DIGEST }))
  assert.equal(errorByte(await one.reply(1)), 8)
  assert.equal(errorByte(await two.reply(2)), 8)
})

test('a key that was used for a client that had gone has a record, once', async (t) => {
  const far = new RemoteKey()
  const { audit, connect, server } = await start(t, { keyStore: storeOf(far) })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: far.ski, payload: DIGEST }))
  await far.asked(1)
  client.destroy()
  while (server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve))
  far.questions[0]?.answer(new Uint8Array(70).fill(9))
  while (audit.records.length === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(audit.records, ['1 OpECDSASignSHA256 failed unanswered'])
})

test('an operation past its deadline has one record', async (t) => {
  const far = new RemoteKey()
  const { audit, connect } = await start(t, {
    keyStore: storeOf(EC, far),
    limits: { operationTimeoutMs: 20 },
  })
  const client = await connect()
  assert.equal(errorByte(await client.ask(1, { opcode: SIGN, ski: far.ski, payload: DIGEST })), 1)
  far.questions[0]?.answer(new Uint8Array(70).fill(9))
  await client.ask(2, { opcode: SIGN, ski: EC.ski, payload: DIGEST })
  assert.deepEqual(audit.records, [
    '1 OpECDSASignSHA256 failed ERR_KEYLESS_CRYPTOGRAPHY',
    '2 OpECDSASignSHA256 ok',
  ])
})
