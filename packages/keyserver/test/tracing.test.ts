// What a tracer is told about a request.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallerSpan } from '@latchkey/wire'
import { encodePacket, OPCODES } from '@latchkey/wire'
import type { RequestTracer } from '../src/index.ts'
import { errorByte, text } from './support/test-client.ts'
import { RemoteKey, storeOf, testKey } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'

const PING = OPCODES.OpPing.code
const SIGN = OPCODES.OpECDSASignSHA256.code

class Recorder implements RequestTracer {
  readonly callers: (CallerSpan | undefined)[] = []
  readonly events: string[] = []

  begin(request: { readonly opcodeName: string }, caller: CallerSpan | undefined) {
    this.callers.push(caller)
    return { ...this.#work(request.opcodeName), begin: (name: string) => this.#work(name) }
  }

  #work(name: string) {
    this.events.push(`${name}:`)
    return { end: (failure?: string) => void this.events.push(`${name}: ${failure ?? 'done'}`) }
  }
}

test('each request is a span, with its look-up and its operation inside', async (t) => {
  const [ec, rsa] = [testKey('p256'), testKey('rsa2048')]
  const tracer = new Recorder()
  const { connect } = await startServer(t, { keyStore: storeOf(ec, rsa), tracer })
  const client = await connect()
  await client.ask(1, { opcode: PING })
  await client.ask(2, { opcode: SIGN, ski: ec.ski, payload: new Uint8Array(32) })
  await client.ask(3, { opcode: SIGN, ski: new Uint8Array(20).fill(1), payload: new Uint8Array(32) })
  await client.ask(4, { opcode: OPCODES.OpRSADecrypt.code, ski: rsa.ski, payload: new Uint8Array(256) })
  assert.deepEqual(tracer.events, [
    'OpPing:',
    'OpPing: done',
    'OpECDSASignSHA256:',
    'DefaultKeystore.Get:',
    'DefaultKeystore.Get: done',
    'execute.Sign:',
    'execute.Sign: done',
    'OpECDSASignSHA256: done',
    'OpECDSASignSHA256:',
    'DefaultKeystore.Get:',
    'DefaultKeystore.Get: done',
    `OpECDSASignSHA256: no key with SKI ${'01'.repeat(20)}`,
    'OpRSADecrypt:',
    'DefaultKeystore.Get:',
    'DefaultKeystore.Get: done',
    'execute.Decrypt:',
    'execute.Decrypt: done',
    'OpRSADecrypt: done',
  ])
})

test('the span of the caller is handed on; one that cannot be read is an error line, and the request goes on', async (t) => {
  const tracer = new Recorder()
  const { connect, log } = await startServer(t, { tracer })
  const client = await connect()
  await client.ask(1, { opcode: PING, span: text('a:b:0:1') })
  await client.ask(2, { opcode: PING, span: new Uint8Array(0) })
  await client.ask(3, { opcode: PING })
  assert.equal(errorByte(await client.ask(4, { opcode: PING, span: text('garbage') })), undefined)
  assert.deepEqual(tracer.callers, [
    { traceId: 'a'.padStart(32, '0'), spanId: 'b'.padStart(16, '0'), isSampled: true },
    undefined,
    undefined,
    undefined,
  ])
  const errors = log.lines('error')
  assert.equal(errors.length, 1)
  assert.match(
    errors[0] ?? '',
    /^connection 127\.0\.0\.1:\d+: failed to extract span: neither binary nor text/,
  )
})

test('without a tracer spans are not looked at', async (t) => {
  const { connect, log } = await startServer(t)
  const client = await connect()
  await client.ask(1, { opcode: PING, span: text('garbage') })
  assert.deepEqual(log.lines('error'), [])
})

test('a request that is given up ends its spans', async (t) => {
  const key = new RemoteKey()
  const tracer = new Recorder()
  const { connect, log } = await startServer(t, { keyStore: storeOf(key), tracer })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: new Uint8Array(32) }))
  await key.asked(1)
  client.destroy()
  await log.line(/: removed$/)
  key.questions[0]?.answer(new Uint8Array(70))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(tracer.events.at(-1), 'OpECDSASignSHA256: given up before it was answered')
})
