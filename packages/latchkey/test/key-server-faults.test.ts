// What happens to a key server in production, and what its clients notice of it.
import assert from 'node:assert/strict'
import { verify } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { createKeyServerClient, type KeyServerClient } from '@latchkey/client'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { type Running, start } from './daemon.ts'
import {
  clientAt,
  keyServerFolder,
  linkCa,
  linkIdentity,
  portOf,
  siteKey,
  type SiteKey,
} from './key-server-fixture.ts'

const EC = siteKey('ec')
const RSA = siteKey('rsa')

/** Asks one after the other until told to stop, and counts what came back. */
function keepAsking(
  client: KeyServerClient,
  key: SiteKey,
): { stop: () => Promise<[ok: number, failed: string[]]> } {
  const stop = new AbortController()
  const failed: string[] = []
  let ok = 0
  const run = (async () => {
    while (!stop.signal.aborted) {
      try {
        const { payload } = await client.request(key.request)
        // Now and then: is it really a signature?
        if (ok++ % 50 === 0) assert.ok(payload !== undefined && payload.length > 60)
      } catch (error) {
        failed.push((error as Error).message)
        await delay(20)
      }
    }
  })()
  return {
    stop: async () => {
      stop.abort()
      await run
      return [ok, failed]
    },
  }
}

test('reloads under load lose no request', async () => {
  using folder = keyServerFolder({ ec: EC, rsa: RSA }, 'workers: 2\n')
  await using daemon = start(folder, ['keyserver'])
  const port = await portOf(daemon)
  const clients = [EC, RSA, EC, RSA].map((key) => ({ key, client: clientAt(port) }))
  const asking = clients.map(({ key, client }) => keepAsking(client, key))
  for (let reload = 1; reload <= 5; reload++) {
    await delay(200)
    folder.write(`keys/more-${reload}.key`, siteKey().pem)
    daemon.child.kill('SIGHUP')
    await daemon.said(new RegExp(`(SIGHUP: keys: 1 added[^]*){${reload}}`))
  }
  await delay(200)
  for (const each of asking) {
    const [ok, failed] = await each.stop()
    assert.deepEqual(failed, [])
    assert.ok(ok > 50, `${ok} requests`)
  }
  for (const { client } of clients) await client[Symbol.asyncDispose]()
})

test('killed and started again: clients go on within seconds, by themselves', async () => {
  using folder = keyServerFolder({ ec: EC }, 'workers: 2\n')
  const first = start(folder, ['keyserver'])
  const port = await portOf(first)
  const client = clientAt(port)
  await client.request(EC.request)
  first.child.kill('SIGKILL')
  await first.ended
  folder.write(
    'gokeyless.yaml',
    readFileSync(join(folder.path, 'gokeyless.yaml'), 'utf8').replace('port: 0', `port: ${port}`),
  )
  // The port is free as soon as its workers have noticed, too.
  await using again = await restarted(() => start(folder, ['keyserver']))
  assert.equal(await portOf(again), port)
  const asking = keepAsking(client, EC)
  await delay(3000)
  const [ok] = await asking.stop()
  assert.ok(ok > 50, `${ok} requests`)
  await client[Symbol.asyncDispose]()
})

async function restarted(run: () => Running): Promise<Running> {
  for (let attempt = 0; ; attempt++) {
    const daemon = run()
    try {
      await portOf(daemon)
      return daemon
    } catch (error) {
      if (attempt === 10) throw error
      await delay(200)
    }
  }
}

test('the CA is changed: new connections go by the new one, open ones go on', async () => {
  using folder = keyServerFolder({ ec: EC }, 'workers: 2\n')
  await using daemon = start(folder, ['keyserver'])
  const port = await portOf(daemon)
  const old = clientAt(port)
  await old.request(EC.request)
  const newCa = await createThrowawayCa({ commonName: 'new link CA' })
  const { chainPem, privateKeyPem } = await newCa.issue({
    commonName: 'edge',
    extendedKeyUsages: ['clientAuth'],
  })
  const newcomer = (): KeyServerClient =>
    createKeyServerClient({
      host: '127.0.0.1',
      port,
      ca: linkCa.certificatePem,
      cert: chainPem,
      key: privateKeyPem,
      drainTimeoutMs: 500,
    })
  const tooEarly = newcomer()
  await assert.rejects(tooEarly.request(EC.request, { timeoutMs: 2000 }))
  await tooEarly[Symbol.asyncDispose]()

  folder.write('keyless_cacert.pem', newCa.certificatePem)
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: keys: 0 added, 0 removed, 1 kept; certificates and CA loaded again/)
  const welcome = newcomer()
  const { payload } = await welcome.request(EC.request)
  assert.ok(payload !== undefined)
  assert.ok(!verify('sha256', Buffer.from('other'), EC.publicKey, payload))
  await old.request(EC.request)
  const late = clientAt(port)
  await assert.rejects(late.request(EC.request, { timeoutMs: 2000 }))
  for (const client of [old, welcome, late]) await client[Symbol.asyncDispose]()
})

test('a key file that turns to garbage stops a reload and a start, and says which it is', async () => {
  using folder = keyServerFolder({ ec: EC }, 'workers: 2\n')
  await using daemon = start(folder, ['keyserver'])
  const client = clientAt(await portOf(daemon))
  folder.write('keys/ec.key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n')
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: not reloaded, going on as before: .*ec\.key.*ERR_KEYS_FORMAT/)
  await client.request(EC.request)
  await client[Symbol.asyncDispose]()
  await using again = start(folder, ['keyserver'])
  const { code, err } = await again.ended
  assert.equal(code, 1)
  assert.match(err, /ec\.key/)
})

test('a Unix socket is served by all workers, and one that a killed process left is no obstacle', async () => {
  using folder = keyServerFolder({ ec: EC }, 'workers: 2\nlisten_socket: keyless.sock\n')
  const path = join(folder.path, 'keyless.sock')
  const ping = async (): Promise<void> => {
    const socket = connect({ path, ...linkIdentity, checkServerIdentity: () => undefined })
    socket.write(encodePacket(1, { opcode: OPCODES.OpPing.code }))
    const [reply] = (await once(socket, 'data')) as [Buffer]
    assert.equal(reply[11], OPCODES.OpPong.code)
    socket.destroy()
  }
  const first = start(folder, ['keyserver'])
  await first.said(/Listening at unix:.*keyless\.sock/)
  await Promise.all([ping(), ping(), ping()])
  first.child.kill('SIGKILL')
  await first.ended
  assert.ok(existsSync(path), 'a process that is killed tidies nothing')
  await using again = start(folder, ['keyserver'])
  await again.said(/Listening at unix:/)
  await ping()
  again.child.kill('SIGTERM')
  assert.equal((await again.ended).code, 0)
  assert.ok(!existsSync(path))
})

for (const [clock, outcome] of [
  ['2020-01-01T00:00:00Z', /which begins on/],
  ['2099-01-01T00:00:00Z', /which ended on/],
] as const) {
  test(`started when the clock says ${clock}: refused, with what would help`, async () => {
    using folder = keyServerFolder({ ec: EC }, 'workers: 2\n')
    await using daemon = start(folder, ['keyserver', '--current-time', clock])
    const { code, err } = await daemon.ended
    assert.equal(code, 1)
    assert.match(err, outcome)
  })
}
