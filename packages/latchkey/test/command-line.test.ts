// The command as a newcomer meets it: what it says, and its exit codes. In this process where nothing is started.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { run } from 'latchkey'
import { parse } from 'yaml'
import { folderWithCertificates, temporaryFolder } from './config-fixture.ts'

interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function say(args: readonly string[], cwd = '/', env: Record<string, string> = {}): Promise<Said> {
  let out = ''
  let err = ''
  const code = await run(args, {
    env,
    cwd,
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { code, out, err }
}

interface Row {
  name: string
  args: string[]
  code: number
  out?: RegExp
  err?: RegExp
}

const ROWS: Row[] = [
  {
    name: 'no arguments: the help, as an error',
    args: [],
    code: 2,
    err: /Usage: latchkey[\s\S]*keyserver[\s\S]*edge[\s\S]*demo/,
  },
  {
    name: '--help',
    args: ['--help'],
    code: 0,
    out: /Examples:\n {2}latchkey demo[\s\S]*Exit codes: 0 done, 1 misconfigured or failed, 2 /,
  },
  { name: '--version', args: ['--version'], code: 0, out: /^latchkey \d+\.\d+\.\d+ \(Node\.js v/ },
  {
    name: 'keyserver --help',
    args: ['keyserver', '--help'],
    code: 0,
    out: /--auth-cert <file>[\s\S]*Examples:[\s\S]*SIGHUP/,
  },
  {
    name: 'a misspelt check',
    args: ['keyserver', 'chekc'],
    code: 2,
    err: /'chekc' is invalid for argument 'check'\. Allowed choices are check/,
  },
  { name: 'edge --help', args: ['edge', '--help'], code: 0, out: /key_server_tls:[\s\S]*latchkey edge -c/ },
  { name: 'help edge', args: ['help', 'edge'], code: 0, out: /Usage: latchkey edge/ },
  { name: 'demo --help', args: ['demo', '--help'], code: 0, out: /DEMO_ONCE=1/ },
  {
    name: 'a misspelt command',
    args: ['keysever'],
    code: 2,
    err: /unknown command 'keysever'\n\(Did you mean keyserver\?\)/,
  },
  {
    name: 'a misspelt flag',
    args: ['keyserver', '--auth-crt', 'x'],
    code: 2,
    err: /unknown option '--auth-crt'\n\(Did you mean --auth-cert\?\)/,
  },
  { name: 'a flag without its value', args: ['edge', '--port'], code: 2, err: /argument missing/ },
  {
    name: 'a log format that is none',
    args: ['edge', '--log-format', 'xml'],
    code: 2,
    err: /Allowed choices are text, json/,
  },
  { name: 'one word too many', args: ['edge', 'now'], code: 2, err: /too many arguments/ },
  { name: 'keyserver -v', args: ['keyserver', '-v'], code: 0, out: /^latchkey \d+\.\d+\.\d+ \(Node/ },
]

for (const { name, args, code, out = /^$/, err = /^$/ } of ROWS) {
  test(`command line: ${name}`, async () => {
    const said = await say(args)
    assert.match(said.out, out)
    assert.match(said.err, err)
    assert.equal(said.code, code)
  })
}

test('command line: an edge without a configuration is told which file is missing', async () => {
  using folder = temporaryFolder()
  const { code, err } = await say(['edge'], folder.path)
  assert.equal(code, 1)
  assert.equal(
    err,
    `latchkey: the configuration file cannot be read (ERR_CONFIG_FILE)\n  in       ${folder.path}/latchkey-edge.yaml\n  found    no such file\n`,
  )
})

test('command line: whoever reads JSON gets what stopped the start as JSON', async () => {
  using folder = temporaryFolder()
  folder.write('latchkey-edge.yaml', 'port: x\n')
  for (const args of [['--log-format', 'json'], ['--log_format=json']]) {
    const { code, err } = await say(['edge', ...args], folder.path)
    assert.equal(code, 1)
    const { level, code: errorCode, path, line, column, found } = JSON.parse(err) as Record<string, unknown>
    assert.deepEqual(
      [level, errorCode, path, line, column, found],
      ['critical', 'ERR_CONFIG_VALUE', 'port', 1, 7, '"x"'],
    )
  }
})

test('command line: a key server without certificates is told what to put where', async () => {
  using folder = temporaryFolder()
  const { code, err } = await say(['keyserver'], folder.path)
  assert.equal(code, 1)
  assert.match(
    err,
    /ERR_CONFIG_REFERENCE[\s\S]*setting {2}auth_cert\n {2}found {4}\/.*\/server.pem: no such file\n[\s\S]*hint/,
  )
})

test('command line: flags of the key server may have underscores, and equals signs', async () => {
  using folder = folderWithCertificates()
  for (const args of [['--auth_key=empty.pem'], ['--auth_key', 'empty.pem'], ['--auth-key', 'empty.pem']]) {
    const { err } = await say(['keyserver', ...args], folder.path)
    assert.match(err, /in {7}flag --auth-key\n[\s\S]*found {4}empty.pem: no private key/)
  }
})

test('command line: the environment reaches the key server', async () => {
  using folder = folderWithCertificates()
  const { code, err } = await say(['keyserver'], folder.path, { KEYLESS_PORT: 'x' })
  assert.equal(code, 1)
  assert.match(err, /in {7}environment KEYLESS_PORT/)
})

test('command line: keyserver check lists the keys, with warnings apart, and leaves nothing behind', async () => {
  using folder = folderWithCertificates()
  folder.write('keys/site.key', readFileSync(`${folder.path}/other-key.pem`))
  const file = folder.write(
    'gokeyless.yaml',
    'private_key_stores: [{dir: keys}]\npid_file: here.pid\nauth_crt: x\n',
  )
  for (const args of [['check'], ['check', '-c', file], ['-c', file, 'check']]) {
    const { code, out, err } = await say(['keyserver', ...args], folder.path)
    assert.equal(code, 0, err)
    assert.match(
      out,
      /certificate {4}.*until \d{4}-\d\d-\d\d\nkeys {11}1\n {2}[0-9a-f]{40} {2}ec prime256v1 {2}\/.*site\.key\n/,
    )
    assert.match(out, /The key server can start\.\n$/)
    assert.match(err, /auth_crt is not a setting and is ignored; did you mean auth_cert\?/)
    assert.ok(!existsSync(`${folder.path}/here.pid`))
  }
})

test('command line: keyserver check fails as a start does: a key that is garbage, a certificate that is none', async () => {
  using folder = folderWithCertificates()
  folder.write('keys/site.key', 'garbage')
  const garbage = await say(['keyserver', 'check', '--private-key-dirs', 'keys'], folder.path)
  assert.deepEqual([garbage.code, garbage.out], [1, ''])
  assert.match(garbage.err, /site\.key/)
  const empty = await say(['keyserver', 'check', '--auth-cert', 'empty.pem'], folder.path)
  assert.deepEqual([empty.code, empty.out], [1, ''])
  assert.match(empty.err, /ERR_CONFIG_REFERENCE[\s\S]*setting {2}auth_cert/)
})

test('command line: --output-config prints what all sources come to; secrets only when asked', async () => {
  using folder = temporaryFolder()
  folder.write(
    'gokeyless.yaml',
    'port: 1\norigin_ca_api_key: v1.0-hidden\ninit_endpoint: https://x.test/\nprivate_key_stores: [{uri: "pkcs11:token=t;pin-value=12&34?module-path=/m.so&pin-value=5678?90;1"}]\n',
  )
  const env = { KEYLESS_PORT: '2', KEYLESS_API_TOKEN: 'hush' }
  for (const flag of ['-o', '--output_config']) {
    const { code, out, err } = await say(['keyserver', flag, '--auth-cert', 'mine.pem'], folder.path, env)
    assert.deepEqual([code, err], [0, ''])
    assert.doesNotMatch(out, /hidden|hush|12&|34|5678|90/)
    const settings = parse(out) as Record<string, unknown>
    assert.deepEqual(
      [settings['port'], settings['auth_cert'], settings['auth_key'], settings['api_token']],
      ['2', 'mine.pem', 'server-key.pem', '(not shown)'],
    )
    assert.match(out, /pkcs11:token=t;pin-value=\(not shown\)\?module-path=\/m\.so&pin-value=\(not shown\)/)
  }
  const { out } = await say(['keyserver', '-o', '--show-secrets'], folder.path, env)
  const shown = parse(out) as Record<string, unknown>
  assert.deepEqual([shown['api_token'], shown['origin_ca_api_key']], ['hush', 'v1.0-hidden'])
  assert.match(out, /pin-value=12&34/)
})

test('command line: --output-config leaves out a secret that YAML takes for a number', async () => {
  using folder = temporaryFolder()
  folder.write('gokeyless.yaml', 'api_token: 123456\n')
  const { out } = await say(['keyserver', '-o'], folder.path)
  assert.match(out, /^api_token: \(not shown\)$/m)
  assert.doesNotMatch(out, /123456/)
})

test('command line: --keystore-debug tells each SKI and needs no certificate; a bad key ends it with 1', async () => {
  using certificates = folderWithCertificates()
  using folder = temporaryFolder()
  folder.write('site.key', readFileSync(`${certificates.path}/other-key.pem`))
  folder.write('gokeyless.yaml', 'loglevel: 3\nprivate_key_stores: [{file: site.key}]\n')
  for (const flag of ['-d', '--keystore_debug']) {
    const { code, out, err } = await say(['keyserver', flag], folder.path)
    assert.deepEqual([code, out], [0, ''])
    assert.match(err, /\[DEBUG\] .*SKI: [0-9a-f]{40}[\s\S]*\[INFO\] 1 key loaded\n/)
  }
  folder.write('site.key', 'garbage')
  const { code, err } = await say(['keyserver', '-d'], folder.path)
  assert.equal(code, 1)
  assert.match(err, /site\.key/)
})
