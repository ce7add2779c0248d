// Traces as a collector gets them: OpenTelemetry's own packages, a real key server, and a receiver of OTLP.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { createLogger } from '@latchkey/core'
import { subjectKeyIdentifier } from '@latchkey/keys'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES, type Operation } from '@latchkey/wire'
import { OTEL_PACKAGES, startTracing } from '../src/tracing/open-telemetry.ts'
import { type Folder, temporaryFolder } from './config-fixture.ts'
import { start } from './daemon.ts'

/** Not a dependency: whoever wants traces installs it. */
const isInstalled = OTEL_PACKAGES.every((name) => {
  try {
    return import.meta.resolve(name) !== ''
  } catch {
    return false
  }
})

interface OtlpSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[]
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { readonly key: string; readonly value: object }[] }
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[]
  }[]
}

/** A collector that keeps what it is sent. */
async function collector() {
  const bodies: { path: string | undefined; body: OtlpBody }[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    request.on('end', () => {
      bodies.push({ path: request.url, body: JSON.parse(text) as OtlpBody })
      response.setHeader('content-type', 'application/json')
      response.end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const ca = await createThrowawayCa()
const server = await ca.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
const client = await ca.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
const site = generateKeyPairSync('ec', { namedCurve: 'P-256' })

function folderFor(settings: string): Folder {
  const folder = temporaryFolder()
  mkdirSync(join(folder.path, 'keys'))
  folder.write('keys/site.key', site.privateKey.export({ format: 'pem', type: 'pkcs8' }))
  folder.write('server.pem', server.chainPem)
  folder.write('server-key.pem', server.privateKeyPem)
  folder.write('keyless_cacert.pem', ca.certificatePem)
  folder.write('gokeyless.yaml', `port: 0\nmetrics_port: 0\nprivate_key_stores:\n- dir: keys\n${settings}`)
  return folder
}

/** Sends `requests`, and resolves when the key server has answered them and closed. */
async function ask(port: number, requests: readonly Operation[]): Promise<void> {
  const credentials = { ca: ca.certificatePem, cert: client.chainPem, key: client.privateKeyPem }
  const socket = connect({ host: '127.0.0.1', port, ...credentials })
  await once(socket, 'secureConnect')
  socket.end(Buffer.concat(requests.map((request, id) => encodePacket(id, request))))
  socket.resume()
  await once(socket, 'close')
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const TRACE = 'c0ffee0000000000000000000000abcd'

test('the span of a request is a child of its caller’s, with the look-up and the signature below it', {
  skip: !isInstalled,
}, async () => {
  await using otlp = await collector()
  using folder = folderFor(`tracing_enabled: true\ntracing_address: ${otlp.url}\n`)
  await using daemon = start(folder, ['keyserver'])
  await daemon.said(/\[INFO\] tracing: spans are sent to http:\/\/127\.0\.0\.1:\d+\/v1\/traces\n/)
  const [, port] = await daemon.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  const sign: Operation = {
    opcode: OPCODES.OpECDSASignSHA256.code,
    ski: subjectKeyIdentifier(site.publicKey),
    payload: new Uint8Array(32),
    serverName: text('www.example.com'),
    clientIp: Uint8Array.of(192, 0, 2, 1),
    requestContext: text('{"request_id":"r1"}'),
    span: text(`${TRACE}:00000000000000ff:0:1`),
  }
  await ask(Number(port), [
    sign,
    { ...sign, payload: new Uint8Array(3) },
    { ...sign, span: text(`${TRACE}:00000000000000ff:0:0`) }, // its caller does not record
    { ...sign, span: text('garbage') }, // of a trace that begins here, of which none are sent
  ])
  await daemon.said(/\[ERROR\] connection .*: failed to extract span: neither binary nor text/)
  daemon.child.kill('SIGTERM')
  assert.equal((await daemon.ended).code, 0)

  assert.ok(otlp.bodies.every(({ path }) => path === '/v1/traces'))
  const resources = otlp.bodies.flatMap(({ body }) => body.resourceSpans)
  assert.deepEqual(resources[0]?.resource.attributes.find(({ key }) => key === 'service.name')?.value, {
    stringValue: 'gokeyless',
  })
  const spans = resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
  assert.ok(spans.every(({ traceId }) => traceId === TRACE))
  const [good, bad, ...others] = spans.filter(({ name }) => name === 'operation execution')
  assert.deepEqual(others, [])
  assert.equal(good?.parentSpanId, '00000000000000ff')
  assert.equal(good.status.code ?? 0, 0)
  assert.deepEqual([bad?.status.code, bad?.status.message], [2, 'a digest of 3 bytes for ecdsa_sha256'])
  const childrenOf = (span: OtlpSpan | undefined): string[] =>
    spans.filter(({ parentSpanId }) => parentSpanId === span?.spanId).map(({ name }) => name)
  assert.deepEqual(childrenOf(good), ['DefaultKeystore.Get', 'execute.Sign'])
  assert.deepEqual(childrenOf(bad), ['DefaultKeystore.Get'])
  const attributes = Object.fromEntries(good.attributes.map(({ key, value }) => [key, value.stringValue]))
  const { peer, ...rest } = attributes
  assert.match(peer ?? '', /^127\.0\.0\.1:\d+$/)
  assert.deepEqual(rest, {
    'operation.opcode': 'OpECDSASignSHA256',
    'operation.ski': Buffer.from(subjectKeyIdentifier(site.publicKey)).toString('hex'),
    'operation.sni': 'www.example.com',
    'operation.clientip': '192.0.2.1',
    request_id: 'r1',
    client: 'edge',
  })
})

test('a collector that is not there holds nothing up, and is said once', { skip: !isInstalled }, async () => {
  using folder = folderFor(
    "tracing_enabled: true\ntracing_address: 'http://127.0.0.1:9'\ntracing_sample_rate: 1\n",
  )
  await using daemon = start(folder, ['keyserver'])
  const [, port] = await daemon.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  await ask(Number(port), [{ opcode: OPCODES.OpPing.code }])
  daemon.child.kill('SIGTERM')
  const started = performance.now()
  const { code, err } = await daemon.ended
  assert.equal(code, 0)
  assert.ok(performance.now() - started < 8000)
  assert.ok(err.split('tracing: ').length <= 3, err)
})

test('a key server whose tracing cannot be had says what to install and serves', async () => {
  const lines: string[] = []
  const logger = createLogger(({ level, text: line }) => lines.push(`${level}: ${line}`))
  const load = (name: string): Promise<unknown> =>
    Promise.reject(new Error(`Cannot find package '${name}'\n  at x`))
  const options = { endpoint: undefined, sampleRate: 0, serviceName: 'x', logger }
  assert.equal(await startTracing(options, load), undefined)
  assert.deepEqual(lines, [
    "error: tracing_enabled: OpenTelemetry cannot be loaded (Cannot find package '@opentelemetry/api'); going on without. " +
      'Install @opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources',
  ])
})
