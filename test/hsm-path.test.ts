// The whole path with keys that never leave two kinds of hardware, several modules in one key server: client → edge → key
// server → token. Keys are made on the tokens, certificates come by requests that the tokens sign.
import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Browser } from './support/chromium.ts'
import { isInstalled, runCommand } from './support/command.ts'
import { isSoftHsmInstalled, SoftHsm } from './support/softhsm.ts'
import { startSystem, type System } from './support/system.ts'
import { Tpm, tpmModule } from './support/tpm.ts'
import { CLIENTS, isAvailable, protocolOf } from './support/tls-clients.ts'

const module = tpmModule()
const skip =
  isSoftHsmInstalled() && module !== undefined
    ? false
    : 'softhsm2, opensc, swtpm or libtpm2-pkcs11-1 is not installed'
const COMMAND = new URL('../packages/latchkey/bin/latchkey.js', import.meta.url).pathname
const PAGE = 'a page from the origin'

const KEYS = [
  { name: 'p256.hsm.test', home: 'hsm', algorithm: 'ecdsa-p256', kind: 'ECDSA' },
  { name: 'p384.hsm.test', home: 'hsm', algorithm: 'ecdsa-p384', kind: 'ECDSA' },
  { name: 'rsa.hsm.test', home: 'hsm', algorithm: 'rsa-2048', kind: 'RSA' },
  { name: 'ed25519.hsm.test', home: 'hsm', algorithm: 'ed25519', kind: 'ECDSA' }, // RFC 8422 §5.10
  { name: 'p256.tpm.test', home: 'tpm', algorithm: 'ecdsa-p256', kind: 'ECDSA' },
  { name: 'p384.tpm.test', home: 'tpm', algorithm: 'ecdsa-p384', kind: 'ECDSA' },
  { name: 'rsa.tpm.test', home: 'tpm', algorithm: 'rsa-2048', kind: 'RSA' },
] as const

/** As pkcs11-tool calls them. */
const TPM_TYPES = {
  'ecdsa-p256': 'EC:prime256v1',
  'ecdsa-p384': 'EC:secp384r1',
  'rsa-2048': 'rsa:2048',
} as const

const hsm = new SoftHsm()
let tpm: Tpm
let system: System
before(async () => {
  if (skip !== false) return
  tpm = await Tpm.start(module as string)
  Object.assign(process.env, hsm.env, tpm.env)
  hsm.addToken('hsm')
  const keysElsewhere: { name: string; csr: string }[] = []
  const uris: string[] = []
  for (const { name, home, algorithm } of KEYS) {
    const uri = home === 'hsm' ? hsm.uri('hsm', name) : tpm.uri(name)
    if (home === 'tpm') tpm.generate(TPM_TYPES[algorithm], name, `0${uris.length}`)
    else await latchkey('hsm', 'generate', uri, '--algorithm', algorithm)
    keysElsewhere.push({ name, csr: await latchkey('hsm', 'csr', uri, '--name', name) })
    uris.push(uri)
  }
  system = await startSystem({
    keyAlgorithms: [],
    keysElsewhere,
    keyServerSettings: uris.map((uri) => `- uri: ${uri}\n`).join(''),
    keyServerEnv: { ...hsm.env, ...tpm.env },
    origin: (_request, response) => response.end(PAGE),
  })
})
after(async () => {
  if (skip !== false) return
  await system[Symbol.asyncDispose]()
  await tpm[Symbol.asyncDispose]()
  hsm[Symbol.dispose]()
})

async function latchkey(...args: readonly string[]): Promise<string> {
  const { code, output } = await runCommand(process.execPath, [COMMAND, ...args])
  assert.equal(code, 0, output)
  // Modules write to stderr as they please.
  return /-----BEGIN[^]*-----END [A-Z ]+-----\n/.exec(output)?.[0] ?? output
}

for (const client of CLIENTS) {
  const missing = isAvailable(client) ? skip : `${client.program} is not installed`
  for (const { name, kind, algorithm } of KEYS) {
    test(`${client.program}, ${name}: TLS 1.2 and 1.3`, { skip: missing }, async () => {
      const { edgePort: port, caFile, caPem } = system
      const place = { port, host: name, caFile, caPem, answerEnds: PAGE }
      for (const suite of ['TLS_AES_256_GCM_SHA384', `TLS_ECDHE_${kind}_WITH_AES_128_GCM_SHA256`] as const) {
        const groups = ['x25519', 'secp256r1', 'secp384r1'] as const
        for (const seen of await client.visitTwice(place, { suite, groups })) {
          assert.equal(seen.protocol, protocolOf(suite), `${algorithm}: ${seen.text}`)
          assert.ok(seen.text.includes(PAGE), seen.text)
        }
      }
    })
  }
}

const browserSkip = isInstalled('chromium') ? skip : 'chromium is not installed'
for (const name of ['p256.hsm.test', 'rsa.tpm.test']) {
  test(`chromium, ${name}`, { skip: browserSkip }, async () => {
    const [leaf = ''] = readFileSync(join(system.folder, `${name}.pem`), 'utf8').split(
      /(?<=END CERTIFICATE-----\n)/,
    )
    const spki = new X509Certificate(leaf).publicKey.export({ format: 'der', type: 'spki' })
    const trustedKey = createHash('sha256').update(spki).digest('base64')
    await using browser = await Browser.start({ hosts: [name], trustedKey })
    const { status, securityDetails } = await browser.visit(`https://${name}:${system.edgePort}/`)
    assert.deepEqual([status, securityDetails.protocol], [200, 'TLS 1.3'])
  })
}

test('metrics of the key server: what each key was asked, how each home is', { skip }, async () => {
  const [, port] = await system.keyServer.line(/Serving metrics endpoint at 127\.0\.0\.1:(\d+)/)
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const value = (line: RegExp): number => Number(line.exec(text)?.[1] ?? Number.NaN)
  const calls = value(
    /latchkey_key_home_calls_total\{key="pkcs11:token=hsm;object=p256\.hsm\.test;id=[^"]*",operation="sign",result="ok"\} (\d+)/,
  )
  assert.ok(calls >= 2, text)
  assert.equal(value(/latchkey_key_home_state\{home="pkcs11:token=hsm",state="up"\} (\d)/), 1)
  assert.equal(value(/latchkey_key_home_state\{home="pkcs11:token=tpm",state="down"\} (\d)/), 0)
  assert.match(text, /latchkey_key_home_call_seconds_bucket\{key="pkcs11:token=tpm;object=rsa/)
  assert.ok(!text.includes('pin-value'))
  const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
  assert.equal(ready.status, 200)
  assert.equal(((await ready.json()) as { conditions: Record<string, string> }).conditions['key_homes'], 'ok')
})
