// The conformance shim without its runner: that it does what its contract says, so that a run of hours means something.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { parseFlags, Unimplemented } from './bogo/flags.ts'
import { report } from './bogo/report.ts'
import { loadCredential } from '@latchkey/tls'
import { testCertificate } from './support/certificate.ts'
import { EXTENSION, SCHEME } from './support/code-points.ts'
import { acceptsDelegated, encodeDelegated, p256Key } from './support/delegation.ts'
import { TestClient } from './support/test-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'bogo-shim-'))
after(() => rmSync(folder, { recursive: true }))

const { chainPem, privateKey } = testCertificate('p256')
const certFile = join(folder, 'chain.pem')
const keyFile = join(folder, 'key.pem')
writeFileSync(certFile, chainPem)
writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))

const CLOSE_NOTIFY = 0
const SHIM_ID = 0x1_0000_0007

/** Starts the shim as the runner does; `play` gets the connection that the shim makes, behind its id. */
async function runShim(
  flags: readonly string[],
  play: (socket: Socket) => Promise<void>,
): Promise<{ code: number | null; stderr: string }> {
  const runner = createServer()
  await once(runner.listen(0, '127.0.0.1'), 'listening')
  const { port } = runner.address() as AddressInfo
  const args = ['-port', String(port), '-shim-id', String(SHIM_ID), ...flags]
  const shim = spawn(fileURLToPath(new URL('bogo/shim', import.meta.url)), args, { timeout: 20_000 })
  const stderr: Buffer[] = []
  shim.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  const closed = once(shim, 'close')
  runner.on('connection', (socket: Socket) => void play(socket))
  const [code] = (await closed) as [number | null]
  runner.close()
  return { code, stderr: Buffer.concat(stderr).toString() }
}

/** A TLS client on a connection whose first eight bytes are the shim's id. */
async function secured(socket: Socket): Promise<ReturnType<typeof connect>> {
  await once(socket, 'readable')
  assert.equal((socket.read(8) as Buffer).readBigUInt64LE(), BigInt(SHIM_ID))
  const client = connect({ socket, rejectUnauthorized: false })
  await once(client, 'secureConnect')
  return client
}

const SERVER = ['-server', '-cert-file', certFile, '-key-file', keyFile]

test('the shim calls, says who it is, and sends every byte back as its complement', async () => {
  for (const flags of [[], ['-async']]) {
    let answer = ''
    const outcome = await runShim([...SERVER, ...flags, '-expect-version', '772'], async (socket) => {
      const client = await secured(socket)
      client.write(Uint8Array.of(0x00, 0x0f, 0xff))
      answer = ((await once(client, 'data')) as [Buffer])[0].toString('hex')
      client.end()
    })
    assert.equal(answer, 'fff000')
    assert.deepEqual(outcome, { code: 0, stderr: '' })
  }
})

test('an expectation that is not met is a failure that says which', async () => {
  const outcome = await runShim([...SERVER, '-expect-version', '771'], async (socket) => {
    const client = await secured(socket)
    client.on('error', () => {})
  })
  assert.deepEqual(outcome, { code: 1, stderr: 'version is 772, the runner expects 771\n' })
})

test('an error of the engine is printed with its code', async () => {
  const outcome = await runShim(SERVER, async (socket) => {
    await once(socket, 'readable')
    socket.end(Uint8Array.of(22, 3, 1, 0, 5, 2, 0, 0, 1, 0))
    socket.resume()
  })
  assert.equal(outcome.code, 1)
  assert.match(outcome.stderr, /^ERR_TLS_UNEXPECTED_MESSAGE: /)
})

test('a delegated credential is for those who accept it, and is no certificate for others', async () => {
  const credential = loadCredential({ chain: chainPem })
  const keys = p256Key()
  const delegatedKey = join(folder, 'delegated-key.pem')
  writeFileSync(delegatedKey, keys.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const encoded = Buffer.from(encodeDelegated({ credential, privateKey }, { keys })).toString('base64')
  const certificate = ['-cert-file', certFile, '-key-file']
  const delegated = [
    '-new-delegated-credential',
    ...certificate,
    delegatedKey,
    '-delegated-credential',
    encoded,
  ]
  const own = ['-new-x509-credential', ...certificate, keyFile]
  const flags = ['-server', ...delegated, ...own, '-expect-selected-credential']
  for (const [selected, extra] of [
    ['0', [acceptsDelegated(SCHEME.ecdsa_secp256r1_sha256)]],
    ['1', []],
  ] as const) {
    const client = new TestClient({ hello: { extra } })
    const outcome = await runShim([...flags, selected], async (socket) => {
      await once(socket, 'readable')
      socket.read(8)
      const flush = (): void => void socket.write(client.take())
      socket.on('data', (chunk: Buffer) => {
        const before = client.state
        client.receive(chunk)
        if (client.state === 'connected' && before !== 'connected') client.alert(CLOSE_NOTIFY, 1)
        flush()
      })
      client.start()
      flush()
    })
    assert.deepEqual(outcome, { code: 0, stderr: '' })
    assert.equal(client.leafExtensions.has(EXTENSION.delegated_credential), selected === '0')
  }
})

test('what the shim cannot do is exit code 89', async () => {
  for (const flags of [
    [...SERVER, '-no-such-flag'],
    [...SERVER, '-dtls'],
    ['-cert-file', certFile],
    [...SERVER, '-curves', '25'],
  ]) {
    const { code } = await runShim(flags, () => assert.fail('a connection'))
    assert.equal(code, 89, flags.join(' '))
  }
})

test('flags are for the first connection, for those that resume it, or for all', () => {
  const { initial, resume } = parseFlags(
    (
      '-server -curves 29 -curves 23 -on-initial-no-ticket -on-resume-select-alpn -server ' +
      '-cert-file a -new-x509-credential -cert-file b -on-resume-new-x509-credential'
    ).split(' '),
  )
  assert.deepEqual(
    [initial['-curves'], resume['-curves']],
    [
      [29, 23],
      [29, 23],
    ],
  )
  assert.deepEqual([initial['-no-ticket'], resume['-no-ticket']], [true, undefined])
  assert.deepEqual([initial['-select-alpn'], resume['-select-alpn']], [undefined, '-server'])
  assert.deepEqual(initial.defaultCredential, { '-cert-file': 'a' })
  assert.deepEqual([initial.credentials.length, resume.credentials.length], [1, 2])
  assert.throws(() => parseFlags(['-on-shim-curves', '29']), Unimplemented)
})

test('the report counts every test once, those that are left out by their reason', () => {
  const results = {
    tests: { 'A-1': { actual: 'PASS' }, 'A-2': { actual: 'FAIL' }, 'A-3': { actual: 'SKIP' } },
  }
  const names = ['A-1', 'A-2', 'A-3', 'B.x-TLS1', 'MB-TLS1', 'C']
  const { skipped, ...started } = report(results, names, { '[^M]*-TLS1': 'no TLS 1.0', 'C*': 'no C' })
  assert.deepEqual(started, { passed: ['A-1'], failed: ['A-2'], unimplemented: ['A-3'] })
  assert.deepEqual(
    [...skipped],
    [
      ['no TLS 1.0', ['B.x-TLS1']],
      ['not started', ['MB-TLS1']],
      ['no C', ['C']],
    ],
  )
})
