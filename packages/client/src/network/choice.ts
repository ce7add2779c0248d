// Which key server is asked, and who after it: a function of what was observed, and of chance where several are as good.
import type { Observed } from './server-record.ts'

/** So much farther is as near: it is not worth all of the load. */
const NEAR_RATIO = 1.25
const NEAR_MS = 1
/** A server that has not been measured is taken for this far: after those that are known to be near, before the far ones. */
const UNKNOWN_RTT_MS = 50

/**
 * The servers in the order in which they are asked, by index.
 *
 * Those that are connected and have room come first; then those without a connection, those that are full, and last those that
 * failed, for nobody else may be left. Among the first, the nearest: round trip, its deviation, and what answers took beyond it.
 * Of those that are as near, two are drawn and the one with less to do is taken (the power of two choices): all asking the
 * one that is least busy would make it the busiest.
 *
 * @param random in [0, 1).
 */
export function choose(servers: readonly Observed[], random: () => number): number[] {
  const ranked = servers
    .map((server, index) => ({ index, tier: tierOf(server, random), cost: costOf(server) }))
    .toSorted((a, b) => a.tier - b.tier || a.cost - b.cost)
  const [best] = ranked
  if (best === undefined) return []
  const near = ranked.filter(
    ({ tier, cost }) => tier === best.tier && cost <= best.cost * NEAR_RATIO + NEAR_MS,
  )
  const first = lessBusy(near, servers, random)
  return [first, ...ranked.map(({ index }) => index).filter((index) => index !== first)]
}

function tierOf(server: Observed, random: () => number): number {
  if (server.isEjected) return 4
  if (server.lacksKey) return 3
  if (server.inFlight >= server.maxInFlight) return 2
  if (!server.isConnected) return 1
  // Just back: now and then one request, more with time.
  return server.returned >= 1 || random() < server.returned ? 0 : 1
}

function costOf({ rttMs = UNKNOWN_RTT_MS, rttDeviationMs, serviceMs }: Observed): number {
  return rttMs + rttDeviationMs + serviceMs
}

function lessBusy(
  near: readonly { readonly index: number }[],
  servers: readonly Observed[],
  random: () => number,
): number {
  const draw = (): number => near[Math.floor(random() * near.length)]?.index ?? 0
  const [one, other] = [draw(), draw()]
  return loadOf(servers[one]) <= loadOf(servers[other]) ? one : other
}

function loadOf(server: Observed | undefined): number {
  return server === undefined ? 0 : server.inFlight / server.maxInFlight
}
