import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, type KeyServerConfig, loadKeyServerConfig } from 'latchkey'
import type { KeyServerSources } from '../src/config/key-server-config.ts'
import { type Folder, folderWithCertificates } from './config-fixture.ts'

type Given = Omit<KeyServerSources, 'cwd'> & { yaml?: string }

function load(folder: Folder, { yaml, ...sources }: Given): KeyServerConfig {
  if (yaml !== undefined) folder.write('gokeyless.yaml', yaml)
  return loadKeyServerConfig({ cwd: folder.path, ...sources })
}

const NO_LIMITS = { maxInFlight: undefined, maxPerSecond: undefined, timeoutMs: undefined }

const GOOD: { name: string; given: Given; want: (config: KeyServerConfig, folder: Folder) => void }[] = [
  {
    name: 'nothing at all: the defaults, and loopback',
    given: {},
    want: (config) => {
      assert.deepEqual(config.listen, { host: '127.0.0.1', port: 2407 })
      assert.equal(config.isAddressSaid, false)
      assert.equal(config.logLevel, 'info')
      assert.deepEqual(config.stores, [])
      assert.equal(config.file, undefined)
      assert.deepEqual(config.warnings, [])
    },
  },
  {
    name: 'an empty file is as good as none',
    given: { yaml: '# nothing yet\n' },
    want: (config, folder) => assert.equal(config.file, join(folder.path, 'gokeyless.yaml')),
  },
  {
    name: 'the file that gokeyless ships, its empty values unset',
    given: {
      yaml: 'loglevel: 1\nprivate_key_stores:\n- dir: keys\nhostname:\nzone_id: ""\norigin_ca_api_key:\nauth_cert: server.pem\nauth_key: server-key.pem\ncloudflare_ca_cert: keyless_cacert.pem\nport: 2407\npid_file:\n',
    },
    want: (config, folder) => {
      assert.deepEqual(config.stores, [{ dir: join(folder.path, 'keys') }])
      assert.equal(config.pidFile, undefined)
      assert.deepEqual(config.warnings, [])
    },
  },
  {
    name: 'stores by dir and file, relative to the working directory',
    given: { yaml: 'private_key_stores:\n- dir: keys\n- file: /run/site.pem\n' },
    want: (config, folder) =>
      assert.deepEqual(config.stores, [{ dir: join(folder.path, 'keys') }, { file: '/run/site.pem' }]),
  },
  {
    name: 'keys elsewhere by their URI, with limits of our own',
    given: {
      yaml: 'private_key_stores:\n- uri: pkcs11:token=x?pin-value=1\n- uri: arn:aws:kms:eu-west-1:1:key/k\n  max_in_flight: 8\n  max_per_second: 200\n  timeout: 3s\n',
    },
    want: (config) =>
      assert.deepEqual(config.stores, [
        { uri: 'pkcs11:token=x?pin-value=1', ...NO_LIMITS },
        { uri: 'arn:aws:kms:eu-west-1:1:key/k', maxInFlight: 8, maxPerSecond: 200, timeoutMs: 3000 },
      ]),
  },
  {
    name: 'environment before file, flag before environment',
    given: {
      yaml: 'port: 1\nloglevel: 0\n',
      env: { KEYLESS_PORT: '2', KEYLESS_LOGLEVEL: 'error' },
      flags: { port: '3' },
    },
    want: (config) => assert.deepEqual([config.listen.port, config.logLevel], [3, 'error']),
  },
  {
    name: 'all addresses, when told',
    given: { yaml: "listen_address: '::'\n" },
    want: (config) => assert.deepEqual([config.listen.host, config.isAddressSaid], ['::', true]),
  },
  {
    name: 'metrics are for this machine only, at the port of gokeyless, unless told',
    given: {},
    want: ({ metrics }) => assert.deepEqual(metrics, { host: '127.0.0.1', port: 2406, totalTwins: false }),
  },
  {
    name: 'metrics elsewhere, when told, by every source',
    given: {
      yaml: "metrics_address: '::'\nmetrics_total_twins: false\n",
      env: { KEYLESS_METRICS_TOTAL_TWINS: 'true' },
      flags: { metrics_port: '0' },
    },
    want: ({ metrics }) => assert.deepEqual(metrics, { host: '::', port: 0, totalTwins: true }),
  },
  {
    name: 'tracing to a collector, whose path may be left out',
    given: {
      yaml: 'tracing_enabled: true\ntracing_address: http://collector:4318\n',
      env: { KEYLESS_TRACING_SAMPLE_RATE: '0.25' },
    },
    want: ({ tracing, warnings }) => {
      assert.deepEqual(tracing, { endpoint: 'http://collector:4318/v1/traces', sampleRate: 0.25 })
      assert.deepEqual(warnings, [])
    },
  },
  {
    name: 'the address of a Jaeger agent is a warning, and none while tracing is off',
    given: { yaml: 'tracing_address: localhost:6831\n', flags: { tracing_enabled: true } },
    want: ({ tracing, warnings }) => {
      assert.deepEqual(tracing, { endpoint: undefined, sampleRate: 0 })
      assert.match(warnings.join(), /^tracing_address is not the URL of a collector/)
    },
  },
  {
    name: 'an empty variable is unset',
    given: { yaml: 'port: 7\n', env: { KEYLESS_PORT: '' } },
    want: (config) => assert.equal(config.listen.port, 7),
  },
  {
    name: 'key directories and files by flag replace those of environment and file, and are trimmed',
    given: {
      yaml: 'private_key_stores:\n- uri: pkcs11:token=x?pin-value=1\n',
      env: { KEYLESS_PRIVATE_KEY_DIRS: '/env' },
      flags: { private_key_dirs: '/a, /b', private_key_files: '/c.pem' },
    },
    want: (config) => assert.deepEqual(config.stores, [{ dir: '/a' }, { dir: '/b' }, { file: '/c.pem' }]),
  },
  {
    name: 'key directories by environment replace the stores of the file',
    given: { yaml: 'private_key_stores:\n- dir: keys\n', env: { KEYLESS_PRIVATE_KEY_DIRS: '/env' } },
    want: (config) => assert.deepEqual(config.stores, [{ dir: '/env' }]),
  },
  {
    name: 'stores by environment',
    given: { env: { KEYLESS_PRIVATE_KEY_STORES: '[{"dir": "/x"}, {file: /y}]' } },
    want: (config) => assert.deepEqual(config.stores, [{ dir: '/x' }, { file: '/y' }]),
  },
  {
    name: 'time and tries for a signature',
    given: { yaml: 'sign_timeout: 1m30s\n', env: { KEYLESS_SIGN_RETRY_COUNT: '2' } },
    want: (config) =>
      assert.deepEqual([config.limits, config.signRetries], [{ operationTimeoutMs: 90_000 }, 2]),
  },
  {
    name: 'no time and no tries said: those of the key server',
    given: { yaml: 'sign_timeout: 0\n' },
    want: (config) => assert.deepEqual([config.limits, config.signRetries], [{}, 0]),
  },
  {
    name: 'a clock for tests',
    given: { flags: { current_time: new Date(Date.now() + 3_600_000).toISOString() } },
    want: (config) => assert.ok(config.now() > Date.now() + 3_500_000),
  },
  {
    name: 'an unknown key is a warning with the line and the nearest name',
    given: { yaml: 'port: 1\nauth-certt: x.pem\nfrobnicate: 1\n' },
    want: (config, folder) => {
      const file = join(folder.path, 'gokeyless.yaml')
      assert.deepEqual(config.warnings, [
        `${file}:2: auth-certt is not a setting and is ignored; did you mean auth_cert?`,
        `${file}:3: frobnicate is not a setting and is ignored`,
      ])
    },
  },
]

for (const { name, given, want } of GOOD) {
  test(`key server configuration: ${name}`, () => {
    using folder = folderWithCertificates()
    want(load(folder, given), folder)
  })
}

interface BadRow {
  name: string
  given: Given
  want: Partial<Pick<ConfigError, 'code' | 'line' | 'column' | 'path' | 'found' | 'expected' | 'hint'>> & {
    file?: string
  }
}

const ENROL =
  'set hostname, zone_id and api_token to enrol, or run once with --config-only, which asks for them, or with --manual-activation, which writes a request to have signed'

const BAD: BadRow[] = [
  {
    name: 'a file that is not there',
    given: { configFile: 'missing.yaml' },
    want: { code: 'ERR_CONFIG_FILE', file: 'missing.yaml', found: 'no such file' },
  },
  {
    name: 'a file that is a directory',
    given: { configFile: 'keys' },
    want: { code: 'ERR_CONFIG_FILE', file: 'keys', found: 'a directory' },
  },
  {
    name: 'YAML that is none',
    given: { yaml: 'port: 1\nloglevel: "info\n' },
    want: { code: 'ERR_CONFIG_SYNTAX', file: 'gokeyless.yaml', line: 3, found: 'Missing closing "quote' },
  },
  {
    name: 'a key twice',
    given: { yaml: 'port: 1\nport: 2\n' },
    want: { code: 'ERR_CONFIG_SYNTAX', line: 2, column: 1, found: 'Map keys must be unique' },
  },
  {
    name: 'a list in place of settings',
    given: { yaml: '- port: 1\n' },
    want: { code: 'ERR_CONFIG_VALUE', expected: 'settings by name, such as "port: 2407"' },
  },
  {
    name: 'a port that is none, in the file',
    given: { yaml: 'loglevel: 1\nport: http\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      file: 'gokeyless.yaml',
      line: 2,
      column: 7,
      path: 'port',
      found: '"http"',
      expected: 'a port, 0 to 65535',
    },
  },
  {
    name: 'a port that is none, by flag',
    given: { flags: { port: '70000' } },
    want: { code: 'ERR_CONFIG_VALUE', file: 'flag --port', path: 'port', found: '"70000"' },
  },
  {
    name: 'a level that is none, by environment',
    given: { env: { KEYLESS_LOGLEVEL: 'loud' } },
    want: {
      file: 'environment KEYLESS_LOGLEVEL',
      path: 'loglevel',
      found: '"loud"',
      expected: 'debug, info, warning, error, critical, or 0 to 5',
    },
  },
  {
    name: 'a store with two of dir, file, uri',
    given: { yaml: 'private_key_stores:\n- dir: a\n- dir: a\n  file: b\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      line: 3,
      column: 3,
      path: 'private_key_stores[1]',
      expected: 'exactly one of dir, file or uri',
    },
  },
  {
    name: 'a store that is only text',
    given: { yaml: 'private_key_stores:\n- /keys\n' },
    want: { path: 'private_key_stores[0]', found: '"/keys"', line: 2, column: 3 },
  },
  {
    name: 'stores that are no list',
    given: { yaml: 'private_key_stores: /keys\n' },
    want: {
      path: 'private_key_stores',
      line: 1,
      column: 21,
      expected: 'a list of stores, such as "- dir: /etc/keyless/keys"',
    },
  },
  {
    name: 'a limit beside a uri, misspelt',
    given: { yaml: 'private_key_stores:\n- uri: pkcs11:token=x?pin-value=1234\n  max_inflight: 3\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      path: 'private_key_stores[0]',
      line: 2,
      found: '"max_inflight" beside uri',
      hint: 'did you mean max_in_flight?',
    },
  },
  {
    name: 'a limit beside a uri, out of range',
    given: { yaml: 'private_key_stores:\n- uri: https://v.vault.azure.net/keys/n/1\n  timeout: 2h\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      found: 'timeout: "2h"',
      expected: 'max_in_flight: 1 to 1024, max_per_second: 1 to 1000000, timeout: 10ms to 60s',
    },
  },
  {
    name: 'a uri of no known form',
    given: { yaml: 'private_key_stores:\n- uri: ftp://x\n' },
    want: { code: 'ERR_CONFIG_VALUE', found: 'a uri of unknown form (not shown)' },
  },
  {
    name: 'a private key where its path belongs',
    given: { yaml: 'auth_key: |\n  -----BEGIN PRIVATE KEY-----\n  MIIE\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      path: 'auth_key',
      found: 'the text of a private key (not shown)',
      hint: 'write the key into a file and name the file here',
    },
  },
  {
    name: 'a certificate that is not there',
    given: { flags: { auth_cert: 'gone.pem' } },
    want: {
      code: 'ERR_CONFIG_REFERENCE',
      file: 'flag --auth-cert',
      path: 'auth_cert',
      expected: 'certificates in PEM',
      hint: ENROL,
    },
  },
  {
    name: 'a token that YAML takes for a number, without showing it',
    given: { yaml: 'api_token: 123456\n' },
    want: {
      code: 'ERR_CONFIG_VALUE',
      path: 'api_token',
      line: 1,
      found: 'a value that is none (not shown)',
      expected: 'a token',
    },
  },
  {
    name: 'a zone that YAML takes for a number',
    given: { yaml: 'zone_id: 98765\n' },
    want: { path: 'zone_id', expected: 'the id of a zone; in quotes if it is all digits' },
  },
  {
    name: 'a host name with a space',
    given: { env: { KEYLESS_HOSTNAME: 'ks example' } },
    want: { file: 'environment KEYLESS_HOSTNAME', expected: 'a DNS name or an IP address' },
  },
  ...['http://api.example.com/', 'https://user:pw@api.example.com/', 'ftp://127.0.0.1/', 'x'].map((url) => ({
    name: `an endpoint that a token cannot go to: ${url}`,
    given: { flags: { init_endpoint: url } },
    want: {
      file: 'flag --init-endpoint',
      path: 'init_endpoint',
      expected: 'a URL with https, or with http on this machine',
    },
  })),
  {
    name: 'a time to sign without a unit',
    given: { yaml: 'sign_timeout: 5\n' },
    want: {
      path: 'sign_timeout',
      found: '5',
      expected: 'a duration such as 250ms or 2s; 0 for the usual one',
    },
  },
  {
    name: 'a time without a zone',
    given: { flags: { current_time: '2026-11-22T06:22:56' } },
    want: { path: 'current_time', expected: 'a time such as 2026-11-22T06:22:56Z' },
  },
  {
    name: 'a certificate that is over by current_time, where a start enrols',
    given: {
      yaml: 'current_time: 2099-01-01T00:00:00Z\nhostname: ks.example.com\nzone_id: z\norigin_ca_api_key: v1.0-x\n',
    },
    want: { code: 'ERR_CONFIG_CERTIFICATE', path: 'auth_cert', hint: 'a start asks for a new one' },
  },
  {
    name: 'a certificate file that is empty',
    given: { yaml: 'auth_cert: empty.pem\n' },
    want: { code: 'ERR_CONFIG_REFERENCE', line: 1, path: 'auth_cert', found: 'empty.pem: an empty file' },
  },
  {
    name: 'a key where a certificate belongs',
    given: { yaml: 'cloudflare_ca_cert: server-key.pem\n' },
    want: { path: 'cloudflare_ca_cert', found: 'server-key.pem: a private key' },
  },
  {
    name: 'a certificate where a key belongs',
    given: { yaml: 'auth_key: server.pem\n' },
    want: { path: 'auth_key', found: 'server.pem: a certificate' },
  },
  {
    name: 'the key of a site in place of that of the server',
    given: { yaml: 'auth_key: other-key.pem\n' },
    want: {
      code: 'ERR_CONFIG_CERTIFICATE',
      path: 'auth_key',
      found: 'other-key.pem, which is not the key of server.pem',
      hint: `site keys go into private_key_stores; ${ENROL}`,
    },
  },
  {
    name: 'a certificate that has ended',
    given: { now: () => Date.now() + 400 * 24 * 3_600_000 },
    want: { code: 'ERR_CONFIG_CERTIFICATE', path: 'auth_cert', expected: 'a certificate that is valid now' },
  },
  {
    name: 'a certificate that has not begun',
    given: { now: () => 0 },
    want: { code: 'ERR_CONFIG_CERTIFICATE', hint: `is the clock of this machine right? ${ENROL}` },
  },
]

for (const { name, given, want } of BAD) {
  test(`key server configuration refuses ${name}`, () => {
    using folder = folderWithCertificates()
    assert.throws(
      () => load(folder, given),
      (error) => {
        assert.ok(error instanceof ConfigError, String(error))
        const { file, ...fields } = want
        if (file !== undefined) assert.equal(error.file?.replace(`${folder.path}/`, ''), file)
        for (const [key, value] of Object.entries(fields))
          assert.equal(error[key as keyof ConfigError], value, key)
        assert.doesNotMatch(error.message + error.report(), /1234|MIIE/, 'no secret in it')
        return true
      },
    )
  })
}

test('key server configuration: the report for a terminal has one fact a line', () => {
  using folder = folderWithCertificates()
  const file = join(folder.path, 'gokeyless.yaml')
  assert.throws(
    () => load(folder, { yaml: 'port: none\n' }),
    (error) =>
      error instanceof ConfigError &&
      error.report() ===
        `latchkey: a setting cannot have this value (ERR_CONFIG_VALUE)\n  in       ${file}:1:7\n  setting  port\n  found    "none"\n  expected a port, 0 to 65535\n`,
  )
})

test('key server configuration: gokeyless.yaml in the working directory is found, -c goes elsewhere', () => {
  using folder = folderWithCertificates()
  folder.write('gokeyless.yaml', 'port: 11\n')
  mkdirSync(join(folder.path, 'etc'))
  folder.write('etc/other.yaml', 'port: 12\n')
  assert.equal(loadKeyServerConfig({ cwd: folder.path }).listen.port, 11)
  assert.equal(loadKeyServerConfig({ cwd: folder.path, configFile: 'etc/other.yaml' }).listen.port, 12)
})
