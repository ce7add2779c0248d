// The policy of a running key server: its reload reaches open connections, and a bad one changes nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Running, start } from './daemon.ts'
import { clientAt, keyServerFolder, portOf, siteKey } from './key-server-fixture.ts'

const SITE = siteKey()
const policy = (rules: string): string => `version: 1\nrules:\n${rules}\n`

/** How many times `line` has been logged is not asked: only that it came after what was logged before. */
async function reload(daemon: Running, line: RegExp): Promise<void> {
  daemon.child.kill('SIGHUP')
  await daemon.said(line)
}

test('a reload gives and takes rights on open connections; a bad policy keeps the one before', async () => {
  using folder = keyServerFolder({ site: SITE }, 'workers: 2\npolicy_file: policy.yaml\n')
  folder.write('policy.yaml', policy('- clients: { cn: somebody-else }'))
  await using daemon = start(folder, ['keyserver'])
  const port = await portOf(daemon)
  const clients = [clientAt(port), clientAt(port)]
  const ask = async (): Promise<string[]> =>
    await Promise.all(
      clients.map((client) =>
        client.request(SITE.request).then(
          () => 'signed',
          (error: Error & { code?: string }) => error.code ?? error.message,
        ),
      ),
    )
  const denied = ['ERR_KEYLESS_KEY_NOT_FOUND', 'ERR_KEYLESS_KEY_NOT_FOUND']
  assert.deepEqual(await ask(), denied)
  await daemon.said(/\[ERROR\] failed to load key with .*: denied by policy: no rule is for this client/)

  folder.write('policy.yaml', policy('- clients: { cn: edge }'))
  await reload(daemon, /SIGHUP: keys: 0 added, 0 removed, 1 kept/)
  assert.deepEqual(await ask(), ['signed', 'signed'])

  folder.write('policy.yaml', policy('- client: { cn: edge }'))
  await reload(daemon, /SIGHUP: not reloaded, going on as before: .*policy\.yaml:3.*did you mean clients\?/)
  assert.deepEqual(await ask(), ['signed', 'signed'])

  folder.write(
    'policy.yaml',
    policy('- clients: { cn: edge }\n  operations: [rsa_decrypt]\n  keys: { label: x.key }'),
  )
  await reload(daemon, /\[WARNING\] policy: rule 1 fits no key that is loaded/)
  await daemon.said(/(SIGHUP: keys: 0 added[^]*){2}/)
  assert.deepEqual(await ask(), denied)
  for (const client of clients) await client[Symbol.asyncDispose]()
})

test('a policy that cannot be read stops the start, and says where', async () => {
  using folder = keyServerFolder({ site: SITE }, 'policy_file: policy.yaml\n')
  await using missing = start(folder, ['keyserver'])
  const first = await missing.ended
  assert.equal(first.code, 1)
  assert.match(first.err, /policy\.yaml\n.*no such file/)
  folder.write('policy.yaml', policy('- operations: [sing]'))
  await using wrong = start(folder, ['keyserver', 'check'])
  const second = await wrong.ended
  assert.equal(second.code, 1)
  assert.match(second.err, /policy\.yaml:3.*\n.*rules\[0\]\.operations/)
})

test('sealing keys are shared by all workers, and an old secret unseals after a reload', async () => {
  const secret = (byte: number): string => Buffer.alloc(32, byte).toString('base64')
  using folder = keyServerFolder({ site: SITE }, 'workers: 2\nseal_secret_file: seal.secrets\n')
  folder.write('seal.secrets', `# today's\n${secret(1)}\n`)
  await using daemon = start(folder, ['keyserver'])
  const port = await portOf(daemon)
  const [one, two] = [clientAt(port), clientAt(port)]
  const ticket = new TextEncoder().encode('ticket')
  const { payload: blob } = await one.request({ opcode: 0x21, payload: ticket })
  const unseal = async (): Promise<unknown> =>
    (await two.request({ opcode: 0x22, payload: blob ?? assert.fail() })).payload
  assert.deepEqual(await unseal(), ticket)
  folder.write('seal.secrets', `${secret(2)}\n${secret(1)}\n`)
  await reload(daemon, /SIGHUP: keys: 0 added/)
  assert.deepEqual(await unseal(), ticket)
  folder.write('seal.secrets', `${secret(2)}\n`)
  daemon.child.kill('SIGHUP')
  await daemon.said(/(SIGHUP: keys: 0 added[^]*){2}/)
  await assert.rejects(unseal(), { code: 'ERR_KEYLESS_SEALING_KEY_EXPIRED' })
  folder.write('seal.secrets', 'short\n')
  await reload(daemon, /SIGHUP: not reloaded, going on as before: .*too short or not base64/)
  for (const client of [one, two]) await client[Symbol.asyncDispose]()
})
