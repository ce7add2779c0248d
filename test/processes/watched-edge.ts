// An edge that tells how long its event loop was held up.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createEdge, type EdgeHost, type KeyServerTls } from '@latchkey/edge'
import { answerParent } from '../support/child-side.ts'

export interface WatchedEdge {
  readonly start: {
    readonly host: Omit<EdgeHost, 'origin'> & { readonly origin: string }
    readonly keyServerTls: KeyServerTls
  }
}

/** Milliseconds between two looks at the clock. */
const RESOLUTION_MS = 5

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })

/** `{ start }` begins; anything else asks for the longest hold-up, in milliseconds, since the last question. */
answerParent(async (message: Partial<WatchedEdge>): Promise<object> => {
  if (message.start !== undefined) {
    const { host, keyServerTls } = message.start
    const hosts = [{ ...host, origin: new URL(host.origin) }]
    const edge = createEdge({ hosts, keyServerTls, listen: { port: 0 } })
    const { port } = await edge.listen()
    delays.enable()
    return { port }
  }
  const longestMs = delays.max / 1e6 - RESOLUTION_MS
  delays.reset()
  return { longestMs, rss: process.memoryUsage.rss() }
})
