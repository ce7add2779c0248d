// Clients that offer nothing newer than TLS 1.2, and sessions that outlive the key server, against the real processes.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect, type ConnectionOptions } from 'node:tls'
import type { KeyAlgorithm } from '@latchkey/throwaway-pki'
import { type Finished, isInstalled, runCommand } from './support/command.ts'
import { startSystem, type System } from './support/system.ts'

const KEY_ALGORITHMS: readonly KeyAlgorithm[] = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'ed25519']
const AEADS = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'] as const
const PAGE = 'a page from the origin'
let system: System

before(async () => {
  system = await startSystem({
    keyAlgorithms: KEY_ALGORITHMS,
    origin: (_request, response) => response.end(PAGE),
  })
})
after(() => system[Symbol.asyncDispose]())

const request = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

const CLIENTS: Readonly<Record<string, (host: string, suite: string) => Promise<Finished>>> = {
  curl: (host, suite) => {
    const place = ['--connect-to', `${host}:443:127.0.0.1:${system.edgePort}`, '--cacert', system.caFile]
    return runCommand('curl', ['-sS', '--tls-max', '1.2', '--ciphers', suite, ...place, `https://${host}/`])
  },
  openssl: (host, suite) => {
    const place = ['-connect', `127.0.0.1:${system.edgePort}`, '-servername', host, '-CAfile', system.caFile]
    const args = [
      's_client',
      '-brief',
      '-ign_eof',
      '-tls1_2',
      '-cipher',
      suite,
      '-verify_return_error',
      ...place,
    ]
    return runCommand('openssl', args, { input: request(host) })
  },
  'gnutls-cli': (host, suite) => {
    const place = [
      '--port',
      String(system.edgePort),
      '--sni-hostname',
      host,
      '--verify-hostname',
      host,
      '127.0.0.1',
    ]
    const options = [
      '--x509cafile',
      system.caFile,
      '--priority',
      `NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+${gnutlsCipher(suite)}`,
    ]
    return runCommand('gnutls-cli', [...options, ...place], { input: request(host) })
  },
  node: async (host, suite) => {
    const { text, protocol } = await visit(host, { maxVersion: 'TLSv1.2', ciphers: suite })
    return { code: protocol === 'TLSv1.2' ? 0 : 1, output: text }
  },
}

function gnutlsCipher(suite: string): string {
  if (suite.includes('AES128')) return 'AES-128-GCM'
  return suite.includes('AES256') ? 'AES-256-GCM' : 'CHACHA20-POLY1305'
}

for (const [program, visitOnce] of Object.entries(CLIENTS)) {
  const skip = program === 'node' || isInstalled(program) ? false : `${program} is not installed`
  describe(`${program} with TLS 1.2`, { skip }, () => {
    for (const keyAlgorithm of KEY_ALGORITHMS) {
      test(`${keyAlgorithm} certificate: every suite`, async () => {
        // RFC 8422 §5.10: EdDSA certificates go with the ECDHE_ECDSA suites.
        const kind = keyAlgorithm.startsWith('rsa') ? 'RSA' : 'ECDSA'
        for (const aead of AEADS) {
          const suite = `ECDHE-${kind}-${aead}`
          const { code, output } = await visitOnce(`${keyAlgorithm}.site.test`, suite)
          assert.equal(code, 0, `${suite}: ${output}`)
          assert.ok(output.includes(PAGE), `${suite}: no page in ${output}`)
        }
      })
    }
  })
}

test('the post-quantum hybrid is taken by a client that has it', async () => {
  const { group } = await visit('ecdsa-p256.site.test', { ecdhCurve: 'X25519MLKEM768' })
  assert.equal(group, 'X25519MLKEM768')
})

test('a session is resumed while its key server is dead', async () => {
  const host = 'ecdsa-p256.site.test'
  const first = await visit(host, {})
  assert.equal(first.isResumed, false)
  await system.killKeyServer()
  try {
    await assert.rejects(visit(host, {}), { code: 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR' })
    const second = await visit(host, { session: first.session })
    assert.equal(second.isResumed, true)
    assert.ok(second.text.includes(PAGE))
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
