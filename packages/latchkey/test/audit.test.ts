// The audit log of a real key server, and the command that proves it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { verifyAudit } from '@latchkey/audit'
import type { KeyServerClient } from '@latchkey/client'
import type { Operation } from '@latchkey/wire'
import { run } from 'latchkey'
import { type Running, start } from './daemon.ts'
import { clientAt, keyServerFolder, portOf, siteKey } from './key-server-fixture.ts'

const SITE = siteKey()

interface AuditRecord {
  readonly event?: string
  readonly client?: string
  readonly peer?: string
  readonly certificate?: string
  readonly client_ip?: string
  readonly sni?: string
  readonly ski?: string
  readonly operation?: string
  readonly request_id?: string
  readonly outcome?: string
  readonly reason?: string
}

function recordsIn(directory: string): AuditRecord[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .toSorted()
    .flatMap((name) => readFileSync(join(directory, name), 'latin1').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as AuditRecord)
}

async function outcome(client: KeyServerClient, operation: Operation): Promise<string> {
  try {
    await client.request(operation)
    return 'signed'
  } catch (error) {
    return String((error as { code?: string }).code)
  }
}

async function ended(daemon: Running): Promise<void> {
  daemon.child.kill('SIGTERM')
  const { code, err } = await daemon.ended
  assert.equal(code, 0, err)
}

async function verified(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const code = await run(['audit', 'verify', ...args], {
    env: {},
    cwd: '/',
    out: (text) => (out += text),
    err: (text) => (err += text),
  })
  return { code, out, err }
}

test('each key use is a record, and what happens to the process is one too', async () => {
  using folder = keyServerFolder({ site: SITE }, 'workers: 1\naudit_dir: audit\n')
  const directory = join(folder.path, 'audit')
  {
    await using daemon = start(folder, ['keyserver'])
    await using client = clientAt(await portOf(daemon))
    const about = {
      serverName: new TextEncoder().encode('www.example.com'),
      clientIp: new Uint8Array([198, 51, 100, 7]),
      requestContext: new TextEncoder().encode('{"request_id":"one"}'),
    }
    assert.equal(await outcome(client, { ...SITE.request, ...about }), 'signed')
    assert.equal(
      await outcome(client, { ...SITE.request, ski: new Uint8Array(20).fill(1) }),
      'ERR_KEYLESS_KEY_NOT_FOUND',
    )
    assert.equal(
      await outcome(client, { ...SITE.request, payload: new Uint8Array(3) }),
      'ERR_KEYLESS_CRYPTOGRAPHY',
    )
    daemon.child.kill('SIGHUP')
    await daemon.said(/SIGHUP: keys: /)
    await client[Symbol.asyncDispose]()
    await ended(daemon)
  }
  const records = recordsIn(directory)
  assert.deepEqual(
    records.map(({ event, outcome: came, reason }) => event ?? `${came} ${reason ?? ''}`.trim()),
    [
      'file',
      'start',
      'ok',
      'not_found ERR_KEYLESS_KEY_NOT_FOUND',
      'failed ERR_KEYLESS_CRYPTOGRAPHY',
      'reload',
      'stop',
    ],
  )
  const signed = records[2]
  assert.match(signed?.peer ?? '', /^127\.0\.0\.1:\d+$/)
  assert.match(signed?.certificate ?? '', /^[0-9a-f]{64}$/)
  assert.deepEqual(
    [signed?.client, signed?.client_ip, signed?.sni, signed?.operation, signed?.request_id, signed?.ski],
    [
      'edge',
      '198.51.100.7',
      'www.example.com',
      'OpECDSASignSHA256',
      'one',
      Buffer.from(SITE.ski).toString('hex'),
    ],
  )
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  const { code, out } = await verified(directory)
  assert.equal(code, 0)
  assert.match(
    out,
    /^audit-0: 7 records in 1 file, 1 to 7, 20\S+Z to 20\S+Z, head [0-9a-f]{64}\nproven: 1 chain/,
  )
})

test('worker processes are killed, and every signature that was given has its record', async () => {
  using folder = keyServerFolder({ site: SITE }, 'workers: 2\naudit_dir: audit\n')
  const directory = join(folder.path, 'audit')
  const signed: string[] = []
  {
    await using daemon = start(folder, ['keyserver'])
    const port = await portOf(daemon)
    const work = async (name: string): Promise<void> => {
      await using client = clientAt(port)
      for (let count = 0; count < 150; count++) {
        const id = `${name}-${count}`
        const requestContext = new TextEncoder().encode(`{"request_id":"${id}"}`)
        if ((await outcome(client, { ...SITE.request, requestContext })) === 'signed') signed.push(id)
        else await delay(20)
      }
    }
    const working = Promise.all([work('a'), work('b'), work('c'), work('d')])
    for (let kills = 0; kills < 2; kills++) {
      await delay(150)
      const children = readFileSync(`/proc/${daemon.child.pid}/task/${daemon.child.pid}/children`, 'utf8')
      const [first] = children.trim().split(' ')
      if (first !== undefined && first !== '') process.kill(Number(first), 'SIGKILL')
    }
    await working
    await ended(daemon)
  }
  assert.ok(signed.length > 100, `${signed.length} signatures`)
  assert.ok(verifyAudit([directory]).isProven)
  const recorded = new Set(recordsIn(directory).map(({ request_id }) => request_id))
  assert.deepEqual(
    signed.filter((id) => !recorded.has(id)),
    [],
  )
})

for (const [onFailure, answer] of [
  ['refuse', 'ERR_KEYLESS_INTERNAL'],
  ['continue', 'signed'],
] as const) {
  test(`a disk that is full, audit_on_failure ${onFailure}: ${answer}, until there is room`, async () => {
    using folder = keyServerFolder(
      { site: SITE },
      `workers: 1\naudit_dir: audit\naudit_on_failure: ${onFailure}\n`,
    )
    const directory = join(folder.path, 'audit')
    {
      await using daemon = start(folder, ['keyserver'])
      await using client = clientAt(await portOf(daemon))
      const [, place] = await daemon.said(/Serving metrics endpoint at (\S+)\/metrics/)
      const ready = async (): Promise<string> => (await fetch(`http://${place}/readyz`)).text()
      assert.equal(await outcome(client, SITE.request), 'signed')
      assert.match(await ready(), /"audit":"ok"/)
      // A limit on the size of a file refuses a write as a full disk does.
      const limit = (bytes: string): void => {
        execFileSync('prlimit', ['--pid', String(daemon.child.pid), `--fsize=${bytes}:`])
      }
      limit(String(statSync(join(directory, 'audit-0.000001.log')).size))
      for (let count = 0; count < 5; count++) assert.equal(await outcome(client, SITE.request), answer)
      assert.match(await ready(), /"not ready".*"audit":"failed"/)
      assert.match(
        (await daemon.said(/\[CRITICAL\] audit: .*/))[0],
        onFailure === 'refuse' ? /key operations are refused: EFBIG/ : /go on unrecorded: EFBIG/,
      )
      limit('unlimited')
      assert.match(await ready(), /"audit":"ok"/)
      await daemon.said(/audit: records are written again/)
      assert.equal(await outcome(client, SITE.request), 'signed')
      const metrics = await (await fetch(`http://${place}/metrics`)).text()
      assert.match(metrics, /^latchkey_audit_unwritten_total 5$/m)
      assert.match(metrics, /^latchkey_audit_records_total 3$/m)
      await client[Symbol.asyncDispose]()
      await ended(daemon)
    }
    assert.ok(verifyAudit([directory]).isProven)
    assert.deepEqual(
      recordsIn(directory).map(({ event, outcome: came }) => event ?? came),
      ['file', 'start', 'ok', 'unwritten', 'ok', 'stop'],
    )
  })
}

test('latchkey audit verify names what was changed, and what is not there', async () => {
  using folder = keyServerFolder({ site: SITE }, 'workers: 1\naudit_dir: audit\n')
  const directory = join(folder.path, 'audit')
  {
    await using daemon = start(folder, ['keyserver'])
    await using client = clientAt(await portOf(daemon))
    for (let count = 0; count < 5; count++) await client.request(SITE.request)
    await client[Symbol.asyncDispose]()
    await ended(daemon)
  }
  const file = join(directory, 'audit-0.000001.log')
  const lines = readFileSync(file, 'latin1').split('\n')
  const [, head = ''] = /head (\S+)/.exec((await verified(directory)).out) ?? []
  assert.equal((await verified(directory, '--expect-head', head)).code, 0)

  writeFileSync(
    file,
    lines.with(4, (lines[4] ?? '').replace('"client":"edge"', '"client":"adge"')).join('\n'),
  )
  const changed = await verified(directory)
  assert.equal(changed.code, 1)
  const offset = lines.slice(0, 4).join('\n').length + 1
  assert.ok(
    changed.out.startsWith(`audit-0: BROKEN (changed) at record 5, ${file}:5, byte ${offset}: `),
    changed.out,
  )
  assert.match(changed.out, /proven before: audit-0: 4 records .*\nNOT PROVEN\n$/)

  writeFileSync(file, `${lines.slice(0, -2).join('\n')}\n`)
  assert.equal((await verified(directory)).code, 0)
  const cut = await verified(directory, '--expect-head', head)
  assert.equal(cut.code, 1)
  assert.match(cut.out, new RegExp(`no record has the expected hash ${head}`))

  const nothing = await verified(join(folder.path, 'keys'))
  assert.equal(nothing.code, 1)
  assert.match(nothing.err, /no file here has a name such as audit-0\.000001\.log \(ERR_AUDIT_DIRECTORY\)/)
})
