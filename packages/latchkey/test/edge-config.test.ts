import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, type EdgeConfig, loadEdgeConfig } from 'latchkey'
import { type Folder, folderWithCertificates } from './config-fixture.ts'

const TLS = 'key_server_tls: { ca: keyless_cacert.pem, cert: server.pem, key: server-key.pem }\n'
const HOST = `- names: [Example.com, '*.example.com']
  certificates: [site.pem]
  key_servers: ['keys.example:12407', '[2001:db8::1]', 192.0.2.1]
  origin: http://127.0.0.1:8080
`

function load(
  folder: Folder,
  yaml: string,
  flags?: Parameters<typeof loadEdgeConfig>[0]['flags'],
): EdgeConfig {
  folder.write('latchkey-edge.yaml', yaml)
  return loadEdgeConfig({ cwd: folder.path, ...(flags === undefined ? {} : { flags }) })
}

test('edge configuration: names, key servers and origins become typed', () => {
  using folder = folderWithCertificates()
  const config = load(folder, `${TLS}hosts:\n${HOST}`)
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 8443 })
  const [host] = config.hosts
  assert.deepEqual(host?.serverNames, ['example.com', '*.example.com'])
  assert.deepEqual(host?.keyServers, [
    { host: 'keys.example', port: 12407 },
    { host: '2001:db8::1', port: 2407 },
    { host: '192.0.2.1', port: 2407 },
  ])
  assert.equal(host?.origin.href, 'http://127.0.0.1:8080/')
  assert.match(host?.certificateChains[0] ?? '', /BEGIN CERTIFICATE/)
  assert.deepEqual(config.warnings, [])
})

test('edge configuration: flags come before the file', () => {
  using folder = folderWithCertificates()
  const yaml = `port: 1\nloglevel: error\n${TLS}hosts:\n${HOST}`
  const config = load(folder, yaml, { port: '9', listen_address: '::1', loglevel: 'debug' })
  assert.deepEqual([config.listen, config.logLevel], [{ host: '::1', port: 9 }, 'debug'])
})

test('edge configuration: a certificate that ends soon is a warning', () => {
  using folder = folderWithCertificates()
  const config = load(
    folder,
    `${TLS}hosts:\n${HOST.replace("Example.com, '*.example.com'", 'example.com').replace('site.pem', 'ending.pem')}`,
  )
  assert.match(config.warnings[0] ?? '', /^ending.pem ends on \d{4}-\d\d-\d\d, in 5 days$/)
})

/** `yaml` is the whole file. */
interface BadRow {
  name: string
  yaml: string
  want: Partial<Pick<ConfigError, 'code' | 'line' | 'column' | 'path' | 'found' | 'expected' | 'hint'>>
}

const withHost = (from: string, to: string): string => `${TLS}hosts:\n${HOST.replace(from, to)}`

const BAD: BadRow[] = [
  {
    name: 'an empty file',
    yaml: '',
    want: { code: 'ERR_CONFIG_VALUE', expected: 'settings by name, at least key_server_tls and hosts' },
  },
  {
    name: 'no hosts',
    yaml: TLS,
    want: { code: 'ERR_CONFIG_MISSING', path: 'hosts', expected: 'a list of hosts, at least one' },
  },
  {
    name: 'an empty list of hosts',
    yaml: `${TLS}hosts: []\n`,
    want: { code: 'ERR_CONFIG_VALUE', path: 'hosts', line: 2, column: 8 },
  },
  {
    name: 'no key_server_tls',
    yaml: `hosts:\n${HOST}`,
    want: { code: 'ERR_CONFIG_MISSING', path: 'key_server_tls', expected: 'the files ca, cert and key' },
  },
  {
    name: 'a host without origin',
    yaml: withHost('  origin: http://127.0.0.1:8080\n', ''),
    want: { code: 'ERR_CONFIG_MISSING', path: 'hosts[0].origin', line: 3, column: 3 },
  },
  {
    name: 'a misspelt setting',
    yaml: `${TLS}listen_adress: x\nhosts:\n${HOST}`,
    want: {
      code: 'ERR_CONFIG_UNKNOWN_KEY',
      path: 'listen_adress',
      line: 2,
      column: 16,
      hint: 'did you mean listen_address?',
    },
  },
  {
    name: 'a misspelt setting of a host',
    yaml: withHost('key_servers', 'key-server'),
    want: { code: 'ERR_CONFIG_MISSING', path: 'hosts[0].key_servers' },
  },
  {
    name: 'one setting too many in a host',
    yaml: withHost('  origin', '  orgin: x\n  origin'),
    want: {
      code: 'ERR_CONFIG_UNKNOWN_KEY',
      path: 'hosts[0].orgin',
      line: 6,
      column: 10,
      hint: 'did you mean origin?',
      expected: 'one of names, certificates, key_servers, origin',
    },
  },
  {
    name: 'an origin that is no URL',
    yaml: withHost('http://127.0.0.1:8080', '127.0.0.1'),
    want: { code: 'ERR_CONFIG_VALUE', path: 'hosts[0].origin', found: '"127.0.0.1"', line: 6, column: 11 },
  },
  {
    name: 'an origin with a path',
    yaml: withHost('8080', '8080/app'),
    want: {
      path: 'hosts[0].origin',
      expected: 'an origin as http://host:port or https://host:port, without a path',
    },
  },
  { name: 'an origin that is not HTTP', yaml: withHost('http:', 'ftp:'), want: { path: 'hosts[0].origin' } },
  {
    name: 'a name that is none',
    yaml: withHost('Example.com', "'exa mple.com'"),
    want: { path: 'hosts[0].names[0]', found: '"exa mple.com"', line: 3, column: 11 },
  },
  {
    name: 'a key server that is none',
    yaml: withHost('192.0.2.1', 'https://keys.example'),
    want: { path: 'hosts[0].key_servers[2]', expected: 'a key server as host:port' },
  },
  {
    name: 'a key server at port 0',
    yaml: withHost('keys.example:12407', 'keys.example:0'),
    want: { path: 'hosts[0].key_servers[0]' },
  },
  {
    name: 'a name of two hosts',
    yaml: `${TLS}hosts:\n${HOST}${HOST}`,
    want: {
      code: 'ERR_CONFIG_VALUE',
      path: 'hosts[1].names[0]',
      found: 'example.com, which hosts[0].names[0] has too',
      line: 7,
    },
  },
  {
    name: 'a certificate for another name',
    yaml: withHost('Example.com', 'example.org'),
    want: {
      code: 'ERR_CONFIG_CERTIFICATE',
      path: 'hosts[0].certificates[0]',
      found: 'site.pem, a certificate for example.com, *.example.com',
      expected: 'a certificate for example.org',
    },
  },
  {
    name: 'a certificate that has ended',
    yaml: `${TLS}hosts:\n${HOST.replace("Example.com, '*.example.com'", 'example.com').replace('site.pem', 'ended.pem')}`,
    want: {
      code: 'ERR_CONFIG_CERTIFICATE',
      path: 'hosts[0].certificates[0]',
      expected: 'a certificate that is valid now',
    },
  },
  {
    name: 'a private key beside a certificate',
    yaml: withHost('site.pem', 'with-key.pem'),
    want: {
      code: 'ERR_CONFIG_REFERENCE',
      path: 'hosts[0].certificates[0]',
      found: 'with-key.pem: a private key beside the certificate',
      hint: 'the private key belongs on the key server, not on an edge',
    },
  },
  {
    name: 'a private key for a certificate',
    yaml: withHost('site.pem', 'server-key.pem'),
    want: { code: 'ERR_CONFIG_REFERENCE', found: 'server-key.pem: a private key' },
  },
  {
    name: 'a chain in the wrong order',
    yaml: withHost('site.pem', 'unordered.pem'),
    want: { code: 'ERR_CONFIG_CERTIFICATE', path: 'hosts[0].certificates[0]' },
  },
  {
    name: 'a certificate file that is not there',
    yaml: withHost('site.pem', 'gone.pem'),
    want: { code: 'ERR_CONFIG_REFERENCE', line: 4, column: 18 },
  },
  {
    name: 'a client key of another certificate',
    yaml: `${TLS.replace('server-key', 'other-key')}hosts:\n${HOST}`,
    want: {
      code: 'ERR_CONFIG_CERTIFICATE',
      path: 'key_server_tls.key',
      found: 'other-key.pem, which is not the key of server.pem',
      expected: 'the private key of server.pem',
    },
  },
  {
    name: 'an encrypted client key',
    yaml: `${TLS.replace('server-key', 'encrypted-key')}hosts:\n${HOST}`,
    want: { code: 'ERR_CONFIG_REFERENCE', found: 'encrypted-key.pem: an encrypted private key' },
  },
  {
    name: 'a client key that is not there',
    yaml: `${TLS.replace('server-key', 'gone-key')}hosts:\n${HOST}`,
    want: { code: 'ERR_CONFIG_REFERENCE', path: 'key_server_tls.key' },
  },
]

for (const { name, yaml, want } of BAD) {
  test(`edge configuration refuses ${name}`, () => {
    using folder = folderWithCertificates()
    assert.throws(
      () => load(folder, yaml),
      (error) => {
        assert.ok(error instanceof ConfigError, String(error))
        assert.equal(error.file, `${folder.path}/latchkey-edge.yaml`)
        for (const [key, value] of Object.entries(want))
          assert.equal(error[key as keyof ConfigError], value, key)
        return true
      },
    )
  })
}
