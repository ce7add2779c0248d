// Other people's clients with certificates, over sockets and in both versions: node:tls, OpenSSL, curl and GnuTLS.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Signer, TlsSocket } from '@latchkey/tls'
import { createThrowawayCa, type Issued, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import { testCertificate } from './support/certificate.ts'
import { type Finished, isInstalled, runCommand } from './support/command.ts'
import {
  collect,
  connectTls,
  dial,
  event,
  localSigner,
  startHttps,
  startTls,
  until,
} from './support/socket-server.ts'

const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const
type Version = (typeof VERSIONS)[number]
const ALGORITHMS: readonly KeyAlgorithm[] = ['ecdsa-p256', 'rsa-2048', 'ed25519']

const ca = await createThrowawayCa()
const intermediate = await ca.issueIntermediate()
const clients = new Map<KeyAlgorithm, Issued>()
for (const keyAlgorithm of ALGORITHMS) {
  clients.set(
    keyAlgorithm,
    await intermediate.issue({ keyAlgorithm, commonName: `a ${keyAlgorithm} client` }),
  )
}
const usual = clients.get('ecdsa-p256') as Issued
const stranger = await (await createThrowawayCa()).issue({ commonName: 'a stranger' })
const OPTIONS = { requestCert: true, ca: ca.certificatePem } as const

// ── node:tls ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the server saw of one node:tls client. */
async function visit(
  options: Parameters<typeof startTls>[1],
  { version, client }: { version: Version; client?: Issued },
): Promise<{ socket: TlsSocket; text: string }> {
  const sockets: TlsSocket[] = []
  await using server = await startTls((socket) => {
    sockets.push(socket)
    socket.end('welcome')
  }, options)
  const connected = await connectTls(server.port, { ...identity(client), maxVersion: version })
  const text = (await collect(connected)).toString()
  return { socket: sockets[0] ?? assert.fail('no connection'), text }
}

function identity(client: Issued | undefined) {
  return client === undefined ? {} : { cert: client.chainPem, key: client.privateKeyPem }
}

for (const version of VERSIONS) {
  for (const [keyAlgorithm, client] of clients) {
    test(`node:tls comes in with ${version} and a ${keyAlgorithm} certificate`, async () => {
      const { socket, text } = await visit(OPTIONS, { version, client })
      assert.equal(text, 'welcome')
      assert.equal(socket.authorized, true)
      assert.equal(socket.authorizationError, null)
      const leaf = new X509Certificate(client.certificatePem)
      assert.equal(socket.getPeerX509Certificate()?.fingerprint256, leaf.fingerprint256)
      const { subject, fingerprint256, issuerCertificate } = socket.getPeerCertificate() as ReturnType<
        TLSSocket['getPeerCertificate']
      > & { issuerCertificate?: unknown }
      assert.deepEqual(
        [{ ...subject }, fingerprint256],
        [{ CN: `a ${keyAlgorithm} client` }, leaf.fingerprint256],
      )
      assert.equal(issuerCertificate, undefined)
      const detailed = socket.getPeerCertificate(true) as { issuerCertificate?: { fingerprint256: string } }
      assert.equal(
        detailed.issuerCertificate?.fingerprint256,
        new X509Certificate(intermediate.certificatePem).fingerprint256,
      )
    })
  }

  test(`node:tls is tolerated with ${version} where rejectUnauthorized is false`, async () => {
    const tolerant = { ...OPTIONS, rejectUnauthorized: false }
    const nobody = (await visit(tolerant, { version })).socket
    assert.deepEqual([nobody.authorized, nobody.authorizationError], [false, 'ERR_TLS_CERTIFICATE_REQUIRED'])
    assert.deepEqual(nobody.getPeerCertificate(), {})
    assert.equal(nobody.getPeerX509Certificate(), undefined)
    const unknown = (await visit(tolerant, { version, client: stranger })).socket
    assert.deepEqual([unknown.authorized, unknown.authorizationError], [false, 'ERR_TLS_UNKNOWN_CA'])
    assert.equal(unknown.getPeerX509Certificate()?.subject, 'CN=a stranger')
    const known = (await visit(tolerant, { version, client: usual })).socket
    assert.deepEqual([known.authorized, known.authorizationError], [true, null])
  })

  test(`node:tls is refused with ${version}, and told why`, async () => {
    let connections = 0
    await using server = await startTls(() => connections++, OPTIONS)
    const refused = async (client: Issued | undefined, alert: string, code: string): Promise<void> => {
      const before = server.failures.length
      const socket = dial(server.port, { ...identity(client), maxVersion: version })
      const [error] = (await Promise.race([failure(socket), event(socket, 'close')])) as [
        NodeJS.ErrnoException,
      ]
      assert.equal(error.code, alert)
      await until(() => server.failures.length > before)
      assert.equal(server.failures.at(-1)?.code, code)
    }
    if (version === 'TLSv1.3')
      await refused(undefined, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'ERR_TLS_CERTIFICATE_REQUIRED')
    else await refused(undefined, 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'ERR_TLS_HANDSHAKE_FAILURE')
    await refused(stranger, 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'ERR_TLS_UNKNOWN_CA')
    assert.equal(connections, 0)
  })
}

function failure(socket: TLSSocket): Promise<unknown[]> {
  return new Promise((resolve) => {
    socket.once('error', (error) => resolve([error]))
  })
}

for (const version of VERSIONS) {
  test(`node:tls comes back by ticket with ${version}, as who it was, and nothing is signed`, async () => {
    const seen: unknown[][] = []
    let signatures = 0
    const signer: Signer = { sign: (...request) => (signatures++, localSigner.sign(...request)) }
    await using server = await startTls(
      (socket) => {
        const { subject } = socket.getPeerX509Certificate() ?? {}
        seen.push([socket.isSessionReused(), subject, socket.authorized, socket.authorizationError])
        socket.end('welcome')
      },
      { ...OPTIONS, signer },
    )
    const options = { ...identity(usual), maxVersion: version }
    let session: Buffer | undefined
    for (let visit = 0; visit < 3; visit++) {
      const socket = dial(server.port, { ...options, session })
      socket.on('session', (ticket: Buffer) => {
        session = ticket
      })
      assert.equal((await collect(socket)).toString(), 'welcome')
    }
    const known = ['CN=a ecdsa-p256 client', true, null]
    assert.deepEqual(seen, [
      [false, ...known],
      [true, ...known],
      [true, ...known],
    ])
    assert.equal(signatures, 1)
  })
}

test('requestCert without ca is a mistake, unless everybody may come in', async () => {
  assert.throws(() => startTls(() => {}, { requestCert: true }), TypeError)
  await using server = await startTls(() => {}, { requestCert: true, rejectUnauthorized: false })
  assert.ok(server.port > 0)
})

// ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────────

const folder = mkdtempSync(join(tmpdir(), 'latchkey-clients-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const [, serverCa = ''] = testCertificate('p256').chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
const trustFile = file('trust.pem', serverCa)
const HOST_NAME = 'www.example.com'
const REQUEST = `GET / HTTP/1.1\r\nHost: ${HOST_NAME}\r\nConnection: close\r\n\r\n`

interface Visit {
  readonly port: number
  readonly version: Version
  /** Files. */
  readonly cert: string
  readonly key: string
  /** Of the client's own, as it is. */
  readonly options?: readonly string[]
}

const PROGRAMS: Readonly<Record<string, (visit: Visit) => Promise<Finished>>> = {
  openssl: ({ port, version, cert, key, options = [] }) => {
    const place = ['-connect', `127.0.0.1:${port}`, '-servername', HOST_NAME]
    const trust = ['-CAfile', trustFile, '-partial_chain', '-verify_return_error']
    const own = [
      '-cert',
      cert,
      '-cert_chain',
      cert,
      '-key',
      key,
      version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3',
    ]
    return runCommand('openssl', ['s_client', '-brief', '-ign_eof', ...place, ...trust, ...own, ...options], {
      input: REQUEST,
    })
  },
  curl: ({ port, version, cert, key }) => {
    const place = ['--connect-to', `${HOST_NAME}:443:127.0.0.1:${port}`, '--cacert', trustFile]
    const own = ['--cert', cert, '--key', key, '--tls-max', version === 'TLSv1.2' ? '1.2' : '1.3']
    return runCommand('curl', ['--silent', '--show-error', ...place, ...own, `https://${HOST_NAME}/`])
  },
  'gnutls-cli': ({ port, version, cert, key }) => {
    const priority = `NORMAL:-VERS-ALL:+VERS-TLS${version === 'TLSv1.2' ? '1.2' : '1.3'}`
    const place = ['--port', `${port}`, '--sni-hostname', HOST_NAME, '--verify-hostname', HOST_NAME]
    const own = ['--x509certfile', cert, '--x509keyfile', key]
    const args = ['--x509cafile', trustFile, '--priority', priority, ...own, ...place, '127.0.0.1']
    return runCommand('gnutls-cli', args, { input: REQUEST })
  },
}

for (const [program, run] of Object.entries(PROGRAMS)) {
  const skip = isInstalled(program) ? false : `${program} is not installed`
  for (const version of VERSIONS) {
    test(`${program} gets its page with ${version} and a certificate of each kind of key`, {
      skip,
    }, async () => {
      await using server = await startHttps((request, response) => {
        const socket = request.socket as unknown as TlsSocket
        response.end(`a page for ${socket.getPeerX509Certificate()?.subject}: ${socket.authorized}`)
      }, OPTIONS)
      for (const [keyAlgorithm, { chainPem, privateKeyPem }] of clients) {
        const cert = file(`${keyAlgorithm}.pem`, chainPem)
        const key = file(`${keyAlgorithm}.key`, privateKeyPem)
        const { output } = await run({ port: server.port, version, cert, key })
        assert.ok(output.includes(`a page for CN=a ${keyAlgorithm} client: true`), output)
      }
      assert.deepEqual(server.failures, [])
    })
  }
}

for (const version of VERSIONS) {
  const skip = isInstalled('openssl') ? false : 'openssl is not installed'
  test(`openssl comes back by ticket with ${version}, as who it was`, { skip }, async () => {
    await using server = await startHttps((request, response) => {
      const socket = request.socket as unknown as TlsSocket
      const who = `${socket.getPeerX509Certificate()?.subject}: ${socket.authorized}`
      response.end(`a page for ${who}, ${socket.isSessionReused() ? 'again' : 'the first time'}`)
    }, OPTIONS)
    const cert = file('again.pem', usual.chainPem)
    const key = file('again.key', usual.privateKeyPem)
    const session = join(folder, `${version}.session`)
    const visit = async (...options: string[]): Promise<string> => {
      const finished = await PROGRAMS['openssl']?.({ port: server.port, version, cert, key, options })
      return finished?.output ?? ''
    }
    const first = await visit('-sess_out', session)
    assert.match(first, /a page for CN=a ecdsa-p256 client: true, the first time/)
    const second = await visit('-sess_in', session)
    assert.match(second, /a page for CN=a ecdsa-p256 client: true, again/)
    assert.deepEqual(server.failures, [])
  })
}
