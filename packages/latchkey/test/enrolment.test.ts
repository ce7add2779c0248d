// The modes and the start of a key server that needs a certificate, against an Origin CA on loopback.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { createThrowawayCa, type IssueOptions } from '@latchkey/throwaway-pki'
import { type Console, run } from 'latchkey'
import { folderWithCertificates, type Folder } from './config-fixture.ts'
import { start } from './daemon.ts'

const ca = await createThrowawayCa()
const DAY_MS = 24 * 3_600_000

interface OriginCa extends AsyncDisposable {
  readonly url: string
  readonly asked: {
    readonly credential: string | undefined
    readonly hostnames: string[]
    readonly zone_id: string
  }[]
  /** Of the certificates that it issues. */
  options: IssueOptions
  /** In place of a certificate. */
  failure: { readonly status: number; readonly message: string } | undefined
}

async function startOriginCa(): Promise<OriginCa> {
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => {
      const { csr, hostnames, zone_id } = JSON.parse(text) as {
        csr: string
        hostnames: string[]
        zone_id: string
      }
      const { authorization, 'x-auth-user-service-key': serviceKey } = request.headers
      originCa.asked.push({ credential: authorization ?? String(serviceKey), hostnames, zone_id })
      const { failure } = originCa
      if (failure !== undefined) {
        response.statusCode = failure.status
        response.end(JSON.stringify({ success: false, errors: [{ code: 1016, message: failure.message }] }))
        return
      }
      void issue(csr, hostnames).then((answer) => response.end(answer))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  async function issue(csr: string, dnsNames: string[]): Promise<string> {
    const { certificatePem } = await ca.issueForRequest(csr, { dnsNames, ...originCa.options })
    return JSON.stringify({
      success: true,
      errors: [],
      messages: [],
      result: { certificate: certificatePem },
    })
  }
  const originCa: OriginCa = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/certificates/`,
    asked: [],
    options: {},
    failure: undefined,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return originCa
}

async function say(
  { path: cwd }: Folder,
  args: readonly string[],
  input?: string | (PassThrough & { isTTY?: boolean }),
): Promise<{ code: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const stream = typeof input === 'string' ? new PassThrough().end(input) : input
  const console: Console = {
    env: {},
    cwd,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    ...(stream === undefined ? {} : { input: () => stream }),
  }
  const code = await run(['keyserver', ...args], console)
  return { code, out, err }
}

function isPair({ path }: Folder): boolean {
  const key = createPrivateKey(readFileSync(join(path, 'server-key.pem')))
  return new X509Certificate(readFileSync(join(path, 'server.pem'))).checkPrivateKey(key)
}

function yamlFor(originCa: OriginCa, more = '', workers = 1): string {
  return `hostname: ks.example.com\nzone_id: zone-1\ninit_endpoint: ${originCa.url}\nport: 0\nmetrics_port: 0\nworkers: ${workers}\n${more}`
}

test('--config-only asks for host name, zone and token in this order, and reads them from lines', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  const before = readFileSync(join(folder.path, 'server.pem'), 'utf8')
  const { code, out, err } = await say(
    folder,
    ['--config_only', '--init-endpoint', originCa.url],
    'ks.example.com\n zone-1 \nlk_secret',
  )
  assert.equal(code, 0, err)
  assert.match(err, /^Host name .*: \nZone id: \nAPI token .*: \n/)
  assert.match(out, /^The certificate is in .*server\.pem, its key in .*server-key\.pem\.\n$/)
  assert.doesNotMatch(out + err, /lk_secret/)
  assert.deepEqual(originCa.asked, [
    { credential: 'Bearer lk_secret', hostnames: ['ks.example.com'], zone_id: 'zone-1' },
  ])
  assert.ok(isPair(folder))
  assert.match(
    err,
    /\[WARNING\] the key that was in auth_key, which no enrolment made, is \/.*\.replaced-\d{8}T\d{6}Z now\n/,
  )
  assert.notEqual(readFileSync(join(folder.path, 'server.pem'), 'utf8'), before)
  assert.equal(statSync(join(folder.path, 'server-key.pem')).mode & 0o777, 0o600)
})

test('--config-only at a terminal shows what is typed, and not the token', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  folder.write('gokeyless.yaml', `hostname: ks.example.com\ninit_endpoint: ${originCa.url}\n`)
  const terminal = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => terminal })
  const saying = say(folder, ['--config-only'], terminal)
  for (const line of ['zone-1\r', 'lk_secret\r']) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    terminal.write(line)
  }
  const { code, err } = await saying
  assert.equal(code, 0, err)
  assert.match(err, /Zone id: /)
  assert.match(err, /zone-1/)
  assert.doesNotMatch(err, /lk_secret|secret/)
  assert.equal(originCa.asked[0]?.credential, 'Bearer lk_secret')
})

test('--config-only with an input that ends early says which setting is missing', async () => {
  using folder = folderWithCertificates()
  for (const input of ['ks.example.com\n', undefined]) {
    const { code, err } = await say(folder, ['--config-only'], input)
    assert.equal(code, 1)
    assert.match(err, /ERR_CONFIG_MISSING[\s\S]*standard input\n {2}setting {2}(?:zone_id|hostname)\n/)
  }
  const { err } = await say(folder, ['--config-only'], 'not a name\nz\nt\n')
  assert.match(err, /ERR_CONFIG_VALUE[\s\S]*setting {2}hostname/)
})

test('--config-only that is refused ends with 1, the words of the API, and the old pair', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  originCa.failure = { status: 400, message: 'not authorised' }
  folder.write('gokeyless.yaml', yamlFor(originCa, 'origin_ca_api_key: v1.0-old\n'))
  const { code, err } = await say(folder, ['--config-only'])
  assert.equal(code, 1)
  assert.match(
    err,
    /no certificate was issued: .* answered 400: 1016 not authorised.*\(ERR_ENROLMENT_REFUSED\)\n$/,
  )
  assert.match(err, /origin_ca_api_key: Cloudflare announced the end of service keys/)
  assert.equal(originCa.asked[0]?.credential, 'v1.0-old')
  assert.ok(isPair(folder))
  assert.ok(!existsSync(join(folder.path, 'server.csr')))
})

test('a token comes from its file, trimmed; one that everybody can read is a warning', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  const file = folder.write('token', ' lk_from_file\n\n')
  chmodSync(file, 0o644)
  folder.write('gokeyless.yaml', yamlFor(originCa, 'api_token_file: token\n'))
  const { code, err } = await say(folder, ['--config-only'])
  assert.equal(code, 0, err)
  assert.match(err, /\[WARNING\] api_token_file: every user of this machine can read token/)
  assert.equal(originCa.asked[0]?.credential, 'Bearer lk_from_file')
  folder.write('token', 'two words\n')
  const bad = await say(folder, ['check'])
  assert.match(bad.err, /ERR_CONFIG_REFERENCE[\s\S]*setting {2}api_token_file\n[\s\S]*no token/)
  assert.doesNotMatch(bad.err, /two words/)
})

test('--manual-activation writes a key and a request, and then says that they are there', async () => {
  using folder = folderWithCertificates()
  for (const name of ['server.pem', 'server-key.pem']) rmSync(join(folder.path, name))
  const written = await say(folder, ['--manual-activation'], 'ks.example.com\n')
  assert.deepEqual([written.code, written.err], [0, 'Host name of this key server: \n'])
  assert.match(
    written.out,
    /^Wrote the key .* Have .*server\.csr signed and put the certificate into .*server\.pem\./,
  )
  const key = readFileSync(join(folder.path, 'server-key.pem'), 'utf8')
  const again = await say(folder, ['--manual_activation'])
  assert.equal(again.code, 0, again.err)
  assert.match(again.out, /are there and belong together/)
  assert.equal(readFileSync(join(folder.path, 'server-key.pem'), 'utf8'), key)
  // Signed by hand, it starts.
  const csr = readFileSync(join(folder.path, 'server.csr'), 'utf8')
  folder.write('server.pem', (await ca.issueForRequest(csr, { dnsNames: ['ks.example.com'] })).certificatePem)
  assert.equal((await say(folder, ['check'])).code, 0)
})

test('--manual-activation does not take the key away from a certificate that is valid', async () => {
  using folder = folderWithCertificates()
  const { code, err } = await say(folder, ['--manual-activation', '--hostname', 'ks.example.com'])
  assert.equal(code, 1)
  assert.match(err, /setting {2}auth_key[\s\S]*hint {5}add --auth-key and --auth-csr/)
  assert.ok(isPair(folder))
  const args = ['--auth-key', 'new.pem', '--hostname', 'ks.example.com']
  assert.equal((await say(folder, ['--manual-activation', ...args])).code, 0)
  assert.ok(existsSync(join(folder.path, 'new.pem')))
})

test('a start without a certificate and without the settings names them and both flags', async () => {
  using folder = folderWithCertificates()
  rmSync(join(folder.path, 'server.pem'))
  const { code, err } = await say(folder, [], 'must not be read\n')
  assert.equal(code, 1)
  assert.match(err, /hostname, zone_id and api_token .*--config-only.*--manual-activation/)
})

test('a start enrols where it has to, serves in two processes, and renews while they serve', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  rmSync(join(folder.path, 'server.pem'))
  folder.write('gokeyless.yaml', yamlFor(originCa, 'api_token: lk_secret\n', 2))
  // Already over two thirds of its life when it is issued: renewed at once.
  originCa.options = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() + DAY_MS) }
  await using server = start(folder, ['keyserver'])
  await server.said(/\[WARNING\] server certificate: .*no such file/)
  await server.said(/\[INFO\] server certificate issued for ks\.example\.com\n/)
  originCa.options = {}
  const [, port] = await server.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  await server.said(/\[INFO\] server certificate renewed\n/)
  const left = await daysLeft(Number(port))
  assert.ok(left > 80, `${left} days`)
  assert.equal(originCa.asked.length, 2)
  assert.ok(isPair(folder))
  server.child.kill('SIGTERM')
  const { code, err } = await server.ended
  assert.equal(code, 0, err)
  assert.doesNotMatch(err, /lk_secret/)
})

test('a renewal that fails is a line, and the old certificate goes on', async () => {
  using folder = folderWithCertificates()
  await using originCa = await startOriginCa()
  originCa.failure = { status: 503, message: 'later' }
  const old = await ca.issue({
    dnsNames: ['ks.example.com'],
    notBefore: new Date(Date.now() - 9 * DAY_MS),
    notAfter: new Date(Date.now() + 1.5 * DAY_MS),
  })
  folder.write('server.pem', old.certificatePem)
  folder.write('server-key.pem', old.privateKeyPem)
  folder.write('gokeyless.yaml', yamlFor(originCa, 'api_token: lk_secret\n'))
  await using server = start(folder, ['keyserver'])
  const [, port] = await server.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)\n/)
  await server.said(
    /\[ERROR\] server certificate not renewed, going on with the old one: .*answered 503: 1016 later \(ERR_ENROLMENT_UNAVAILABLE\); next try in 1 min\n/,
  )
  assert.ok((await daysLeft(Number(port))) < 2)
  assert.equal(readFileSync(join(folder.path, 'server.pem'), 'utf8'), old.certificatePem)
})

/** Of the certificate that a new connection is shown. */
function daysLeft(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve((Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / DAY_MS)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}
