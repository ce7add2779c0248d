// A key server in several processes. This one holds no key and no connection: it starts the others, hands out what they
// accept, and reloads all of them or none.
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { hostAndPort, type Logger, MetricHistory } from '@latchkey/core'
import type { ReloadSummary } from '@latchkey/keys'
import { WorkerPool } from '../process/worker-pool.ts'
import type { KeyServerService } from './key-server-service.ts'
import type { UnitStatus } from './key-server-unit.ts'
import type { WorkerStart } from './key-server-worker.ts'

const COMMAND = fileURLToPath(new URL('../../bin/latchkey.js', import.meta.url))
const STATUS_MS = 2000
/** Nothing that a worker does takes so long: a signature of RSA-8192 takes ten milliseconds. */
const STUCK_MS = 30_000
/** Ten thousand keys load in a few seconds; a directory on a slow network takes longer. */
const LOAD_MS = 120_000
const COMMIT_MS = 5000
/** As long as connections may take to drain, and some for the processes to end. */
const END_MS = 10_000
/** libuv's own default, which other work of the process counts on. */
const MIN_POOL_THREADS = 4

export interface WorkersOptions extends Omit<WorkerStart, 'index' | 'count' | 'isLate'> {
  readonly workers: number
  readonly listenSocket: string | undefined
  /** Calls of a worker that hold a thread of libuv's pool, besides signatures with keys of files. */
  readonly blockingCalls: number
  /** A worker that does not answer for so long is replaced. */
  readonly stuckMs?: number | undefined
  readonly logger: Logger
}

/** Resolves when all of them listen. @throws {WorkerStartError} in the words of the first that fails. */
export async function serveInWorkers({
  workers,
  listenSocket,
  blockingCalls,
  stuckMs = STUCK_MS,
  logger,
  ...start
}: WorkersOptions): Promise<KeyServerService> {
  const pool = await WorkerPool.start({
    count: workers,
    exec: COMMAND,
    args: ['keyserver-worker'],
    execArgv: process.execArgv,
    cwd: process.cwd(),
    // One more than the operations that run beside the event loop, for the files that a reload reads.
    env: {
      UV_THREADPOOL_SIZE: String(blockingCalls + Math.max(MIN_POOL_THREADS, availableParallelism() + 1)),
    },
    // A wrong PIN must be tried once, not once by each.
    isFirstAlone: blockingCalls > 0,
    stuckMs,
    startValue: (index, isLate): WorkerStart => ({ ...start, index, count: workers, isLate }),
    logger,
  })
  const [address] = await pool.ask<AddressInfo>('address', undefined, STATUS_MS)
  if (address === undefined) throw new Error('no worker is left')
  logger.info(`Listening at tcp://${hostAndPort(address.address, address.port)}`)
  if (listenSocket !== undefined) logger.info(`Listening at unix:${listenSocket}`)
  const history = new MetricHistory()
  const statuses = (): Promise<UnitStatus[]> => pool.askSome<UnitStatus>('status', STATUS_MS)
  return {
    address,
    reload: async () => {
      try {
        await pool.ask('prepare', undefined, LOAD_MS)
      } catch (error) {
        await pool.ask('forget', undefined, COMMIT_MS).catch(() => {}) // who does not answer now ends anyway
        throw error
      }
      const summaries = await pool.ask<ReloadSummary | undefined>('commit', undefined, COMMIT_MS)
      const summary = summaries.find((each) => each !== undefined) // a worker that started meanwhile has none
      if (summary === undefined) throw new Error('no worker is left')
      return summary
    },
    statuses,
    snapshots: async () => {
      const answers = await statuses()
      history.update(new Set(pool.pids), answers)
      return history.snapshots()
    },
    close: () => pool.close(END_MS),
  }
}
