// The real processes, few of them: start, signals, what stops a start. Each costs about 200 ms.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Folder, folderWithCertificates } from './config-fixture.ts'
import { BIN, start } from './daemon.ts'

/** A closed port: its key server refuses at once. */
function writeEdgeConfig(folder: Folder, port = 0): void {
  folder.write(
    'latchkey-edge.yaml',
    `port: ${port}
key_server_tls: { ca: keyless_cacert.pem, cert: server.pem, key: server-key.pem }
hosts:
- { names: [example.com], certificates: [site.pem], key_servers: ['127.0.0.1:9'], origin: 'http://127.0.0.1:9' }
`,
  )
}

test('process: an edge starts without its key server, reloads on SIGHUP and ends with 0 on SIGTERM', async () => {
  using folder = folderWithCertificates()
  writeEdgeConfig(folder)
  await using edge = start(folder, ['edge'])
  await edge.said(/\[WARNING\] 127\.0\.0\.1:9: cannot reach key server: ECONNREFUSED\n/)
  await edge.said(/\[INFO\] Listening at https:\/\/127\.0\.0\.1:\d+ for example\.com\n/)
  edge.child.kill('SIGHUP')
  await edge.said(/SIGHUP: hosts, certificates, key servers and origins of .*latchkey-edge\.yaml are in use/)
  folder.write('latchkey-edge.yaml', 'hosts: 1')
  edge.child.kill('SIGHUP')
  await edge.said(/\[ERROR\] SIGHUP: not reloaded, going on as before: .*ERR_CONFIG/)
  edge.child.kill('SIGTERM')
  const { code, err } = await edge.ended
  assert.equal(code, 0, err)
  assert.match(err, /\[INFO\] SIGTERM: finishing what is under way[^\n]*\n[^\n]*\[INFO\] ended\n$/)
})

test('process: a key server writes its pid, loads a new key on SIGHUP, and ends with 0 on SIGINT', async () => {
  using folder = folderWithCertificates()
  folder.write(
    'gokeyless.yaml',
    'port: 0\nmetrics_port: 0\npid_file: run.pid\nprivate_key_stores:\n- dir: keys\nauth_crt: x\n',
  )
  await using server = start(folder, ['keyserver'])
  await server.said(/\[WARNING\] .*auth_crt is not a setting and is ignored; did you mean auth_cert\?\n/)
  await server.said(/\[INFO\] Listening at tcp:\/\/127\.0\.0\.1:\d+\n/)
  await server.said(/reachable from this machine only: set listen_address/)
  assert.equal(readFileSync(join(folder.path, 'run.pid'), 'utf8'), String(server.child.pid))
  copyFileSync(join(folder.path, 'other-key.pem'), join(folder.path, 'keys', 'site.key'))
  server.child.kill('SIGHUP')
  await server.said(/SIGHUP: keys: 1 added, 0 removed, 0 kept; certificates and CA loaded again/)
  server.child.kill('SIGINT')
  const { code, err } = await server.ended
  assert.equal(code, 0, err)
  assert.equal(existsSync(join(folder.path, 'run.pid')), false)
})

test('process: a key that cannot be loaded stops the key server, and the file is named', async () => {
  using folder = folderWithCertificates()
  folder.write('keys/bad.key', 'no key')
  await using server = start(folder, [
    'keyserver',
    '--private_key_dirs=keys',
    '--metrics-port=0',
    '--loglevel=error',
  ])
  const { code, err } = await server.ended
  assert.equal(code, 1)
  assert.match(err, /^latchkey: no private key found: .*\/keys\/bad\.key.* \(ERR_KEYS_FORMAT\)\n$/)
})

test('process: log lines as JSON', async () => {
  using folder = folderWithCertificates()
  writeEdgeConfig(folder)
  await using edge = start(folder, ['edge', '--log-format', 'json'])
  const [line] = await edge.said(/^.*Listening at.*$/m)
  const record = JSON.parse(line) as Record<string, unknown>
  assert.equal(record['level'], 'info')
  assert.equal(typeof record['port'], 'number')
})

test('process: a port in use is one line with what to do, and exit 1', async () => {
  using folder = folderWithCertificates()
  const occupant = createServer()
  occupant.listen(0, '127.0.0.1')
  await once(occupant, 'listening')
  writeEdgeConfig(folder, (occupant.address() as AddressInfo).port)
  await using edge = start(folder, ['edge', '--loglevel', 'error'])
  const { code, err } = await edge.ended
  occupant.close()
  assert.equal(code, 1)
  assert.match(
    err,
    /^latchkey: listen EADDRINUSE: address already in use 127\.0\.0\.1:\d+\. another process listens there: stop it, or choose another port\n$/,
  )
})

test('process: a key server that finds its port taken leaves the pid file to the one that has it', async () => {
  using folder = folderWithCertificates()
  folder.write('gokeyless.yaml', 'metrics_port: 0\npid_file: run.pid\nprivate_key_stores:\n- dir: keys\n')
  await using server = start(folder, ['keyserver', '--port', '0'])
  const [, port = ''] = await server.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  await server.said(/reachable from this machine only/)
  await using second = start(folder, ['keyserver', '--port', port])
  const { code, err } = await second.ended
  assert.equal(code, 1)
  assert.match(err, /ERR_KEYSERVER_LISTEN/)
  assert.equal(readFileSync(join(folder.path, 'run.pid'), 'utf8'), String(server.child.pid))
})

test('process: a pid file that cannot be written stops the key server', async () => {
  using folder = folderWithCertificates()
  folder.write(
    'gokeyless.yaml',
    'port: 0\nmetrics_port: 0\npid_file: none/run.pid\nprivate_key_stores:\n- dir: keys\n',
  )
  await using server = start(folder, ['keyserver'])
  const { code, err } = await server.ended
  assert.equal(code, 1)
  assert.match(err, /none\/run\.pid/)
})

test('process: an edge whose parent goes away ends', async () => {
  using folder = folderWithCertificates()
  writeEdgeConfig(folder)
  await using edge = start(folder, ['edge'], { stdio: 'ipc' })
  await edge.said(/Listening/)
  edge.child.disconnect()
  const { code, err } = await edge.ended
  assert.equal(code, 0, err)
  assert.match(err, /the parent process has gone/)
})

/** Wherever an old Node happens to be installed. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
  if (!existsSync(path)) return false
  const [major = 99] = execFileSync(path, ['--version'], { encoding: 'utf8' }).slice(1).split('.').map(Number)
  return major < 24
})

test('process: an old Node is told what is needed', { skip: oldNode === undefined }, async () => {
  const child = spawn(oldNode ?? '', [BIN, '--version'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 1)
  assert.match(
    err,
    /^latchkey needs Node\.js 24\.7 or newer; this is v\d+\.\d+\.\d+ \(.*\)\.\nIn a checkout the pinned one is used by: {2}npm run latchkey -- <command>\n$/,
  )
})
