import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { KEYLESS_ERRORS, KeylessError, PROTOCOL_ERRORS, protocolErrorText } from './errors.ts'
import { readReply } from './reply.ts'

test('the protocol has twelve errors, each at its byte', () => {
  assert.deepEqual(
    PROTOCOL_ERRORS.map(({ wire }) => wire),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  )
  assert.equal(protocolErrorText(2), 'key not found')
  assert.equal(protocolErrorText(99), 'unknown error 99')
})

test('an error says its text, its detail and its byte', () => {
  const error = new KeylessError('ERR_KEYLESS_IP_LENGTH', { detail: '5 bytes', packetId: 3 })
  assert.equal(String(error), 'KeylessError: an IP address is neither 4 nor 16 bytes: 5 bytes')
  assert.deepEqual([error.wire, error.packetId], [7, 3])
})

for (const { wire, code } of PROTOCOL_ERRORS) {
  test(`error reply ${wire} is ${code}`, () => {
    assert.throws(() => readReply({ opcode: 0xff, payload: Uint8Array.of(wire) }), { code })
  })
}

for (const [name, operation] of Object.entries({
  'unknown error byte': { opcode: 0xff, payload: Uint8Array.of(12) },
  'error without a byte': { opcode: 0xff },
  'error of two bytes': { opcode: 0xff, payload: Uint8Array.of(2, 2) },
  'a request': { opcode: 0xf1 },
  'no opcode': { opcode: 0 },
})) {
  test(`a reply is not understood: ${name}`, () => {
    assert.throws(() => readReply(operation), { code: 'ERR_KEYLESS_REPLY' })
  })
}

test('successes and pongs pass', () => {
  for (const opcode of [0xf0, 0xf2]) assert.deepEqual(readReply({ opcode }), { opcode })
})

test('the README lists every error code and no other', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const listed = [...readme.matchAll(/^\| `(ERR_\w+)` +\| (\d+|–) +\| (.+?) +\|$/gm)]
  assert.deepEqual(
    listed.map(([, code, wire, text]) => [code, wire, text]),
    Object.entries(KEYLESS_ERRORS).map(([code, { wire, text }]) => [code, String(wire ?? '–'), text]),
  )
  assert.deepEqual(new Set(readme.match(/ERR_KEYLESS_\w+/g)), new Set(Object.keys(KEYLESS_ERRORS)))
})
