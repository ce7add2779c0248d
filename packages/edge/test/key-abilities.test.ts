// RSA keys whose home cannot do all that RSA can: old HSMs, and cloud keys that are fixed to one padding and one hash. The
// edge finds out by asking, and offers what works.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type ConnectionOptions } from 'node:tls'
import { createLogger, type LogRecord, silentLogger } from '@latchkey/core'
import { createEdge, type Edge } from '@latchkey/edge'
import { type KeyStore, openFileStore, type PrivateKey, type SignatureAlgorithm } from '@latchkey/keys'
import { createKeyServer, type KeyServer, type KeyServerOptions } from '@latchkey/keyserver'
import { createThrowawayCa } from '@latchkey/throwaway-pki'

const publicCa = await createThrowawayCa()
const linkCa = await createThrowawayCa()
const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'] })
const client = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
const rsa = await publicCa.issue({ dnsNames: ['rsa.example.test'], keyAlgorithm: 'rsa-2048' })
const ec = await publicCa.issue({ dnsNames: ['ec.example.test'] })

interface Scene extends AsyncDisposable {
  readonly edge: Edge
  readonly log: LogRecord[]
  readonly port: number
  startKeyServer(): Promise<void>
  /** What the home of the RSA key does from now on. */
  allow(able: (algorithm: SignatureAlgorithm) => boolean): void
}

async function scene(
  able: (algorithm: SignatureAlgorithm) => boolean,
  { isKeyServerLate = false, ...more }: Partial<KeyServerOptions> & { isKeyServerLate?: boolean } = {},
): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-abilities-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  for (const [name, { privateKeyPem }] of Object.entries({ rsa, ec })) {
    writeFileSync(join(folder, `${name}.key`), privateKeyPem, { mode: 0o600 })
  }
  const files = stack.use(await openFileStore([{ dir: folder }]))
  let allowed = able
  // What an HSM looks like to a key server: the same key, fewer algorithms.
  const keyStore: Pick<KeyStore, 'find'> = {
    find: (ski) => {
      const key = files.find(ski)
      return key?.keyType === 'rsa' ? restricted(key, (name) => allowed(name)) : key
    },
  }
  const origin = createServer((_request, response) => response.end('page'))
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  stack.defer(() => void origin.close())

  let keyServerPort = await freePort()
  let keyServer: KeyServer | undefined
  stack.defer(async () => keyServer?.close({ drainMs: 100 }))
  const startKeyServer = async (): Promise<void> => {
    const tls = { cert: server.chainPem, key: server.privateKeyPem, ca: linkCa.certificatePem }
    keyServer = createKeyServer({ ...tls, keyStore, logger: silentLogger, ...more })
    keyServerPort = (await keyServer.listen({ port: keyServerPort })).port
  }
  if (!isKeyServerLate) await startKeyServer()

  const log: LogRecord[] = []
  const host = {
    keyServers: [{ host: '127.0.0.1', port: keyServerPort }],
    origin: new URL(`http://127.0.0.1:${(origin.address() as AddressInfo).port}`),
  }
  const edge = stack.use(
    createEdge({
      hosts: [
        { ...host, serverNames: ['rsa.example.test'], certificateChains: [rsa.chainPem] },
        { ...host, serverNames: ['ec.example.test'], certificateChains: [ec.chainPem] },
      ],
      keyServerTls: { ca: linkCa.certificatePem, cert: client.chainPem, key: client.privateKeyPem },
      listen: { port: 0 },
      logger: createLogger((record) => log.push(record)),
    }),
  )
  const { port } = await edge.listen()
  return {
    edge,
    log,
    port,
    startKeyServer,
    allow: (next) => {
      allowed = next
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function restricted(key: PrivateKey, able: (algorithm: SignatureAlgorithm) => boolean): PrivateKey {
  const { ski, keyType, publicKey, source } = key
  const algorithms = new Set([...key.algorithms].filter(able))
  return { ski, keyType, publicKey, source, algorithms, sign: (...operation) => key.sign(...operation) }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** The protocol version, or the error's code. */
function visit(port: number, servername: string, options: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername, ca: publicCa.certificatePem, ...options })
    socket.once('secureConnect', () => {
      resolve(socket.getProtocol() ?? '')
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

const isPkcs1 = (name: SignatureAlgorithm): boolean => name.startsWith('rsa_pkcs1')

test('no PSS: clients get TLS 1.2 with this certificate, from the first on, and it is said why', async () => {
  await using it = await scene(isPkcs1)
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.2')
  assert.equal(await visit(it.port, 'ec.example.test'), 'TLSv1.3')
  assert.ok(it.log.some(({ level, text }) => level === 'warning' && /no RSASSA-PSS/.test(text)))
})

test('a client that has TLS 1.3 only is told so, at once', async () => {
  await using it = await scene(isPkcs1)
  const startedAt = performance.now()
  const error = await visit(it.port, 'rsa.example.test', { minVersion: 'TLSv1.3' })
  assert.match(error, /ALERT_(?:PROTOCOL_VERSION|HANDSHAKE_FAILURE)/)
  assert.ok(performance.now() - startedAt < 1000)
})

test('PSS of one hash only, as a key of Google has it', async () => {
  await using it = await scene((name) => name === 'rsa_pss_sha512')
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.3')
  const sigalgs = 'RSA-PSS+SHA256'
  assert.match(await visit(it.port, 'rsa.example.test', { sigalgs, minVersion: 'TLSv1.3' }), /ALERT|ERR_SSL/)
})

test('a key that can do all is offered for all', async () => {
  await using it = await scene(() => true)
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.3')
  assert.equal(await visit(it.port, 'rsa.example.test', { maxVersion: 'TLSv1.2' }), 'TLSv1.2')
  assert.ok(!it.log.some(({ text }) => /RSASSA-PSS/.test(text)))
})

test('a key server that comes later is asked then; meanwhile all is offered', async () => {
  await using it = await scene(isPkcs1, { isKeyServerLate: true })
  await it.startKeyServer()
  const until = performance.now() + 15_000
  while ((await visit(it.port, 'rsa.example.test')) !== 'TLSv1.2' && performance.now() < until)
    await delay(100)
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.2')
})

test('what could not be done and now can is offered after a while', async () => {
  await using it = await scene(isPkcs1)
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.2')
  it.allow(() => true)
  const until = performance.now() + 15_000
  while ((await visit(it.port, 'rsa.example.test')) !== 'TLSv1.3' && performance.now() < until)
    await delay(100)
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.3')
})

test('a key server that signs nothing but handshakes is asked for what looks like one', async () => {
  const denial: KeyServerOptions['denial'] = ({ request }) =>
    (request as { isScoped?: boolean }).isScoped === true ? undefined : 'digests are not signed'
  await using it = await scene(isPkcs1, { denial })
  assert.equal(await visit(it.port, 'rsa.example.test'), 'TLSv1.2')
})
