// The example of the README, run: a signature that verifies, from a key that only the key server has.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { SIGNATURE_SCHEMES } from '@latchkey/tls'
import { encodeError, encodeResponse } from '@latchkey/wire'
import { signOnce } from './readme-example.ts'
import { CREDENTIALS, startKeyServer } from './scripted-key-server.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('the example of the README is the one that is run here', () => {
  assert.ok(text('../README.md').includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
})

test('the example gets a signature', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const ski = new Uint8Array(20).fill(3)
  await using server = await startKeyServer(({ id, operation, reply }) => {
    const isOurs = operation.ski !== undefined && Buffer.compare(operation.ski, ski) === 0
    if (!isOurs || operation.payload === undefined) reply(encodeError(id, 2))
    else reply(encodeResponse(id, sign(null, operation.payload, privateKey)))
  })
  const keyId = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
  const request = {
    keyId,
    scheme: SIGNATURE_SCHEMES.ed25519.code,
    content: new TextEncoder().encode('content'),
    purpose: 'tls13-server-cv',
    serverName: 'www.example.com',
    clientAddress: '::1',
    deadlineMs: Date.now() + 5000,
  } as const
  const address = { host: '127.0.0.1', port: server.port, ...CREDENTIALS }
  const signature = await signOnce(address, new Map([[keyId.toString('hex'), { ski }]]), request)
  assert.ok(verify(null, request.content, publicKey, signature))
  const other = new Map([[keyId.toString('hex'), { ski: new Uint8Array(20).fill(4) }]])
  await assert.rejects(signOnce(address, other, request), { code: 'ERR_KEYLESS_KEY_NOT_FOUND' })
})
