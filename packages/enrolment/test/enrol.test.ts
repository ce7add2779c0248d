// Enrolments against a real server on loopback, well and badly behaved; after each the files hold a pair that belongs together.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createCertificateRequest, enrol, type EnrolOptions, isRequestOf } from '@latchkey/enrolment'
import { type Answer, ca, issues, type OriginCa, refuses, says, startOriginCa } from './origin-ca.ts'

const SECRET = 'lk_very-secret-token'
const HOUR_MS = 3_600_000
const other = await ca.issue({ dnsNames: ['ks.example.com'] })
const old = await ca.issue({ dnsNames: ['ks.example.com'] })

interface Files extends Disposable {
  readonly path: string
  readonly files: EnrolOptions['files']
  names(): string[]
  isOldPair(): boolean
  isPair(): boolean
}

function filesOfOldPair(): Files {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-enrol-'))
  const files = { cert: join(path, 'server.pem'), key: join(path, 'key.pem'), csr: join(path, 'server.csr') }
  writeFileSync(files.cert, old.certificatePem)
  writeFileSync(files.key, old.privateKeyPem, { mode: 0o600 })
  return {
    path,
    files,
    names: () => readdirSync(path).toSorted(),
    isOldPair: () =>
      readFileSync(files.cert, 'utf8') === old.certificatePem &&
      readFileSync(files.key, 'utf8') === old.privateKeyPem,
    isPair: () =>
      new X509Certificate(readFileSync(files.cert)).checkPrivateKey(
        createPrivateKey(readFileSync(files.key)),
      ),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

function orderAt(server: OriginCa, { files }: Files, changes: Partial<EnrolOptions> = {}): EnrolOptions {
  return {
    endpoint: server.endpoint,
    credential: { kind: 'api-token', secret: SECRET },
    hostname: 'ks.example.com',
    zoneId: 'zone-1',
    files,
    now: Date.now,
    ...changes,
  }
}

test('an enrolment asks as the API wants it and puts key, request and certificate in their places', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  await enrol(orderAt(server, at))
  const [asked] = server.asked
  assert.equal(asked?.url, '/client/v4/certificates/')
  assert.equal(asked?.headers.authorization, `Bearer ${SECRET}`)
  assert.equal(asked?.headers['x-auth-user-service-key'], undefined)
  assert.equal(asked?.headers['content-type'], 'application/json')
  const { csr, ...rest } = asked?.body ?? {}
  assert.deepEqual(rest, {
    request_type: 'keyless-certificate',
    hostnames: ['ks.example.com'],
    zone_id: 'zone-1',
  })
  assert.ok(at.isPair() && !at.isOldPair())
  assert.deepEqual(
    at.names().filter((name) => !name.includes('replaced')),
    ['key.pem', 'server.csr', 'server.pem'],
  )
  assert.equal(readFileSync(at.files.csr, 'utf8'), csr)
  const modes = [at.files.key, at.files.csr].map((file) => statSync(file).mode & 0o777)
  assert.deepEqual(modes, [0o600, 0o600])
  const key = readFileSync(at.files.key, 'utf8')
  assert.match(key, /^-----BEGIN EC PRIVATE KEY-----\n/)
  assert.equal(createPrivateKey(key).asymmetricKeyDetails?.namedCurve, 'secp384r1')
  assert.ok(await isRequestOf({ privateKeyPem: key, csrPem: csr ?? '' }))
})

test('an enrolment with a service key, the answer 201, and members that are no text', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa(
    issues({}, { hostnames: ['ks.example.com'], requested_validity: 365, expires_on: null }, 201),
  )
  await enrol(orderAt(server, at, { credential: { kind: 'service-key', secret: SECRET } }))
  assert.equal(server.asked[0]?.headers['x-auth-user-service-key'], SECRET)
  assert.equal(server.asked[0]?.headers.authorization, undefined)
  assert.ok(at.isPair() && !at.isOldPair())
})

test('a key that no enrolment made keeps a name; one of an enrolment does not', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  const now = (): number => Date.UTC(2026, 10, 22, 6, 22, 56)
  const issued = { notBefore: new Date(now() - HOUR_MS), notAfter: new Date(now() + HOUR_MS) }
  server.answer = issues(issued)
  const { keptKey } = await enrol(orderAt(server, at, { now }))
  assert.equal(keptKey, `${realpathSync(at.files.key)}.replaced-20261122T062256Z`)
  assert.equal(readFileSync(keptKey, 'utf8'), old.privateKeyPem)
  assert.equal(statSync(keptKey).mode & 0o777, 0o600)
  const { length } = at.names()
  assert.deepEqual(await enrol(orderAt(server, at, { now })), { keptKey: undefined })
  assert.equal(at.names().length, length)
})

test('an enrolment for an address, and into the target of a symbolic link', async () => {
  using at = filesOfOldPair()
  const link = join(at.path, 'link.pem')
  symlinkSync('server.pem', link)
  await using server = await startOriginCa(issues({ dnsNames: [], ipAddresses: ['10.174.0.7'] }))
  await enrol(orderAt(server, at, { hostname: '10.174.0.7', files: { ...at.files, cert: link } }))
  assert.ok(at.isPair() && !at.isOldPair())
})

const OF_ANOTHER_KEY = JSON.stringify({
  success: true,
  result: { certificate: other.certificatePem },
})

interface Row {
  name: string
  answer: Answer
  code: string
  detail?: RegExp
  retryAfterMs?: number
  order?: Partial<EnrolOptions>
}

const BAD: Row[] = [
  {
    name: 'a refusal, with the words of the API in one line and without the token',
    answer: refuses(400, 1016, `not\nauthorised for ${SECRET}`),
    code: 'ERR_ENROLMENT_REFUSED',
    detail:
      /answered 400: 1016 not authorised for \(not shown\): the token needs Zone > SSL and Certificates > Edit/,
  },
  {
    name: 'success: false with 200',
    answer: refuses(200, 1010, 'not your zone'),
    code: 'ERR_ENROLMENT_REFUSED',
    detail: /answered 200: 1010 not your zone$/,
  },
  {
    name: 'words without an end',
    answer: refuses(400, 1, 'x'.repeat(5000)),
    code: 'ERR_ENROLMENT_REFUSED',
    detail: /^.{300,400}…$/,
  },
  {
    name: 'too many requests, with seconds',
    answer: refuses(429, 971, 'slow down', { 'retry-after': '120' }),
    code: 'ERR_ENROLMENT_UNAVAILABLE',
    detail: /answered 429: 971 slow down$/,
    retryAfterMs: 120_000,
  },
  {
    name: 'a server error in HTML',
    answer: says(502, '<html>bad gateway</html>'),
    code: 'ERR_ENROLMENT_UNAVAILABLE',
    detail: /answered 502$/,
  },
  {
    name: 'garbage',
    answer: says(200, '{"success":tru'),
    code: 'ERR_ENROLMENT_RESPONSE',
    detail: /not JSON/,
  },
  {
    name: 'JSON that is no object',
    answer: says(200, '[]'),
    code: 'ERR_ENROLMENT_RESPONSE',
    detail: /not JSON/,
  },
  {
    name: 'no certificate',
    answer: says(200, '{"success":true,"result":{"id":1}}'),
    code: 'ERR_ENROLMENT_RESPONSE',
    detail: /no certificate/,
  },
  { name: 'no success', answer: says(200, '{"result":{"certificate":"x"}}'), code: 'ERR_ENROLMENT_REFUSED' },
  {
    name: 'an answer that is too large',
    answer: says(200, ' '.repeat(300_000)),
    code: 'ERR_ENROLMENT_RESPONSE',
    detail: /more than/,
  },
  {
    name: 'a redirect',
    answer: says(307, '', { location: 'https://elsewhere.test/' }),
    code: 'ERR_ENROLMENT_RESPONSE',
    detail: /answered 307: a redirect to https:\/\/elsewhere\.test\/, not followed/,
  },
  { name: 'no answer', answer: () => {}, code: 'ERR_ENROLMENT_TIMEOUT', order: { timeoutMs: 50 } },
  {
    name: 'an answer that never ends',
    answer: (response) => {
      response.writeHead(200)
      response.write('{')
    },
    code: 'ERR_ENROLMENT_TIMEOUT',
    order: { timeoutMs: 50 },
  },
  {
    name: 'a connection that is cut',
    answer: (response) => void response.socket?.destroy(),
    code: 'ERR_ENROLMENT_UNREACHABLE',
    detail: /ECONNRESET/,
  },
  {
    name: 'the certificate of another key',
    answer: says(200, OF_ANOTHER_KEY),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /another key/,
  },
  {
    name: 'a certificate for another name',
    answer: issues({ dnsNames: ['other.example.com'] }),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /not for ks\.example\.com/,
  },
  {
    name: 'a name in the subject alone',
    answer: issues({ dnsNames: [], commonName: 'ks.example.com' }),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /not for ks/,
  },
  {
    name: 'a certificate that is over',
    answer: issues({
      notBefore: new Date(Date.now() - 2 * HOUR_MS),
      notAfter: new Date(Date.now() - HOUR_MS),
    }),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /it ended on/,
  },
  {
    name: 'a clock that is behind',
    answer: issues(),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /is the clock of this machine right\?/,
    order: { now: () => Date.now() - 24 * HOUR_MS },
  },
  {
    name: 'a certificate for clients',
    answer: issues({ extendedKeyUsages: ['clientAuth'] }),
    code: 'ERR_ENROLMENT_CERTIFICATE',
    detail: /not for a server/,
  },
  {
    name: 'a certificate that is none',
    answer: says(200, '{"success":true,"result":{"certificate":"hello"}}'),
    code: 'ERR_ENROLMENT_CERTIFICATE',
  },
  {
    name: 'a certificate of garbage',
    answer: says(
      200,
      '{"success":true,"result":{"certificate":"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"}}',
    ),
    code: 'ERR_ENROLMENT_CERTIFICATE',
  },
]

for (const { name, answer, code, detail = /./, retryAfterMs, order } of BAD) {
  test(`an enrolment that fails leaves the old pair: ${name}`, async () => {
    using at = filesOfOldPair()
    await using server = await startOriginCa(answer)
    await assert.rejects(enrol(orderAt(server, at, order)), (error: Error & Record<string, unknown>) => {
      assert.equal(error['code'], code, error)
      assert.match(String(error['detail']), detail)
      assert.equal(error['retryAfterMs'], retryAfterMs)
      assert.doesNotMatch(`${error.message} ${JSON.stringify(error)}`, new RegExp(SECRET))
      return true
    })
    assert.ok(at.isOldPair())
    assert.deepEqual(at.names(), ['key.pem', 'server.pem'])
  })
}

test('an enrolment where nobody listens says where', async () => {
  using at = filesOfOldPair()
  const server = await startOriginCa()
  await server[Symbol.asyncDispose]()
  await assert.rejects(enrol(orderAt(server, at)), {
    code: 'ERR_ENROLMENT_UNREACHABLE',
    detail: `${server.endpoint.host}: ECONNREFUSED`,
  })
  assert.ok(at.isOldPair())
})

test('an enrolment that is given up ends at once', async () => {
  using at = filesOfOldPair()
  const stop = new AbortController()
  await using server = await startOriginCa(() => stop.abort(new Error('enough')))
  await assert.rejects(enrol(orderAt(server, at, { signal: stop.signal })), { message: 'enough' })
  assert.deepEqual(at.names(), ['key.pem', 'server.pem'])
})

test('without a place for the new key nobody is asked', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  const files = { ...at.files, csr: join(at.path, 'missing', 'server.csr') }
  await assert.rejects(enrol(orderAt(server, at, { files })), {
    code: 'ERR_ENROLMENT_FILES',
    detail: /ENOENT/,
  })
  assert.equal(server.asked.length, 0)
  assert.ok(at.isOldPair())
  assert.deepEqual(at.names(), ['key.pem', 'server.pem'])
})

test('a certificate that cannot be renamed: the old key is there again', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  const cert = join(at.path, 'directory')
  mkdirSync(join(cert, 'in-it'), { recursive: true })
  await assert.rejects(enrol(orderAt(server, at, { files: { ...at.files, cert } })), {
    code: 'ERR_ENROLMENT_FILES',
  })
  assert.ok(at.isOldPair())
  assert.deepEqual(at.names(), ['directory', 'key.pem', 'server.pem'])
})

test('a request that cannot be renamed does not matter', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  const csr = join(at.path, 'directory')
  mkdirSync(join(csr, 'in-it'), { recursive: true })
  await enrol(orderAt(server, at, { files: { ...at.files, csr } }))
  assert.ok(at.isPair() && !at.isOldPair())
  assert.doesNotMatch(at.names().join(' '), /\.(?:new|old)/)
})

test('two enrolments into the same files do not mix their halves', async () => {
  using at = filesOfOldPair()
  await using server = await startOriginCa()
  const both = await Promise.allSettled([enrol(orderAt(server, at)), enrol(orderAt(server, at))])
  assert.ok(both.some(({ status }) => status === 'rejected'))
  assert.ok(at.isPair())
})

test('a full disk: the old pair stays, whether the key has no room or the certificate', async () => {
  for (const [blocks, wasAsked] of [
    [0, false],
    [1, true],
  ] as const) {
    using at = filesOfOldPair()
    // More than one block of 1024 bytes, where key and request take less.
    await using server = await startOriginCa(async (response, asked) => {
      const { certificatePem } = await ca.issueForRequest(asked.body.csr, { dnsNames: asked.body.hostnames })
      const certificate = certificatePem + other.certificatePem
      says(200, JSON.stringify({ success: true, result: { certificate } }))(response)
    })
    const module = fileURLToPath(new URL('enrol-once.ts', import.meta.url))
    const script = `ulimit -f ${blocks}; exec "$0" "$@"`
    const { stdout } = await promisify(execFile)('bash', [
      '-c',
      script,
      process.execPath,
      module,
      server.endpoint.href,
      at.path,
    ])
    assert.match(stdout, /ERR_ENROLMENT_FILES .*EFBIG/)
    assert.equal(server.asked.length > 0, wasAsked)
    assert.ok(at.isOldPair())
    assert.deepEqual(at.names(), ['key.pem', 'server.pem'])
  }
})

test('a request is of its key and of no other', async () => {
  const one = await createCertificateRequest('ks.example.com')
  const two = await createCertificateRequest('ks.example.com')
  assert.ok(await isRequestOf(one))
  assert.ok(!(await isRequestOf({ ...one, csrPem: two.csrPem })))
  assert.ok(!(await isRequestOf({ ...one, csrPem: 'x' })))
  const said = execFileSync('openssl', ['req', '-noout', '-text'], { input: one.csrPem, encoding: 'utf8' })
  assert.match(said, /Subject: ?CN ?= ?Keyless Server Authentication Certificate\n/)
  assert.match(said, /DNS:ks\.example\.com\n/)
  assert.match(said, /Signature Algorithm: ecdsa-with-SHA384/)
})
