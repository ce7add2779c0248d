// What stands in a record.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { KeyUse } from '@latchkey/audit'
import { fileOf, keyUse, linesOf, openLog, temporaryDirectory } from './support.ts'

function recorded(change: Partial<KeyUse>): { readonly line: string; readonly value: unknown } {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path)
    log.record(keyUse(change))
  }
  const line = linesOf(fileOf(directory.path))[1] ?? ''
  return { line, value: JSON.parse(line) }
}

test('a record says who did what with which key, for whom, and what came of it', () => {
  const { value } = recorded({ outcome: 'failed', reason: 'ERR_KEYLESS_CRYPTOGRAPHY', isScoped: true })
  const { hash, ...members } = value as { hash: string }
  assert.match(hash, /^[0-9a-f]{64}$/)
  assert.deepEqual(members, {
    seq: 2,
    time: '2026-09-21T14:13:20.000Z',
    peer: '192.0.2.1:4711',
    client: 'edge-1.example.com',
    serial: '123456789',
    certificate: 'ab'.repeat(32),
    client_ip: '198.51.100.7',
    ski: 'cd'.repeat(20),
    operation: 'OpECDSASignSHA256',
    sni: 'www.example.com',
    request_id: 'request-1',
    scoped: true,
    outcome: 'failed',
    reason: 'ERR_KEYLESS_CRYPTOGRAPHY',
  })
})

test('what is not known is left out', () => {
  const { value } = recorded({ clientIp: '', serverName: '', ski: '' })
  for (const name of ['client_ip', 'sni', 'ski', 'scoped', 'reason']) {
    assert.ok(!Object.hasOwn(value as object, name), name)
  }
})

test('any string of a peer comes back as it was, and the line stays one line of ASCII', () => {
  using directory = temporaryDirectory()
  using log = openLog(directory.path)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }), (serverName) => {
      log.record(keyUse({ serverName }))
      log.commit()
      const line = linesOf(fileOf(directory.path)).at(-1) ?? ''
      assert.match(line, /^[ -~]+$/)
      assert.equal((JSON.parse(line) as { sni: string }).sni, serverName)
    }),
  )
})

test('a string without end is cut', () => {
  const { value } = recorded({ requestId: 'x'.repeat(100_000) })
  assert.equal((value as { request_id: string }).request_id, `${'x'.repeat(1024)}…`)
})
