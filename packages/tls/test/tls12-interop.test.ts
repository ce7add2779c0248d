// TLS 1.2 with other people's clients: node:tls for every suite, key and group; OpenSSL, curl and GnuTLS for every suite
// and key, where they are installed.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CIPHER_SUITES12, type CipherSuite12Name, type Signer, type TlsSocket } from '@latchkey/tls'
import { KEY_KINDS, type KeyKind, testCertificate } from './support/certificate.ts'
import { type Finished, isInstalled, runCommand } from './support/command.ts'
import {
  collect,
  connectTls,
  localSigner,
  startHttps,
  startTls,
  type TestServer,
} from './support/socket-server.ts'

interface Suite {
  readonly name: string
  readonly openSslName: string
  readonly keyExchange: 'ecdhe' | 'rsa'
  readonly authentication: 'ecdsa' | 'rsa'
}
const ALL_SUITES: readonly Suite[] = Object.entries(CIPHER_SUITES12).map(([name, row]) => ({ name, ...row }))
const SUITES = ALL_SUITES.filter(({ keyExchange }) => keyExchange === 'ecdhe')
const RSA_SUITES = ALL_SUITES.filter(({ keyExchange }) => keyExchange === 'rsa')

type Group = 'x25519' | 'secp256r1'
const GROUPS: readonly Group[] = ['x25519', 'secp256r1']

function suitesOf(kind: KeyKind): Suite[] {
  return SUITES.filter(({ authentication }) => (authentication === 'rsa') === (kind === 'rsa2048'))
}

/** The group, and the curve of the certificate, which an ECDSA client must know too (RFC 8422 §5.1). */
function openSslGroups(group: Group, kind: KeyKind): string {
  const curve = { p256: ':P-256', p384: ':P-384', rsa2048: '', ed25519: '' }[kind]
  return `${group === 'x25519' ? 'X25519' : 'P-256'}${curve}`.replace('P-256:P-256', 'P-256')
}

// ── node:tls ──────────────────────────────────────────────────────────────────────────────────────────────────────

for (const kind of KEY_KINDS) {
  test(`node:tls speaks TLS 1.2 with a ${kind} key: each suite, each group, data both ways`, async () => {
    const sockets: TlsSocket[] = []
    const echo = (socket: TlsSocket): void => {
      sockets.push(socket)
      socket.pipe(socket)
    }
    await using server = await startTls(echo, { kinds: [kind] })
    for (const suite of suitesOf(kind)) {
      for (const group of GROUPS) {
        const client = await connectTls(server.port, {
          ca: testCertificate(kind).chainPem,
          maxVersion: 'TLSv1.2',
          ciphers: suite.openSslName,
          ecdhCurve: openSslGroups(group, kind),
        })
        assert.equal(client.getProtocol(), 'TLSv1.2')
        assert.equal(client.getCipher().standardName, suite.name)
        const { name } = client.getEphemeralKeyInfo() as { name: string }
        assert.equal(name, group === 'x25519' ? 'X25519' : 'prime256v1')
        const sent = Buffer.alloc(100_000, suite.name)
        client.end(sent)
        assert.ok((await collect(client)).equals(sent))
        const socket = sockets.at(-1) as TlsSocket
        assert.equal(socket.getProtocol(), 'TLSv1.2')
        assert.deepEqual(socket.getCipher(), {
          name: suite.openSslName,
          standardName: suite.name,
          version: 'TLSv1.2',
        })
        assert.equal(socket.session.group, group)
      }
    }
    assert.deepEqual(server.failures, [])
  })
}

test('node:tls: the highest version that both have', async () => {
  await using server = await startTls((socket) => socket.end(socket.getProtocol()))
  const range = async (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string> =>
    (await collect(await connectTls(server.port, { maxVersion }))).toString()
  assert.equal(await range('TLSv1.2'), 'TLSv1.2')
  assert.equal(await range('TLSv1.3'), 'TLSv1.3')
})

// ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────────

const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls12-'))
after(() => rmSync(folder, { recursive: true }))

/** What clients trust: the intermediate, whose root is nowhere. */
const trustFile = join(folder, 'trust.pem')
const [, intermediate = ''] = testCertificate('p256').chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
writeFileSync(trustFile, intermediate)

interface Visit {
  readonly port: number
  readonly kind: KeyKind
  readonly suite: Suite
  readonly group: Group
}

interface Program {
  readonly name: string
  readonly visit: (visit: Visit) => Promise<Finished>
  /** What the program says of a connection. */
  readonly says: (visit: Visit) => readonly RegExp[]
}

const PAGE = 'a page over TLS 1.2'
const HOST_NAME = 'www.example.com'
const REQUEST = `GET / HTTP/1.1\r\nHost: ${HOST_NAME}\r\nConnection: close\r\n\r\n`

const GNUTLS_GROUPS: Readonly<Record<Group, string>> = {
  x25519: 'GROUP-X25519',
  secp256r1: 'GROUP-SECP256R1',
}
const GNUTLS_CURVES: Readonly<Record<KeyKind, string>> = {
  p256: ':+GROUP-SECP256R1',
  p384: ':+GROUP-SECP384R1',
  rsa2048: '',
  ed25519: '',
}

function gnutlsCipher({ openSslName }: Suite): string {
  if (openSslName.includes('CHACHA20')) return 'CHACHA20-POLY1305'
  return openSslName.includes('AES128') ? 'AES-128-GCM' : 'AES-256-GCM'
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'openssl',
    visit: ({ port, kind, suite, group }) => {
      const place = ['-connect', `127.0.0.1:${port}`, '-servername', HOST_NAME]
      const trust = ['-CAfile', trustFile, '-partial_chain', '-verify_return_error']
      const choice = ['-tls1_2', '-cipher', suite.openSslName, '-groups', openSslGroups(group, kind)]
      return runCommand('openssl', ['s_client', '-brief', '-ign_eof', ...place, ...trust, ...choice], {
        input: REQUEST,
      })
    },
    says: ({ suite, group }) => [
      /Protocol version: TLSv1\.2/,
      new RegExp(`Ciphersuite: ${suite.openSslName}`),
      ...(suite.keyExchange === 'rsa'
        ? []
        : [group === 'x25519' ? /Server Temp Key: X25519/ : /Server Temp Key: ECDH, prime256v1/]),
    ],
  },
  {
    name: 'curl',
    visit: ({ port, kind, suite, group }) => {
      const place = ['--connect-to', `${HOST_NAME}:443:127.0.0.1:${port}`, '--cacert', trustFile]
      const choice = ['--tls-max', '1.2', '--ciphers', suite.openSslName]
      const curves = ['--curves', openSslGroups(group, kind)]
      const talk = ['--silent', '--show-error', '--verbose']
      return runCommand('curl', [...talk, ...place, ...choice, ...curves, `https://${HOST_NAME}/`])
    },
    says: ({ suite }) => [new RegExp(`SSL connection using TLSv1\\.2 / ${suite.openSslName}`)],
  },
  {
    name: 'gnutls-cli',
    visit: ({ port, kind, suite, group }) => {
      const ecdhe = suite.authentication === 'rsa' ? 'ECDHE-RSA' : 'ECDHE-ECDSA'
      const exchange = suite.keyExchange === 'rsa' ? 'RSA' : ecdhe
      const groups = `-GROUP-ALL:+${GNUTLS_GROUPS[group]}${GNUTLS_CURVES[kind]}`
      const choice = `-CIPHER-ALL:+${gnutlsCipher(suite)}:-KX-ALL:+${exchange}:${groups}`
      const priority = `NORMAL:-VERS-ALL:+VERS-TLS1.2:${choice}`
      const place = ['--port', `${port}`, '--sni-hostname', HOST_NAME, '--verify-hostname', HOST_NAME]
      const args = ['--x509cafile', trustFile, '--priority', priority, ...place, '127.0.0.1']
      return runCommand('gnutls-cli', args, { input: REQUEST })
    },
    says: ({ suite, group }) => [
      /\(TLS1\.2-X\.509\)/,
      suite.keyExchange === 'rsa' ? /\(RSA\)/ : group === 'x25519' ? /ECDHE-X25519/ : /ECDHE-SECP256R1/,
      new RegExp(`\\(${gnutlsCipher(suite)}\\)`),
      /extended master secret/,
    ],
  },
]

for (const { name, visit, says } of PROGRAMS) {
  const skip = isInstalled(name) ? false : `${name} is not installed`
  for (const kind of KEY_KINDS) {
    test(`${name} gets a page over TLS 1.2 with a ${kind} key and each suite`, { skip }, async () => {
      await using server = await startHttps((_request, response) => response.end(PAGE), { kinds: [kind] })
      for (const [index, suite] of suitesOf(kind).entries()) {
        const how: Visit = { port: server.port, kind, suite, group: GROUPS[index % 2] as Group }
        const { code, output } = await visit(how)
        assert.equal(code, 0, output)
        for (const expected of [...says(how), new RegExp(PAGE)]) assert.match(output, expected)
      }
      assert.deepEqual(server.failures, [])
    })
  }
}

// ── RSA key exchange ────────────────────────────────────────────────────────────────────────────────────────────────

const withRsa = {
  kinds: ['rsa2048'],
  cipherSuites12: Object.keys(CIPHER_SUITES12) as CipherSuite12Name[],
} as const

for (const { name, visit, says } of PROGRAMS) {
  test(`${name} gets a page with RSA key exchange`, {
    skip: isInstalled(name) ? false : `${name} is not installed`,
  }, async () => {
    await using server = await startHttps((_request, response) => response.end(PAGE), withRsa)
    for (const suite of RSA_SUITES) {
      const how: Visit = { port: server.port, kind: 'rsa2048', suite, group: 'x25519' }
      const { code, output } = await visit(how)
      assert.equal(code, 0, output)
      for (const expected of [...says(how), new RegExp(PAGE)]) assert.match(output, expected)
    }
    assert.deepEqual(server.failures, [])
  })
}

test('node:tls speaks RSA key exchange, full and resumed, with a signer that takes its time', async () => {
  let calls = 0
  const signer: Signer = {
    sign: () => assert.fail('nothing is signed'),
    decryptPremaster: async (request, signal) => {
      calls++
      assert.ok(request.deadlineMs > Date.now() && request.deadlineMs <= Date.now() + 3000)
      assert.equal(request.clientAddress, '127.0.0.1')
      await new Promise((resolve) => setTimeout(resolve, 20))
      return (await localSigner.decryptPremaster?.(request, signal)) ?? assert.fail()
    },
  }
  await using server = await startTls((socket) => socket.pipe(socket), { ...withRsa, signer })
  for (const { openSslName } of RSA_SUITES) {
    const options = { maxVersion: 'TLSv1.2', ciphers: openSslName } as const
    const first = await connectTls(server.port, options)
    const session = first.getSession()
    first.end('full')
    assert.equal((await collect(first)).toString(), 'full')
    const second = await connectTls(server.port, { ...options, session })
    assert.equal(second.isSessionReused(), true)
    assert.deepEqual(second.getCipher().name, openSslName)
    second.end('resumed')
    assert.equal((await collect(second)).toString(), 'resumed')
  }
  assert.equal(calls, 2)
  assert.deepEqual(server.failures, [])
})

test('a decryption that does not come in time is given up, and its signal says so', async () => {
  let aborted: boolean | undefined
  const signer: Signer = {
    sign: () => assert.fail('nothing is signed'),
    decryptPremaster: (_request, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          aborted = true
          reject(new Error('too late'))
        }),
      ),
  }
  const options = { ...withRsa, signer, signerTimeoutMs: 30 }
  await using server = await startTls((socket) => socket.pipe(socket), options)
  await assert.rejects(connectTls(server.port, { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }), {
    code: 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR',
  })
  assert.equal(aborted, true)
  assert.deepEqual(
    server.failures.map(({ code }) => code),
    ['ERR_TLS_SIGNER_TIMEOUT'],
  )
})

// ── renegotiation ───────────────────────────────────────────────────────────────────────────────────────────────────

test('openssl that wants to renegotiate is told no_renegotiation', {
  skip: isInstalled('openssl') ? false : 'openssl is not installed',
}, async () => {
  const errors: string[] = []
  await using server = await startTls((socket) =>
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? '')).resume(),
  )
  const place = ['-connect', `127.0.0.1:${server.port}`, '-CAfile', trustFile, '-partial_chain']
  const { output } = await runCommand('openssl', ['s_client', '-tls1_2', ...place], { input: 'R\n' })
  assert.match(output, /RENEGOTIATING/)
  assert.match(output, /no renegotiation/)
  assert.deepEqual(errors, ['ERR_TLS_NO_RENEGOTIATION'])
})

// ── resumption ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A server of pages that counts what its signer is asked for. */
async function startCounting(): Promise<{ server: TestServer; calls: () => number; resumed: boolean[] }> {
  let calls = 0
  const resumed: boolean[] = []
  const signer: Signer = {
    sign: (request, signal) => {
      calls++
      return localSigner.sign(request, signal)
    },
  }
  const onSocket = (socket: TlsSocket): void => {
    resumed.push(socket.isSessionReused())
    socket.on('error', () => {}).on('data', () => socket.end(PAGE))
  }
  const server = await startTls(onSocket, { signer, kinds: ['p256', 'rsa2048'] })
  return { server, calls: () => calls, resumed }
}

test('openssl resumes TLS 1.2 five times with one ticket and one signature', {
  skip: isInstalled('openssl') ? false : 'openssl is not installed',
}, async () => {
  const { server, calls } = await startCounting()
  await using _ = server
  const place = ['-connect', `127.0.0.1:${server.port}`, '-servername', HOST_NAME]
  const choice = ['-tls1_2', '-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305', '-reconnect']
  const { output } = await runCommand('openssl', ['s_client', ...place, ...choice], { input: 'Q\n' })
  const kinds = [...output.matchAll(/^(New|Reused), TLSv1\.2, Cipher is (\S+)$/gm)].map(
    ([, kind, cipher]) => `${kind} ${cipher}`,
  )
  assert.deepEqual(kinds, [
    'New ECDHE-ECDSA-CHACHA20-POLY1305',
    ...Array.from({ length: 5 }, () => 'Reused ECDHE-ECDSA-CHACHA20-POLY1305'),
  ])
  assert.match(output, /TLS session ticket lifetime hint: 64800 \(seconds\)/)
  assert.equal(calls(), 1)
})

test('gnutls-cli resumes TLS 1.2', {
  skip: isInstalled('gnutls-cli') ? false : 'gnutls-cli is not installed',
}, async () => {
  const { server, calls, resumed } = await startCounting()
  await using _ = server
  const place = ['--port', `${server.port}`, '--sni-hostname', HOST_NAME, '--verify-hostname', HOST_NAME]
  const priority = ['--x509cafile', trustFile, '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.2']
  const args = ['--resume', ...priority, ...place, '127.0.0.1']
  const { output } = await runCommand('gnutls-cli', args, { input: REQUEST })
  assert.match(output, /This is a resumed session/)
  assert.match(output, new RegExp(PAGE))
  assert.deepEqual([resumed, calls()], [[false, true], 1])
})

test('node:tls resumes TLS 1.2 with each suite, also when the signer is down', async () => {
  let isDown = false
  const signer: Signer = {
    sign: (request, signal) => {
      if (isDown) throw new Error('every key server is down')
      return localSigner.sign(request, signal)
    },
  }
  await using server = await startTls((socket) => socket.end(PAGE), { signer, kinds: ['p256', 'rsa2048'] })
  for (const { openSslName } of SUITES) {
    const options = { maxVersion: 'TLSv1.2', ciphers: openSslName } as const
    isDown = false
    const first = await connectTls(server.port, options)
    const session = first.getSession()
    assert.equal((await collect(first)).toString(), PAGE)
    isDown = true
    for (let visit = 0; visit < 3; visit++) {
      const client = await connectTls(server.port, { ...options, session })
      assert.equal(client.isSessionReused(), true)
      assert.equal((await collect(client)).toString(), PAGE)
    }
  }
  assert.deepEqual(server.failures, [])
})
