// All that monitoring sees of a running key server, after requests of every kind.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { subjectKeyIdentifier } from '@latchkey/keys'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES, type Operation, PacketFramer, readPacket } from '@latchkey/wire'
import { type Folder, temporaryFolder } from './config-fixture.ts'
import { type Running, start } from './daemon.ts'
import { parseExposition, type Sample } from './exposition.ts'

const ca = await createThrowawayCa({ commonName: 'Link CA' })
const server = await ca.issue({
  commonName: 'key server',
  dnsNames: ['b.example', 'a.example'],
  ipAddresses: ['127.0.0.1'],
  extendedKeyUsages: ['serverAuth'],
})
const client = await ca.issue({ commonName: 'edge "one"', extendedKeyUsages: ['clientAuth'] })
const KEYS = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ecdsa: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  ed25519: generateKeyPairSync('ed25519').privateKey,
}
const SETTINGS = 'port: 0\nmetrics_port: 0\n'

function folderWithKeys(settings = `${SETTINGS}private_key_stores:\n- dir: keys\n`): Folder {
  const folder = temporaryFolder()
  mkdirSync(join(folder.path, 'keys'))
  for (const [name, key] of Object.entries(KEYS)) {
    folder.write(`keys/${name}.key`, key.export({ format: 'pem', type: 'pkcs8' }))
  }
  folder.write('server.pem', server.chainPem)
  folder.write('server-key.pem', server.privateKeyPem)
  folder.write('keyless_cacert.pem', ca.certificatePem)
  folder.write('gokeyless.yaml', settings)
  return folder
}

function skiOf(name: keyof typeof KEYS): Uint8Array {
  return subjectKeyIdentifier(
    createPublicKey(createPrivateKey(KEYS[name].export({ format: 'pem', type: 'pkcs8' }))),
  )
}

async function connectTo(port: number): Promise<TLSSocket> {
  const credentials = { ca: ca.certificatePem, cert: client.chainPem, key: client.privateKeyPem }
  const socket = connect({ host: '127.0.0.1', port, ...credentials })
  await once(socket, 'secureConnect')
  return socket
}

/** Sends `requests` one after the other and resolves when all are answered. */
async function ask(socket: TLSSocket, requests: readonly Operation[]): Promise<void> {
  const framer = new PacketFramer()
  let answered = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.on('data', (chunk: Uint8Array) => {
    framer.push(chunk)
    for (let next = framer.next(); next !== undefined; next = framer.next()) {
      readPacket(next)
      answered++
    }
    if (answered === requests.length) resolve()
  })
  for (const [id, request] of requests.entries()) socket.write(encodePacket(id, request))
  await promise
}

interface Ports {
  readonly port: number
  readonly status: string
}

async function portsOf(daemon: Running): Promise<Ports> {
  const [, statusPort] = await daemon.said(
    /\[INFO\] Serving metrics endpoint at 127\.0\.0\.1:(\d+)\/metrics\n/,
  )
  const [, port] = await daemon.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  return { port: Number(port), status: `http://127.0.0.1:${statusPort}` }
}

/** The value of each label set, by the values of its labels. */
function valuesOf(samples: readonly Sample[] | undefined): Record<string, number> {
  return Object.fromEntries(
    (samples ?? []).map(({ labels, value }) => [Object.values(labels).join(' | '), value]),
  )
}

test('every metric of gokeyless, by name, type, labels and value, and ours', async () => {
  using folder = folderWithKeys()
  await using daemon = start(folder, ['keyserver'])
  const { port, status } = await portsOf(daemon)
  const digest = new Uint8Array(32)
  const socket = await connectTo(port)
  await ask(socket, [
    { opcode: OPCODES.OpPing.code },
    { opcode: OPCODES.OpRSASignSHA256.code, ski: skiOf('rsa'), payload: digest },
    { opcode: OPCODES.OpRSAPSSSignSHA256.code, ski: skiOf('rsa'), payload: digest },
    { opcode: OPCODES.OpECDSASignSHA256.code, ski: skiOf('ecdsa'), payload: digest },
    { opcode: OPCODES.OpECDSASignSHA256.code, ski: skiOf('ecdsa'), payload: digest },
    { opcode: OPCODES.OpEd25519Sign.code, ski: skiOf('ed25519'), payload: digest },
    { opcode: OPCODES.OpECDSASignSHA256.code, ski: new Uint8Array(20).fill(1), payload: digest },
    { opcode: OPCODES.OpECDSASignSHA256.code, ski: skiOf('rsa'), payload: digest },
    { opcode: OPCODES.OpCustom.code },
    { opcode: OPCODES.OpPong.code },
    { opcode: 0x99 },
  ])
  const closing = await connectTo(port)
  closing.end()
  await once(closing, 'close')

  const response = await fetch(`${status}/metrics`)
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const families = parseExposition(await response.text())
  socket.destroy()

  const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]))
  assert.deepEqual(types, {
    certificate_expiration_timestamp_seconds: 'gauge',
    keyless_failed_connection: 'counter',
    keyless_key_load_duration: 'histogram',
    keyless_request_exec_duration_per_opcode: 'histogram',
    keyless_request_total_duration_per_opcode: 'histogram',
    keyless_requests: 'counter',
    latchkey_connections: 'gauge',
    latchkey_connections_closed_total: 'counter',
    latchkey_connections_refused_total: 'counter',
    latchkey_drains_cut_total: 'counter',
    latchkey_handshakes: 'gauge',
    latchkey_keys_loaded: 'gauge',
    latchkey_metric_series_refused_total: 'counter',
    latchkey_operations_timed_out_total: 'counter',
    latchkey_queued_reply_bytes: 'gauge',
    latchkey_reloads_total: 'counter',
    latchkey_requests_executing: 'gauge',
    nodejs_eventloop_lag_max_seconds: 'gauge',
    nodejs_eventloop_lag_mean_seconds: 'gauge',
    nodejs_eventloop_lag_p99_seconds: 'gauge',
    nodejs_external_memory_bytes: 'gauge',
    nodejs_heap_size_used_bytes: 'gauge',
    nodejs_version_info: 'gauge',
    process_cpu_seconds_total: 'counter',
    process_max_fds: 'gauge',
    process_open_fds: 'gauge',
    process_resident_memory_bytes: 'gauge',
    process_start_time_seconds: 'gauge',
    process_virtual_memory_bytes: 'gauge',
  })

  assert.deepEqual(
    families
      .get('keyless_requests')
      ?.samples.map(({ labels }) => Object.keys(labels))
      .flat()
      .at(0),
    'opcode',
  )
  assert.deepEqual(valuesOf(families.get('keyless_requests')?.samples), {
    OpPing: 1,
    OpRSASignSHA256: 1,
    OpRSAPSSSignSHA256: 1,
    OpECDSASignSHA256: 4,
    OpEd25519Sign: 1,
    OpCustom: 1,
    OpPong: 1,
    'Op(153)': 1,
  })
  for (const name of ['exec', 'total']) {
    const family = `keyless_request_${name}_duration_per_opcode`
    const samples = families.get(family)?.samples ?? []
    const counts = samples.filter((sample) => sample.name === `${family}_count`)
    assert.deepEqual(Object.keys(counts[0]?.labels ?? {}), ['type', 'error'])
    assert.deepEqual(valuesOf(counts), {
      'rsa | no error': 2,
      'ecdsa | no error': 2,
      'ed25519 | no error': 1,
      'other | no error': 1,
      'ecdsa | key not found due to no matching SKI/SNI/ServerIP': 1,
      'ecdsa | cryptography error': 1,
      'custom | bad opcode': 1,
      'other | unexpected opcode': 1,
      'unknown | bad opcode': 1,
    })
    const bounds = samples
      .filter(({ labels }) => labels['type'] === 'rsa' && 'le' in labels)
      .map(({ labels }) => labels['le'])
    assert.deepEqual(
      bounds.join(' '),
      '0.0001 0.0002 0.0004 0.0008 0.0016 0.0032 0.0064 0.0128 0.0256 0.0512 0.1024 0.2048 0.4096 0.8192 1.6384 +Inf',
    )
  }
  const loads = families.get('keyless_key_load_duration')?.samples ?? []
  assert.equal(loads.find(({ name }) => name.endsWith('_count'))?.value, 7)
  assert.deepEqual(valuesOf(families.get('keyless_failed_connection')?.samples), { '': 1 })
  assert.deepEqual(valuesOf(families.get('latchkey_connections_closed_total')?.samples), { end: 1 })
  assert.deepEqual(valuesOf(families.get('latchkey_connections')?.samples), { '': 1 })
  assert.deepEqual(valuesOf(families.get('latchkey_keys_loaded')?.samples), { '': 3 })

  const endOf = (pem: string): number => new X509Certificate(pem).validToDate.getTime() / 1000
  const serialOf = (pem: string): string => String(BigInt(`0x${new X509Certificate(pem).serialNumber}`))
  const certificates = families.get('certificate_expiration_timestamp_seconds')?.samples ?? []
  assert.deepEqual(Object.keys(certificates[0]?.labels ?? {}), [
    'source',
    'serial_no',
    'cn',
    'hostnames',
    'ca',
    'server',
    'client',
  ])
  const listener = `listener: 127.0.0.1:${port}`
  const { chainPem, certificatePem } = { ...client, ...ca }
  const expected: Record<string, number> = {
    [`server.pem | ${serialOf(server.chainPem)} | key server | a.example,b.example | 0 | 1 | 0`]: endOf(
      server.chainPem,
    ),
    [`keyless_cacert.pem | ${serialOf(certificatePem)} | Link CA |  | 1 | 0 | 0`]: endOf(certificatePem),
    [`${listener} | ${serialOf(chainPem)} | edge "one" |  | 0 | 0 | 1`]: endOf(chainPem),
  }
  const shown = valuesOf(certificates)
  for (const [key, value] of Object.entries(expected))
    assert.equal(shown[key], value, `${key} in ${JSON.stringify(shown)}`)
})

test('twins of the counters that lack _total are shown when asked for', async () => {
  using folder = folderWithKeys()
  await using daemon = start(folder, ['keyserver', '--metrics-total-twins', '--private-key-dirs', 'keys'])
  const { status } = await portsOf(daemon)
  const families = parseExposition(await (await fetch(`${status}/metrics`)).text())
  assert.ok(families.has('keyless_failed_connection'))
  assert.ok(families.has('keyless_failed_connection_total'))
  assert.ok(!families.has('latchkey_drains_cut_total_total'))
})

test('a key server is ready with a key, and not when SIGHUP finds none; it says what fails', async () => {
  using folder = folderWithKeys()
  await using daemon = start(folder, ['keyserver'])
  const { status } = await portsOf(daemon)
  const ready = await fetch(`${status}/readyz`)
  assert.deepEqual(
    [ready.status, await ready.json()],
    [
      200,
      {
        status: 'ready',
        conditions: { keys: 'ok', certificate: 'ok', listening: 'ok', not_draining: 'ok' },
      },
    ],
  )
  for (const name of Object.keys(KEYS)) rmSync(join(folder.path, 'keys', `${name}.key`))
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: keys: 0 added, 3 removed, 0 kept/)
  const notReady = await fetch(`${status}/readyz`)
  assert.equal(notReady.status, 503)
  assert.match(
    await notReady.text(),
    /^\{"status":"not ready","conditions":\{"keys":"failed","certificate":"ok",/,
  )
  folder.write('server.pem', 'nothing')
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: not reloaded/)
  const families = parseExposition(await (await fetch(`${status}/metrics`)).text())
  assert.deepEqual(valuesOf(families.get('latchkey_reloads_total')?.samples), { ok: 1, failed: 1 })
})

test('a key server that ends is not ready, is still alive, and finishes what it has', async () => {
  using folder = folderWithKeys()
  await using daemon = start(folder, ['keyserver'])
  const { port, status } = await portsOf(daemon)
  const socket = await connectTo(port)
  socket.on('error', () => {})
  // Replies that it does not read are waited for.
  const ping = encodePacket(1, { opcode: OPCODES.OpPing.code, payload: new Uint8Array(60_000) })
  for (let sent = 0; sent < 300; sent++) socket.write(ping)
  let queued = 0
  while (queued === 0) {
    const families = parseExposition(await (await fetch(`${status}/metrics`)).text())
    queued = families.get('latchkey_queued_reply_bytes')?.samples[0]?.value ?? 0
  }
  daemon.child.kill('SIGTERM')
  await daemon.said(/SIGTERM: finishing/)
  const [ready, alive] = await Promise.all([fetch(`${status}/readyz`), fetch(`${status}/healthz`)])
  assert.equal(alive.status, 200)
  assert.equal(ready.status, 503)
  assert.match(await ready.text(), /"not_draining":"failed"/)
  socket.destroy()
  assert.equal((await daemon.ended).code, 0)
})

test('a metrics port that is taken is a critical line, and the key server serves', async () => {
  const occupant = createServer().listen(0, '127.0.0.1')
  await once(occupant, 'listening')
  const { port: taken } = occupant.address() as AddressInfo
  using folder = folderWithKeys(`port: 0\nmetrics_port: ${taken}\nprivate_key_stores:\n- dir: keys\n`)
  await using daemon = start(folder, ['keyserver'])
  await daemon.said(
    new RegExp(String.raw`\[CRITICAL\] .* at 127\.0\.0\.1:${taken}: EADDRINUSE; going on without\n`),
  )
  const [, port] = await daemon.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  const socket = await connectTo(Number(port))
  await ask(socket, [{ opcode: OPCODES.OpPing.code }])
  socket.destroy()
  occupant.close()
})
