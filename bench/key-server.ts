// The key server daemon under load from a client on the same machine, against what OpenSSL does on one core of it.
import { generateKeyPair } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type LoadShape, residentMb, startKeyServer, type Work, workersOf } from './support/key-server.ts'
import { OPENSSL_SPEED, opensslSpeed } from './support/openssl-speed.ts'
import { type Bench, type Round, summarise, type Summary } from './support/report.ts'

const ROUNDS = 5
const SECONDS = 2
const BUSY: LoadShape = { connections: 2, inFlight: 64, seconds: SECONDS }
const ONE_BY_ONE: LoadShape = { connections: 1, inFlight: 1, seconds: SECONDS }

type Rate = Pick<Summary, 'id' | 'unit' | 'goal'> & {
  readonly work: Work
  readonly floor: keyof typeof OPENSSL_SPEED
}

const RATES: readonly Rate[] = [
  { id: 'keyserver-ecdsa', work: 'ecdsa', unit: 'signatures/s', floor: 'p256', goal: 0.63 },
  { id: 'keyserver-rsa', work: 'rsa', unit: 'signatures/s', floor: 'rsa2048', goal: 1.2 },
  { id: 'keyserver-ping', work: 'ping', unit: 'pings/s', floor: 'p256', goal: 1.6 },
]

export const keyServerRates: readonly Bench[] = RATES.map(({ id, work, unit, floor, goal }) => ({
  id,
  about: 'replies/s of the daemon, 2 connections x 64 in flight, against openssl speed on one core',
  async run() {
    await using keyServer = await startKeyServer()
    const load = await keyServer.client()
    await load(work, BUSY) // warm
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const { perSecond, errors } = await load(work, BUSY)
      if (errors > 0) throw new Error(`${errors} requests were answered with an error`)
      rounds.push({ ours: perSecond, peer: await opensslSpeed(OPENSSL_SPEED[floor], 1) })
    }
    const { p50, p99 } = await load(work, ONE_BY_ONE)
    const note =
      `One at a time on one connection: p50 ${p50.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms. ` +
      'The client shares the cores with the daemon. The rest goes to TLS records, frames and the event loop.'
    return [summarise({ id, unit, peer: `openssl ${OPENSSL_SPEED[floor].algorithm}`, goal, note }, rounds)]
  },
}))

/** How long a flood may make a ping wait: 5 ms. */
const PING_P99_MS = 5

export const pingUnderRsa: Bench = {
  id: 'keyserver-ping-under-rsa',
  about: 'p99 of one ping at a time while another client floods RSA-4096, against 5 ms',
  async run() {
    await using keyServer = await startKeyServer()
    const ping = await keyServer.client()
    const flood = await keyServer.client()
    await ping('ping', ONE_BY_ONE)
    const rounds: Round[] = []
    const floods: number[] = []
    const alone = await ping('ping', ONE_BY_ONE)
    for (let round = 0; round < ROUNDS; round++) {
      const flooding = flood('rsa4096', { connections: 1, inFlight: 64, seconds: SECONDS + 1 })
      const { p99 } = await ping('ping', ONE_BY_ONE)
      rounds.push({ ours: p99, peer: PING_P99_MS })
      floods.push((await flooding).perSecond)
    }
    const note =
      `Without the flood: p99 ${alone.p99.toFixed(2)} ms. The flood got ${Math.max(...floods).toFixed(0)} ` +
      'signatures/s of its 64 in flight: RSA runs on other threads, in turn for each client.'
    return [
      summarise(
        { id: 'keyserver-ping-under-rsa', unit: 'ms', peer: 'limit', goal: 1, isLessBetter: true, note },
        rounds,
      ),
    ]
  },
}

const MANY_KEYS = 10_000
const LOAD_LIMIT_S = 3
const RSS_LIMIT_MB = 150

export const load10k: Bench = {
  id: 'keyserver-load-10k',
  about: 'seconds until the daemon serves 10,000 keys, and the memory of a worker',
  async run() {
    const pems = await manyKeys(MANY_KEYS)
    const rounds: Round[] = []
    const resident: number[] = []
    for (let round = 0; round < 3; round++) {
      await using keyServer = await startKeyServer({
        prepare: (folder) =>
          pems.forEach((pem, index) => writeFileSync(join(folder, 'keys', `${index}.key`), pem)),
      })
      rounds.push({ ours: keyServer.startMs / 1000, peer: LOAD_LIMIT_S })
      for (const pid of workersOf(keyServer.pid)) resident.push(residentMb(pid))
    }
    const memory = Math.max(...resident)
    const note =
      'From the start of the process to an open port, one in ten of the keys RSA-2048, the others P-256. ' +
      `Memory of a worker: ${memory.toFixed(0)} MB (limit ${RSS_LIMIT_MB}${memory > RSS_LIMIT_MB ? ', NOT MET' : ', met'}).`
    return [
      summarise(
        { id: 'keyserver-load-10k', unit: 's', peer: 'limit', goal: 1, isLessBetter: true, note },
        rounds,
      ),
    ]
  },
}

/** One in ten is of RSA, which takes a while to make: on all cores at once. */
async function manyKeys(count: number): Promise<string[]> {
  const make = promisify(generateKeyPair)
  const pem = { format: 'pem', type: 'pkcs8' } as const
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { privateKey } =
        index % 10 === 0
          ? await make('rsa', { modulusLength: 2048 })
          : await make('ec', { namedCurve: 'P-256' })
      return privateKey.export(pem)
    }),
  )
}
