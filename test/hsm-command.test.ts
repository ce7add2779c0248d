// `latchkey hsm` as a new user meets it, and a key server whose token goes away or has another PIN: real processes.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { isSoftHsmInstalled, PIN, SOFTHSM_MODULE, SoftHsm, WRONG_PIN } from './support/softhsm.ts'
import { startSystem } from './support/system.ts'
import { Tpm, tpmModule } from './support/tpm.ts'

const skip = isSoftHsmInstalled() ? false : 'softhsm2 and opensc are not installed'
const COMMAND = new URL('../packages/latchkey/bin/latchkey.js', import.meta.url).pathname
const hsm = new SoftHsm()
before(() => {
  if (skip !== false) return
  for (const token of ['web', 'locked']) hsm.addToken(token)
  writeFileSync(join(hsm.folder, 'pin'), `${PIN}\n`, { mode: 0o600 })
})
after(() => hsm[Symbol.dispose]())

function latchkey(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', COMMAND, ...args],
    {
      cwd: hsm.folder,
      env: { ...process.env, ...hsm.env },
      encoding: 'utf8',
    },
  )
  assert.ok(!`${stdout}${stderr}`.includes(PIN), 'no PIN in what it says')
  return { status, stdout, stderr }
}

describe('latchkey hsm', { skip }, () => {
  const web = (object = '', query = 'pin-source=pin'): string =>
    `pkcs11:token=web${object === '' ? '' : `;object=${object}`}?module-path=${SOFTHSM_MODULE}&${query}`

  test('list, generate, csr, test: from a token to a request for a certificate', () => {
    const empty = latchkey('hsm', 'list', web())
    assert.match(empty.stdout, /token {6}"web"[^]*PIN {8}ok\nkeys {7}0/)
    const made = latchkey('hsm', 'generate', web('site'), '--algorithm', 'rsa-2048')
    assert.equal(made.status, 0, made.stderr)
    assert.match(made.stdout, /^[0-9a-f]{40} {2}rsa 2048 {2}pkcs11:token=web;object=site;id=/)
    const again = latchkey('hsm', 'generate', web('site'))
    assert.match(again.stderr, /has a private key of this label already/)
    assert.equal(again.status, 1)
    const listed = latchkey('hsm', 'list', web())
    assert.match(listed.stdout, /signs RSASSA-PKCS1-v1_5, RSASSA-PSS\n {4}pkcs11:token=web;object=site;id=/)
    const request = latchkey('hsm', 'csr', web('site'), '--name', 'site.example', 'www.site.example')
    const text = execFileSync('openssl', ['req', '-noout', '-verify', '-text'], {
      input: request.stdout,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    assert.match(text, /DNS:site\.example, DNS:www\.site\.example/)
    const tried = latchkey('hsm', 'test', web('site'))
    assert.match(
      tried.stdout,
      /rsa_pkcs1_sha256 +20 verified[^]*rsa_pss_sha256 +20 verified[^]*All signatures verify/,
    )
  })

  test('the extractable flag is off: the key cannot be taken out', () => {
    latchkey('hsm', 'generate', web('kept'))
    assert.match(
      hsm.tool('web', ['--list-objects', '--type', 'privkey']),
      /label: +kept[^]*never extractable/,
    )
  })

  for (const [name, args, says] of [
    [
      'a module that is not there',
      ['list', 'pkcs11:token=web?module-path=/nope.so'],
      /\/nope\.so is not there/,
    ],
    ['a file that is no module', ['list', 'pkcs11:?module-path=/etc/passwd'], /is it a PKCS#11 module/],
    [
      'a misspelt attribute',
      ['test', 'pkcs11:tokem=web?module-name=softhsm2'],
      /"tokem" is not known here; hint: known are token/,
    ],
    [
      'no PIN',
      ['test', web('', 'max-sessions=2')],
      /asks for a PIN and none is configured; hint: add &pin-source/,
    ],
    ['a PIN file that is not there', ['test', web('', 'pin-source=nope')], /nope; ENOENT|ENOENT/],
    [
      'a token that is not there',
      ['test', `pkcs11:token=other?module-path=${SOFTHSM_MODULE}`],
      /found the tokens .*"web"/,
    ],
    ['a key that is not there', ['test', web('other')], /found the private keys|no private key/],
    ['a misspelt command', ['tset', 'x'], /Did you mean test/],
    ['a request for no name', ['csr', web('site')], /--name/],
  ] as const) {
    test(`says what is wrong: ${name}`, () => {
      const { status, stderr } = latchkey('hsm', ...args)
      assert.notEqual(status, 0)
      assert.match(stderr, says)
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack')
    })
  }
})

/** A file system for tokens that is soon full; undefined: this process may not mount one. */
function smallDisk(): { readonly folder: string; remove(): void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-full-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'latchkey-test', folder])
  if (status === 0)
    return {
      folder,
      remove: () => {
        execFileSync('umount', [folder])
        rmSync(folder, { recursive: true })
      },
    }
  rmSync(folder, { recursive: true })
  return undefined
}

const disk = skip === false ? smallDisk() : undefined
after(() => disk?.remove())
test('a token that is full: no key is made, the others are as they were', {
  skip: skip === false && disk === undefined ? 'a small file system cannot be mounted here' : skip,
}, () => {
  const { folder } = disk as NonNullable<typeof disk>
  const config = join(folder, 'softhsm2.conf')
  mkdirSync(join(folder, 'tokens'))
  writeFileSync(config, `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\n`)
  const env = { ...process.env, SOFTHSM2_CONF: config }
  execFileSync(
    'softhsm2-util',
    ['--init-token', '--free', '--label', 'small', '--pin', PIN, '--so-pin', '5678'],
    { env },
  )
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', COMMAND, 'hsm', ...args], {
      env,
      encoding: 'utf8',
    })
  const uri = (object: string): string =>
    `pkcs11:token=small${object}?module-path=${SOFTHSM_MODULE}&pin-value=${PIN}`
  assert.equal(run('generate', uri(';object=first')).status, 0)
  // Whatever is left.
  const filler = openSync(join(folder, 'filler'), 'w')
  try {
    for (;;) writeSync(filler, Buffer.alloc(1024))
  } catch {
    closeSync(filler)
  }
  const full = run('generate', uri(';object=second'))
  assert.equal(full.status, 1, full.stdout)
  assert.match(full.stderr, /CKR_/)
  rmSync(join(folder, 'filler'))
  assert.match(run('test', uri('')).stdout, /object=first[^]*All signatures verify/)
  assert.equal(run('generate', uri(';object=third')).status, 0, 'and there is room again')
})

test('a key server of two processes with a wrong PIN tries it once', { skip }, async () => {
  hsm.generate('locked', 'EC:prime256v1', 'key', '01')
  const ca = await createThrowawayCa()
  const { chainPem, privateKeyPem } = await ca.issue({ ipAddresses: ['127.0.0.1'] })
  const file = (name: string, text: string): void =>
    writeFileSync(join(hsm.folder, name), text, { mode: 0o600 })
  file('server.pem', chainPem)
  file('server-key.pem', privateKeyPem)
  file('keyless_cacert.pem', ca.certificatePem)
  const uri = hsm.uri('locked').replace(PIN, WRONG_PIN)
  file('gokeyless.yaml', `port: 0\nmetrics_port: 0\nworkers: 2\nprivate_key_stores:\n- uri: ${uri}\n`)
  const first = latchkey('keyserver')
  assert.equal(first.status, 1)
  assert.equal(first.stderr.match(/\[ERROR\].*CKR_PIN_INCORRECT/g)?.length, 1, first.stderr)
  assert.ok(!first.stderr.includes(WRONG_PIN))
  // As a service manager does.
  const second = latchkey('keyserver')
  assert.match(second.stderr, /a wrong PIN was tried on this token before/)
})

const module = tpmModule()
const tpmSkip = module === undefined ? 'swtpm, libtpm2-pkcs11-1 and opensc are not installed' : false
test('a key server whose TPM goes away and comes back: handshakes again, without a restart', {
  skip: tpmSkip,
}, async () => {
  await using tpm = await Tpm.start(module as string)
  tpm.generate('EC:prime256v1', 'key', '01')
  Object.assign(process.env, tpm.env)
  const name = 'tpm.site.test'
  const csr = execFileSync(process.execPath, [COMMAND, 'hsm', 'csr', tpm.uri('key'), '--name', name], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await using system = await startSystem({
    keyAlgorithms: ['ecdsa-p256'],
    keysElsewhere: [{ name, csr }],
    keyServerSettings: `- uri: ${tpm.uri('key')}\n`,
    keyServerEnv: tpm.env,
    origin: (_request, response) => response.end(),
  })
  const handshake = (servername: string): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: system.edgePort, servername, ca: system.caPem })
      socket.once('secureConnect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('secureConnect', () => socket.destroy())
    })
  const file = system.sites[0]?.name ?? ''
  assert.deepEqual([await handshake(name), await handshake(file)], [true, true])
  await tpm.powerOff()
  assert.deepEqual(
    [await handshake(name), await handshake(file)],
    [false, true],
    'keys in files are not concerned',
  )
  await tpm.powerOn(true)
  const until = performance.now() + 60_000
  let isBack = false
  while (!isBack && performance.now() < until) {
    isBack = await handshake(name)
    if (!isBack) await delay(200)
  }
  assert.ok(isBack)
})
