// The edge as others use it, with a real key server: the key is in its store and nowhere else.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { createLogger, type LogRecord, silentLogger } from '@latchkey/core'
import { createEdge, type EdgeHost, type EdgeOptions, EDGE_ERRORS } from '@latchkey/edge'
import { openFileStore } from '@latchkey/keys'
import { createKeyServer } from '@latchkey/keyserver'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { startEdge } from './readme-example.ts'

const publicCa = await createThrowawayCa()
const linkCa = await createThrowawayCa()
const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'] })
const client = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
const ecSite = await publicCa.issue({ dnsNames: ['www.example.test'] })
const rsaSite = await publicCa.issue({ dnsNames: ['www.example.test'], keyAlgorithm: 'rsa-2048' })
const edSite = await publicCa.issue({ dnsNames: ['ed.example.test'], keyAlgorithm: 'ed25519' })
const KEY_SERVER_TLS = { ca: linkCa.certificatePem, cert: client.chainPem, key: client.privateKeyPem }

interface Scene extends AsyncDisposable {
  readonly folder: string
  readonly origin: URL
  readonly keyServerPort: number
  readonly keyServerLog: LogRecord[]
  /** Ends the key server and starts it again at the same port. */
  restartKeyServer(): Promise<void>
}

async function buildScene(sites: readonly { privateKeyPem: string }[]): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-edge-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  for (const [index, { privateKeyPem }] of sites.entries()) write(`${index}.key`, privateKeyPem)
  write('site.pem', ecSite.chainPem)
  write('key-server-ca.pem', KEY_SERVER_TLS.ca)
  write('client.pem', KEY_SERVER_TLS.cert)
  write('client-key.pem', KEY_SERVER_TLS.key)

  const originServer = createServer((request, response) => response.end(`origin: ${request.headers.host}`))
  originServer.listen(0, '127.0.0.1')
  await once(originServer, 'listening')
  stack.defer(async () => {
    originServer.closeAllConnections()
    await new Promise((resolve) => originServer.close(resolve))
  })

  const keyStore = stack.use(
    await openFileStore(sites.map((_, index) => ({ file: join(folder, `${index}.key`) }))),
  )
  const keyServerLog: LogRecord[] = []
  const start = async (port: number) => {
    const logger = createLogger((record) => keyServerLog.push(record))
    const keyServer = createKeyServer({
      cert: server.chainPem,
      key: server.privateKeyPem,
      ca: linkCa.certificatePem,
      keyStore,
      logger,
    })
    const address = await keyServer.listen({ port })
    return { keyServer, port: address.port }
  }
  let running = await start(0)
  stack.defer(() => running.keyServer.close({ drainMs: 100 }))
  return {
    folder,
    origin: new URL(`http://127.0.0.1:${(originServer.address() as AddressInfo).port}`),
    keyServerPort: running.port,
    keyServerLog,
    async restartKeyServer() {
      await running.keyServer.close({ drainMs: 100 })
      running = await start(running.port)
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

interface Page {
  readonly status: number
  readonly text: string
  readonly keyType: string
}

async function get(port: number, servername: string, sigalgs?: string): Promise<Page> {
  const request = httpsRequest({
    host: '127.0.0.1',
    port,
    servername,
    headers: { host: servername },
    ca: publicCa.certificatePem,
    agent: false,
    ...(sigalgs === undefined ? {} : { sigalgs }),
  })
  request.end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const keyType = (response.socket as TLSSocket).getPeerX509Certificate()?.publicKey.asymmetricKeyType ?? ''
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += String(part)
  return { status: response.statusCode ?? 0, text, keyType }
}

function hostsOf({ keyServerPort, origin }: Scene, more: Partial<EdgeHost> = {}): EdgeHost[] {
  return [
    {
      serverNames: ['www.example.test'],
      certificateChains: [ecSite.chainPem],
      keyServers: [{ host: '127.0.0.1', port: keyServerPort }],
      origin,
      ...more,
    },
  ]
}

function options(scene: Scene, hosts = hostsOf(scene)): EdgeOptions {
  return { hosts, keyServerTls: KEY_SERVER_TLS, listen: { port: 0 }, logger: silentLogger }
}

test('the README shows the example that is run here, and it serves a page', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const example = readFileSync(new URL('./readme-example.ts', import.meta.url), 'utf8')
  assert.ok(readme.includes(`\`\`\`ts\n${example}\`\`\``))
  await using scene = await buildScene([ecSite])
  await using edge = await startEdge(scene.folder, scene.keyServerPort, scene.origin)
  const page = await get(edge.address()?.port ?? 0, 'www.example.test')
  assert.deepEqual(page, { status: 200, text: 'origin: www.example.test', keyType: 'ec' })
  assert.equal(scene.keyServerLog.filter(({ text }) => text.startsWith('fetch key with SKI: ')).length, 1)
})

test('the README lists every status and error code', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `(ERR_EDGE_\w+)` +\| (\d+|–) +\| (.+?) +\|$/gm)].map(
    ([, ...cells]) => cells,
  )
  const table = Object.entries(EDGE_ERRORS).map(([code, { status, text }]) => [
    code,
    String(status ?? '–'),
    text,
  ])
  assert.deepEqual(rows, table)
})

test('edge: several certificates for a host, by preference and by what the client can verify', async () => {
  await using scene = await buildScene([ecSite, rsaSite, edSite])
  const two = hostsOf(scene, { certificateChains: [ecSite.chainPem, rsaSite.chainPem] })
  const one = hostsOf(scene, { serverNames: ['ed.example.test'], certificateChains: [edSite.chainPem] })
  await using edge = createEdge(options(scene, [...two, ...one]))
  const { port } = await edge.listen()
  assert.equal((await get(port, 'www.example.test')).keyType, 'ec')
  assert.equal((await get(port, 'www.example.test', 'rsa_pss_rsae_sha256')).keyType, 'rsa')
  assert.equal((await get(port, 'ed.example.test', 'ed25519:ecdsa_secp256r1_sha256')).keyType, 'ed25519')
})

test('edge: it starts without its key server, and serves when that has come', async () => {
  await using scene = await buildScene([ecSite])
  const log: LogRecord[] = []
  const unreachable = hostsOf(scene, { keyServers: [{ host: '127.0.0.1', port: 9 }] })
  await using edge = createEdge({
    ...options(scene, unreachable),
    logger: createLogger((record) => log.push(record)),
  })
  const { port } = await edge.listen()
  assert.match(
    log.find(({ level }) => level === 'warning')?.text ?? '',
    /^127\.0\.0\.1:9: cannot reach key server: ECONNREFUSED$/,
  )
  await assert.rejects(get(port, 'www.example.test'))
  await edge.reconfigure(hostsOf(scene))
  assert.equal((await get(port, 'www.example.test')).status, 200)
})

test('edge: the next key server is asked when one is gone', async () => {
  await using scene = await buildScene([ecSite])
  const keyServers = [
    { host: '127.0.0.1', port: 9 },
    { host: '127.0.0.1', port: scene.keyServerPort },
  ]
  await using edge = createEdge(options(scene, hostsOf(scene, { keyServers })))
  const { port } = await edge.listen()
  assert.equal((await get(port, 'www.example.test')).status, 200)
})

test('edge: a key server that was restarted is found again', async () => {
  await using scene = await buildScene([ecSite])
  await using edge = createEdge(options(scene))
  const { port } = await edge.listen()
  assert.equal((await get(port, 'www.example.test')).status, 200)
  await scene.restartKeyServer()
  // A dial may have met the closed port: then the next one comes a little later.
  const page = await untilServed(() => get(port, 'www.example.test'))
  assert.equal(page.status, 200)
})

/** @throws the last failure if there is no page within five seconds. */
async function untilServed(ask: () => Promise<Page>): Promise<Page> {
  const deadline = performance.now() + 5000
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(20)
    }
  }
}

test('edge: a key server without the key ends the handshake, and says so', async () => {
  await using scene = await buildScene([rsaSite])
  const log: LogRecord[] = []
  await using edge = createEdge({ ...options(scene), logger: createLogger((record) => log.push(record)) })
  const { port } = await edge.listen()
  await assert.rejects(get(port, 'www.example.test'))
  assert.ok(log.some(({ level, fields }) => level === 'warning' && fields['code'] === 'ERR_TLS_SIGNER'))
})

test('edge: reconfiguring moves names and origins at once, and a wrong one changes nothing', async () => {
  await using scene = await buildScene([ecSite, edSite])
  await using edge = createEdge(options(scene))
  const { port } = await edge.listen()
  assert.equal((await get(port, 'www.example.test')).status, 200)
  const wrong = hostsOf(scene, { serverNames: ['not.in.certificate.test'] })
  await assert.rejects(edge.reconfigure(wrong), { code: 'ERR_EDGE_HOST' })
  assert.equal((await get(port, 'www.example.test')).status, 200)
  await edge.reconfigure(
    hostsOf(scene, {
      serverNames: ['ed.example.test'],
      certificateChains: [edSite.chainPem],
      origin: new URL('http://127.0.0.1:9'),
    }),
  )
  assert.equal((await get(port, 'ed.example.test', 'ed25519:ecdsa_secp256r1_sha256')).status, 502)
  await assert.rejects(get(port, 'www.example.test'))
})

test('edge: a port that is taken', async () => {
  await using scene = await buildScene([ecSite])
  const listen = { port: Number(scene.origin.port) }
  await using edge = createEdge({ ...options(scene), listen })
  await assert.rejects(edge.listen(), { code: 'EADDRINUSE' })
})

for (const [name, more, code] of [
  ['no key server', { keyServers: [] }, 'ERR_EDGE_HOST'],
  ['no certificate', { certificateChains: [] }, 'ERR_EDGE_HOST'],
  [
    'a name that the certificate does not have',
    { serverNames: ['www.example.test', 'other.test'] },
    'ERR_EDGE_HOST',
  ],
  ['a name twice', { serverNames: ['www.example.test', 'WWW.example.test'] }, 'ERR_EDGE_HOST'],
  ['what is no certificate', { certificateChains: ['hello'] }, 'ERR_TLS_CREDENTIAL'],
  ['an origin with a path', { origin: new URL('http://127.0.0.1/app') }, 'ERR_EDGE_ORIGIN_URL'],
  ['an origin with a user', { origin: new URL('http://me:secret@127.0.0.1/') }, 'ERR_EDGE_ORIGIN_URL'],
  ['an origin that is not HTTP', { origin: new URL('ftp://127.0.0.1/') }, 'ERR_EDGE_ORIGIN_URL'],
] as const) {
  test(`edge refuses ${name}`, () => {
    const host: EdgeHost = {
      serverNames: ['www.example.test'],
      certificateChains: [ecSite.chainPem],
      keyServers: [{ host: '127.0.0.1' }],
      origin: new URL('http://127.0.0.1:8080'),
      ...more,
    }
    assert.throws(
      () => createEdge({ hosts: [host], keyServerTls: KEY_SERVER_TLS }),
      (error) => (error as { code?: string }).code === code && !String(error).includes('secret'),
    )
  })
}
