// What any process says about itself: the `process_…` metrics that exporters agree on, and Node's event loop and heap.
import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { GaugeMerge, MetricRegistry } from '@latchkey/core'

const LAG_RESOLUTION_MS = 20

/** Counts into `registry` until it is disposed. What this system does not tell is left out. */
export function observeProcess(registry: MetricRegistry): Disposable {
  const cpu = registry.counter('process_cpu_seconds_total', { help: 'User and system CPU time in seconds.' })
  const cpuSeries = cpu.series()
  const gauge = (name: string, help: string, merge: GaugeMerge = 'sum'): ((value: number) => void) =>
    registry.number(name, { help, merge })
  const resident = gauge('process_resident_memory_bytes', 'Resident memory in bytes.')
  const virtual = gauge('process_virtual_memory_bytes', 'Virtual memory in bytes.')
  const openFds = gauge('process_open_fds', 'Open file descriptors.')
  const maxFds = gauge('process_max_fds', 'Most file descriptors that may be open.')
  const start = gauge('process_start_time_seconds', 'Start of the process, Unix time.', 'min')
  const heap = gauge('nodejs_heap_size_used_bytes', 'Bytes of the JavaScript heap in use.')
  const external = gauge('nodejs_external_memory_bytes', 'Bytes outside of the heap that objects hold.')
  const lagMean = gauge(
    'nodejs_eventloop_lag_mean_seconds',
    'Mean delay of the event loop since last asked.',
    'max',
  )
  const lagP99 = gauge('nodejs_eventloop_lag_p99_seconds', '99th percentile of the same.', 'max')
  const lagMax = gauge('nodejs_eventloop_lag_max_seconds', 'The longest of the same.', 'max')
  const version = registry.gauge('nodejs_version_info', {
    help: 'Version of Node.js.',
    labelNames: ['version'],
    merge: 'max',
  })
  version.set(version.series(process.version), 1)
  start(Math.floor(performance.timeOrigin) / 1000)

  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
  lag.enable()
  registry.beforeSnapshot(() => {
    const { user, system } = process.cpuUsage()
    cpu.setTotal(cpuSeries, (user + system) / 1e6)
    const memory = process.memoryUsage()
    resident(memory.rss)
    heap(memory.heapUsed)
    external(memory.external)
    virtual(virtualBytes())
    openFds(openFileCount())
    maxFds(maxFileCount())
    // The histogram is of the timer's intervals: what is above its resolution is delay. Empty, its mean is no number.
    const delay = (ns: number): number => Math.max(0, ns / 1e9 - LAG_RESOLUTION_MS / 1000)
    lagMean(delay(lag.mean))
    lagP99(delay(lag.percentile(99)))
    lagMax(delay(lag.max))
    lag.reset()
  })
  return { [Symbol.dispose]: () => void lag.disable() }
}

/** Linux; NaN elsewhere, which is not shown. */
function virtualBytes(): number {
  const kilobytes = /^VmSize:\s+(\d+) kB$/m.exec(readText('/proc/self/status'))?.[1]
  return kilobytes === undefined ? Number.NaN : Number(kilobytes) * 1024
}

function openFileCount(): number {
  try {
    return readdirSync('/proc/self/fd').length - 1 // the one that reads the directory
  } catch {
    return Number.NaN
  }
}

function maxFileCount(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readText('/proc/self/limits'))?.[1] ?? Number.NaN)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
