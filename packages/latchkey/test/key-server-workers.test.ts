// A key server of several processes: what ends is replaced, and a reload is in all of them or in none.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeyServerClient } from '@latchkey/client'
import { type Running, start } from './daemon.ts'
import { parseExposition } from './exposition.ts'
import { clientAt, keyServerFolder, portOf, siteKey, type SiteKey } from './key-server-fixture.ts'

const SITE = siteKey()
const OTHER = siteKey()
const WORKERS = 3

/** Enough connections, handed out in turn, for each worker to have one. */
function clientsOfAll(port: number): KeyServerClient[] {
  return Array.from({ length: WORKERS }, () => clientAt(port))
}

async function outcomes(clients: readonly KeyServerClient[], { request }: SiteKey): Promise<string[]> {
  return Promise.all(
    clients.map(async (client) => {
      try {
        await client.request(request)
        return 'signed'
      } catch (error) {
        return String((error as { code?: string }).code)
      }
    }),
  )
}

function workersOf({ child }: Running): number[] {
  const text = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

/** Requests that all workers have counted, those of workers that ended included. */
async function countedRequests(daemon: Running): Promise<number> {
  const [, place] = await daemon.said(/Serving metrics endpoint at (\S+)/)
  const families = parseExposition(await (await fetch(`http://${place}`)).text())
  const samples = families.get('keyless_requests')?.samples ?? []
  return samples.reduce((sum, { value }) => sum + value, 0)
}

const same = (outcome: string): string[] => Array.from({ length: WORKERS }, () => outcome)

test('a worker that is killed takes only its own connections with it, and is replaced', async () => {
  using folder = keyServerFolder({ site: SITE }, `workers: ${WORKERS}\n`)
  await using daemon = start(folder, ['keyserver'])
  const port = await portOf(daemon)
  const clients = clientsOfAll(port)
  assert.deepEqual(await outcomes(clients, SITE), same('signed'))
  const [first, ...others] = workersOf(daemon)
  assert.equal(others.length, WORKERS - 1)
  assert.equal(await countedRequests(daemon), WORKERS)
  process.kill(first as number, 'SIGKILL')
  await daemon.said(/\[ERROR\] worker \d ended: SIGKILL; another one starts in \d+ ms/)
  // The client whose connection is gone dials again and finds another worker; at once, unless its first attempt was
  // handed to the worker whose end was not known yet. The others notice nothing.
  for (let attempt = 0; ; attempt++) {
    const lost = (await outcomes(clients, SITE)).filter((outcome) => outcome !== 'signed')
    if (lost.length === 0) break
    assert.ok(lost.length === 1 && attempt < 50, lost.join())
    await delay(100)
  }
  await daemon.said(/worker \d is up again/)
  assert.equal(workersOf(daemon).length, WORKERS)
  assert.ok((await countedRequests(daemon)) >= 2 * WORKERS, 'counts of the worker that ended are lost')
  for (const client of clients) await client[Symbol.asyncDispose]()
  daemon.child.kill('SIGTERM')
  const { code, err } = await daemon.ended
  assert.equal(code, 0)
  assert.equal(err.match(/SIGTERM: finishing/g)?.length, 1, 'said once, not by each process')
})

test('a worker that is stuck is killed and replaced', async () => {
  using folder = keyServerFolder({ site: SITE }, 'workers: 2\n')
  await using daemon = start(folder, ['keyserver'], { env: { WATCHDOG_USEC: '3000000' } })
  await portOf(daemon)
  const [first, second] = workersOf(daemon)
  process.kill(first as number, 'SIGSTOP') // as good as an endless loop
  const [, index] = await daemon.said(
    /\[ERROR\] worker (\d) has not answered for 3000 ms: its event loop is stuck\n/,
  )
  await daemon.said(new RegExp(`worker ${index} is up again`))
  const after = workersOf(daemon)
  assert.ok(after.length === 2 && after.includes(second as number) && !after.includes(first as number))
})

test('a reload is in all workers, or in none', async () => {
  using folder = keyServerFolder({ site: SITE }, `workers: ${WORKERS}\n`)
  await using daemon = start(folder, ['keyserver'])
  const clients = clientsOfAll(await portOf(daemon))
  assert.deepEqual(await outcomes(clients, OTHER), same('ERR_KEYLESS_KEY_NOT_FOUND'))
  folder.write('keys/other.key', OTHER.pem)
  folder.write('keys/broken.key', 'garbage')
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: not reloaded, going on as before: .*broken\.key/)
  assert.deepEqual(await outcomes(clients, OTHER), same('ERR_KEYLESS_KEY_NOT_FOUND'))
  assert.deepEqual(await outcomes(clients, SITE), same('signed'))
  folder.write('keys/broken.key', siteKey().pem)
  daemon.child.kill('SIGHUP')
  await daemon.said(/SIGHUP: keys: 2 added, 0 removed, 1 kept/)
  assert.deepEqual(await outcomes(clients, OTHER), same('signed'))
  for (const client of clients) await client[Symbol.asyncDispose]()
})

test('what stops the start is reported once, and nothing is left running', async () => {
  using folder = keyServerFolder({ site: SITE }, `workers: ${WORKERS}\n`)
  folder.write('keys/broken.key', 'garbage')
  await using daemon = start(folder, ['keyserver'])
  const { code, err } = await daemon.ended
  assert.equal(code, 1)
  assert.equal(err.match(/ERR_KEYS_FORMAT/g)?.length, 1, err)
  assert.match(err, /broken\.key/)
})

test('workers end with the process that supervises them', async () => {
  using folder = keyServerFolder({ site: SITE }, `workers: ${WORKERS}\n`)
  await using daemon = start(folder, ['keyserver'])
  await portOf(daemon)
  const pids = workersOf(daemon)
  assert.equal(pids.length, WORKERS)
  daemon.child.kill('SIGKILL')
  await daemon.ended
  const isAlive = (pid: number): boolean => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  for (let waited = 0; pids.some(isAlive) && waited < 5000; waited += 50) await delay(50)
  assert.deepEqual(pids.filter(isAlive), [])
})
