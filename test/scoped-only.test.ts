// A stolen client certificate under a policy that allows scoped signing only: it can have handshakes of a TLS server signed and
// nothing else, while the edge goes on serving over TLS 1.2 and 1.3 and notices nothing.
import assert from 'node:assert/strict'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { createKeyServerClient, type KeyServerClient } from '@latchkey/client'
import { subjectKeyIdentifier } from '@latchkey/keys'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { OPCODES, type Operation } from '@latchkey/wire'
import { runCommand } from './support/command.ts'
import { startSystem, type System } from './support/system.ts'

const COMMAND = fileURLToPath(new URL('../packages/latchkey/bin/latchkey.js', import.meta.url))
const SITES = ['ecdsa-p256', 'rsa-2048'] as const
const POLICY = `version: 1
scoped_only: true
rules:
- name: the edge
  clients: { cn: edge }
  sni: '*.site.test'
`

let system: System
let thief: KeyServerClient
before(async () => {
  system = await startSystem({
    keyAlgorithms: SITES,
    origin: (_request, response) => response.end('page'),
    keyServerSettings: 'policy_file: policy.yaml\naudit_dir: audit\n',
    files: { 'policy.yaml': POLICY },
  })
  const port = system.keyServerPort
  thief = createKeyServerClient({ host: '127.0.0.1', port, ...system.edgeIdentity, drainTimeoutMs: 500 })
})
after(async () => {
  await thief[Symbol.asyncDispose]()
  await system[Symbol.asyncDispose]()
})

function page(servername: string, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string> {
  const socket = connect({
    host: '127.0.0.1',
    port: system.edgePort,
    servername,
    ca: system.caPem,
    maxVersion,
  })
  socket.write(`GET / HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`)
  return socket.toArray().then((chunks) => String(Buffer.concat(chunks as Buffer[])))
}

for (const site of SITES) {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${site} over ${version}: the edge serves`, async () => {
      assert.match(await page(`${site}.site.test`, version), /page$/)
    })
  }
}

function keyOf(algorithm: (typeof SITES)[number]): Pick<Operation, 'ski' | 'serverName'> & { key: Buffer } {
  const { privateKeyPem, name } =
    system.sites.find((each) => each.keyAlgorithm === algorithm) ?? assert.fail()
  const publicKey = createPublicKey(privateKeyPem)
  return {
    key: publicKey.export({ type: 'spki', format: 'der' }),
    ski: subjectKeyIdentifier(publicKey),
    serverName: new TextEncoder().encode(name),
  }
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const TOKEN = Buffer.from(`${base64url({ alg: 'ES256' })}.${base64url({ sub: 'admin' })}`)
const context = (of: string): Uint8Array =>
  Buffer.concat([
    Buffer.from(`${' '.repeat(64)}TLS 1.3, ${of} CertificateVerify\0`),
    sha256(Buffer.from('transcript')),
  ])

test('the thief gets no signature over a token, a certificate, or the handshake of a client', async () => {
  const other = await createThrowawayCa()
  const { certificatePem } = await other.issue({ dnsNames: ['evil.test'] })
  const certificate = Buffer.from(certificatePem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  const wanted: Readonly<Record<string, Uint8Array>> = {
    'a token': TOKEN,
    'a certificate': certificate,
    "a client's CertificateVerify": context('client'),
  }
  let attemptCount = 0
  for (const [what, bytes] of Object.entries(wanted)) {
    const attempts: Operation[] = []
    for (const site of SITES) {
      const { ski, serverName } = keyOf(site)
      const { code } = site === 'rsa-2048' ? OPCODES.OpRSAPSSSignSHA256 : OPCODES.OpECDSASignSHA256
      const base = { opcode: code, ...(ski && { ski }), ...(serverName && { serverName }) }
      attempts.push({ ...base, payload: sha256(bytes) })
      for (const scope of [1, 2, 3]) attempts.push({ ...base, payload: bytes, extra: Uint8Array.of(scope) })
    }
    attemptCount += attempts.length
    for (const attempt of attempts) {
      // `scoped` goes out as it is on this connection, which has agreed to scoped signing.
      await assert.rejects(
        thief.request(attempt, { scoped: attempt }),
        { code: 'ERR_KEYLESS_KEY_NOT_FOUND' },
        what,
      )
    }
  }
  const lines = system.keyServer.lines.join('\n')
  assert.match(lines, /denied by policy: digests are refused, only scoped signing is allowed/)
  assert.match(lines, /denied, out of scope: not the context of a server's CertificateVerify/)
  // Each of them is in the audit log, and the log is whole.
  const folder = join(system.folder, 'audit')
  const records = readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as { outcome?: string })
  assert.equal(records.filter(({ outcome }) => outcome === 'denied').length, attemptCount)
  const { code, output } = await runCommand(process.execPath, [COMMAND, 'audit', 'verify', folder])
  assert.equal(code, 0, output)
})

test("a server's handshake it does get signed, under a name that the key serves and no other", async () => {
  const { key, ski, serverName } = keyOf('ecdsa-p256')
  const content = context('server')
  const request = {
    opcode: OPCODES.OpECDSASignSHA256.code,
    payload: content,
    extra: Uint8Array.of(1),
    ...(ski && { ski }),
    ...(serverName && { serverName }),
  }
  const { payload } = await thief.request(request, { scoped: request })
  const publicKey = createPublicKey({ key, format: 'der', type: 'spki' })
  assert.ok(verify('sha256', content, publicKey, payload ?? assert.fail()))
  const elsewhere = { ...request, serverName: new TextEncoder().encode('evil.test') }
  await assert.rejects(thief.request(elsewhere, { scoped: elsewhere }), { code: 'ERR_KEYLESS_KEY_NOT_FOUND' })
  assert.match(system.keyServer.lines.join('\n'), /denied by policy: not for the server name evil\.test/)
})

test('raw RSA decryption is not for it either', async () => {
  const { ski, serverName } = keyOf('rsa-2048')
  const request = {
    opcode: OPCODES.OpRSADecrypt.code,
    payload: new Uint8Array(256).fill(1),
    ...(ski && { ski }),
    ...(serverName && { serverName }),
  }
  await assert.rejects(thief.request(request), { code: 'ERR_KEYLESS_KEY_NOT_FOUND' })
})
