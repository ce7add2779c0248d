import assert from 'node:assert/strict'
import { test } from 'node:test'
import { of, readTrace } from '../test/support/trace.ts'
import { KEY_LOG_LABELS, keyLogLine, logHandshakeSecrets, logTrafficSecrets } from './key-log.ts'

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const random = bytes(32, 0x0a)
const secrets = { client: bytes(32, 1), server: bytes(48, 0xff) }

test('a line is label, random and secret, in lower-case hexadecimal', () => {
  assert.equal(
    keyLogLine('CLIENT_TRAFFIC_SECRET_0', random, Uint8Array.of(0, 1, 0xab)),
    `CLIENT_TRAFFIC_SECRET_0 ${'0a'.repeat(32)} 0001ab\n`,
  )
})

test('every label makes a line that readers of the format take', () => {
  for (const label of KEY_LOG_LABELS) {
    assert.match(keyLogLine(label, random, bytes(48, 7)), /^[A-Z_0]+ [0-9a-f]{64} (?:07){48}\n$/)
  }
})

test('a random of another length is a bug', () => {
  assert.throws(() => keyLogLine('EXPORTER_SECRET', bytes(31, 0), secrets.client), TypeError)
})

const line = (label: string, secret: string): string => `${label} ${'0a'.repeat(32)} ${secret}\n`
const CLIENT = '01'.repeat(32)
const SERVER = 'ff'.repeat(48)

test('handshake secrets give two lines', () => {
  const lines: string[] = []
  logHandshakeSecrets((text) => lines.push(text), random, secrets)
  assert.deepEqual(lines, [
    line('CLIENT_HANDSHAKE_TRAFFIC_SECRET', CLIENT),
    line('SERVER_HANDSHAKE_TRAFFIC_SECRET', SERVER),
  ])
})

test('application secrets give two lines, three with the exporter', () => {
  const lines: string[] = []
  logTrafficSecrets((text) => lines.push(text), random, secrets)
  logTrafficSecrets((text) => lines.push(text), random, secrets, bytes(32, 2))
  const two = [line('CLIENT_TRAFFIC_SECRET_0', CLIENT), line('SERVER_TRAFFIC_SECRET_0', SERVER)]
  assert.deepEqual(lines, [...two, ...two, line('EXPORTER_SECRET', '02'.repeat(32))])
})

test('without a sink nothing happens, not even a check', () => {
  assert.doesNotThrow(() => logHandshakeSecrets(undefined, bytes(0, 0), secrets))
  assert.doesNotThrow(() => logTrafficSecrets(undefined, bytes(0, 0), secrets))
})

test('the random of a line is ClientHello.random of RFC 8448 §3', () => {
  const hello = of(readTrace('simple').messages, 'clientHello')
  const text = keyLogLine('CLIENT_HANDSHAKE_TRAFFIC_SECRET', hello.subarray(6, 38), bytes(32, 0))
  assert.match(text, / cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7 /)
})
