// What the edge takes of the newest, and sessions that outlive the key server, against the real processes.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connect, type ConnectionOptions } from 'node:tls'
import { isInstalled, runCommand } from './support/command.ts'
import { startSystem, type System } from './support/system.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
const PAGE = 'a page from the origin'
let system: System

before(async () => {
  system = await startSystem({
    keyAlgorithms: ['ecdsa-p256'],
    origin: (_request, response) => response.end(PAGE),
  })
})
after(() => system[Symbol.asyncDispose]())

const request = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

test('the post-quantum hybrid is taken by a client that has it', async () => {
  const { group } = await visit('ecdsa-p256.site.test', { ecdhCurve: 'X25519MLKEM768' })
  assert.equal(group, 'X25519MLKEM768')
})

test('openssl resumes a TLS 1.2 session five times', {
  skip: isInstalled('openssl') ? false : 'openssl is not installed',
}, async () => {
  const place = ['-connect', `127.0.0.1:${system.edgePort}`, '-servername', 'ecdsa-p256.site.test']
  const choice = ['-tls1_2', '-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305', '-reconnect']
  const { output } = await runCommand('openssl', ['s_client', ...choice, ...place], { input: 'Q\n' })
  const kinds = [...output.matchAll(/^(New|Reused), TLSv1\.2/gm)].map(([, kind]) => kind)
  assert.deepEqual(kinds, ['New', 'Reused', 'Reused', 'Reused', 'Reused', 'Reused'])
  assert.match(output, /lifetime hint: 64800 \(seconds\)/)
})

test('sessions of both versions are resumed while their key server is dead', async () => {
  const host = 'ecdsa-p256.site.test'
  const first = await Promise.all(VERSIONS.map((maxVersion) => visit(host, { maxVersion })))
  assert.deepEqual(
    first.map(({ protocol, isResumed }) => [protocol, isResumed]),
    VERSIONS.map((version) => [version, false]),
  )
  await system.killKeyServer()
  try {
    for (const [index, maxVersion] of VERSIONS.entries()) {
      await assert.rejects(visit(host, { maxVersion }), { code: /ALERT_INTERNAL_ERROR/ })
      const second = await visit(host, { maxVersion, session: first[index]?.session })
      assert.deepEqual([second.protocol, second.isResumed], [maxVersion, true])
      assert.ok(second.text.includes(PAGE))
    }
  } finally {
    await system.restartKeyServer()
  }
})

interface Visited {
  readonly text: string
  readonly protocol: string | null
  readonly group: string | undefined
  readonly isResumed: boolean
  /** For the next visit. */
  readonly session: Buffer | undefined
}

/** One request over a connection of its own. */
function visit(host: string, options: ConnectionOptions): Promise<Visited> {
  return new Promise((resolve, reject) => {
    const place = { host: '127.0.0.1', port: system.edgePort, servername: host, ca: system.caPem }
    const socket = connect({ ...place, ...options }, () => socket.write(request(host)))
    let negotiated: Pick<Visited, 'protocol' | 'group' | 'isResumed'> | undefined
    let session: Buffer | undefined
    const chunks: Buffer[] = []
    socket.once('secureConnect', () => {
      const key = socket.getEphemeralKeyInfo() as { name?: string } | null
      negotiated = { protocol: socket.getProtocol(), group: key?.name, isResumed: socket.isSessionReused() }
    })
    socket.on('session', (ticket) => {
      session = ticket
    })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.once('error', reject)
    socket.once('end', () => {
      if (negotiated === undefined) reject(new Error('ended before the handshake'))
      else resolve({ ...negotiated, session, text: Buffer.concat(chunks).toString() })
    })
  })
}
