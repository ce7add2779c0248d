// What the README says is true: its example runs, its tables have every error and every limit.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { silentLogger } from '@latchkey/core'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { createKeyServer, DEFAULT_LIMITS, KEYSERVER_ERRORS } from '../src/index.ts'
import { pki } from './support/pki.ts'
import { connectTo } from './support/test-client.ts'
import { storeOf, testKey } from './support/test-keys.ts'

const file = await readFile(new URL('../README.md', import.meta.url), 'utf8')
const readme = file.replaceAll(/ +/g, ' ') // tables are aligned

test('the example serves a signature, and disposing it ends it', async () => {
  const { ca, server: identity } = await pki()
  const p256 = testKey('p256')
  const keyStore = storeOf(p256)
  const { certificatePem } = ca
  let port: number
  {
    const certificates = { cert: identity.chainPem, key: identity.privateKeyPem, ca: certificatePem }
    await using server = createKeyServer({ keyStore, ...certificates, logger: silentLogger })
    ;({ port } = await server.listen({ port: 0 }))
    const client = await connectTo(port)
    const request = { opcode: OPCODES.OpECDSASignSHA256.code, ski: p256.ski, payload: new Uint8Array(32) }
    client.send(encodePacket(1, request))
    assert.equal((await client.reply(1)).operation.opcode, OPCODES.OpResponse.code)
    client.socket.end()
  }
  await assert.rejects(connectTo(port))
})

test('the table of errors has every code and no other', () => {
  const documented = [...readme.matchAll(/ERR_KEYSERVER_\w+/g)].map(([code]) => code)
  assert.deepEqual([...new Set(documented)].sort(), Object.keys(KEYSERVER_ERRORS).sort())
})

test('the table of limits has the defaults', () => {
  const seconds = (ms: number): string => `${ms / 1000} s`
  const { handshakeTimeoutMs, readTimeoutMs, writeTimeoutMs, operationTimeoutMs, drainMs } = DEFAULT_LIMITS
  const { maxConnections, maxHandshakes, maxInFlight, maxQueuedReplyBytes } = DEFAULT_LIMITS
  const rows: readonly string[] = [
    `| TLS handshake | ${seconds(handshakeTimeoutMs)} |`,
    `| from one whole packet to the next | ${seconds(readTimeoutMs)} |`,
    `| no reply byte leaves although some wait | ${seconds(writeTimeoutMs)} |`,
    `| one key operation that has to be waited for | ${seconds(operationTimeoutMs)} |`,
    `| drain | ${seconds(drainMs)} |`,
    `| connections | ${maxConnections}, of which ${maxHandshakes} in their handshake |`,
    `| requests in flight per connection | ${maxInFlight} |`,
    `| reply bytes a client has not read | ${maxQueuedReplyBytes / 1024} KiB |`,
  ]
  assert.equal(rows.length + 1, Object.keys(DEFAULT_LIMITS).length) // one row has two
  for (const row of rows) assert.ok(readme.includes(row), row)
})
