// The life of the link to one key server: when to dial, when to wait, when to say at once that it is down. Pure.

/**
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> idle
 *   idle --> dialling: wanted
 *   dialling --> open: dialled
 *   dialling --> backing_off: dial-failed (failing fast)
 *   open --> dialling: lost, had answered
 *   open --> backing_off: lost, never answered
 *   backing_off --> dialling: retry-due, or wanted long after the failure
 *   idle --> closed: close
 *   dialling --> closed: close
 *   open --> closed: close
 *   backing_off --> closed: close
 * ```
 * A link that was wanted once stays up: a key server that restarts is found again without a visitor paying for it.
 *
 * `open` alone does not count as success. In TLS 1.3 a client has finished before the server has looked at its
 * certificate, so a server that refuses us looks open for a moment: only an answer proves a link.
 */
export type Link =
  | { readonly state: 'idle' }
  | { readonly state: 'dialling'; readonly failures: number }
  | { readonly state: 'open'; readonly failures: number; readonly isProven: boolean }
  | {
      readonly state: 'backing-off'
      readonly failures: number
      readonly failedAt: number
      readonly retryAt: number
      /** Requests are refused at once instead of waiting for the next dial. */
      readonly isFailingFast: boolean
    }
  | { readonly state: 'closed' }

export type LinkState = Link['state']

/** `wanted`: a request waits. `answered`: a packet came that could be read. `retry-due`: the wake-up of `wake`. */
export type LinkEvent = 'wanted' | 'dialled' | 'dial-failed' | 'answered' | 'lost' | 'retry-due' | 'close'

export type LinkEffect =
  | { readonly effect: 'dial' }
  | { readonly effect: 'wake'; readonly afterMs: number }
  | { readonly effect: 'refuse-waiting' }
  | { readonly effect: 'hang-up' }

export interface LinkContext {
  /** Milliseconds of a clock that never goes back. */
  readonly now: number
  /** In [0, 1). */
  readonly random: number
  /** Whether somebody asked for this key server lately. */
  readonly isBusy: boolean
}

export interface LinkStep {
  readonly link: Link
  readonly effects: readonly LinkEffect[]
}

/** Full-jitter exponential back-off: a delay is drawn from 0 to min(cap, base · 2^(failures - 1)). */
export const BACK_OFF_BASE_MS = 100
/** A key server that comes back is used again within this time and one dial: well under two seconds. */
export const BUSY_BACK_OFF_CAP_MS = 1000
/** Nobody waits: a fleet of edges need not knock at a dead key server every second. */
export const QUIET_BACK_OFF_CAP_MS = 30_000
/** So many connections in a row lost without an answer are as good as a dial that failed. */
const LOSSES_UNTIL_FAILING_FAST = 2

/** What follows from `event`. Events that make no sense in a state (they crossed) change nothing. */
export function step(link: Link, event: LinkEvent, context: LinkContext): LinkStep {
  if (event === 'close' && link.state !== 'closed') return go({ state: 'closed' }, { effect: 'hang-up' })
  switch (link.state) {
    case 'idle':
      return event === 'wanted' ? dial(0) : stay(link)
    case 'dialling':
      if (event === 'dialled') return go({ state: 'open', failures: link.failures, isProven: false })
      if (event === 'dial-failed') return backOff(link.failures + 1, true, context)
      return stay(link)
    case 'open':
      if (event === 'answered')
        return link.isProven ? stay(link) : go({ ...link, failures: 0, isProven: true })
      if (event === 'lost') return lose(link, context)
      return stay(link)
    case 'backing-off':
      if (event === 'retry-due') return dial(link.failures)
      if (event === 'wanted' && link.isFailingFast) return refuseOrDial(link, context)
      return stay(link)
    case 'closed':
      return stay(link)
    default:
      return link satisfies never
  }
}

/** After a working connection the next one is dialled at once: whoever was waiting on it still waits. */
function lose(link: Link & { state: 'open' }, context: LinkContext): LinkStep {
  if (link.isProven) return dial(0)
  const failures = link.failures + 1
  return backOff(failures, failures >= LOSSES_UNTIL_FAILING_FAST, context)
}

/** The last failure is news only for a while; after that the key server deserves another try right now. */
function refuseOrDial(link: Link & { state: 'backing-off' }, { now }: LinkContext): LinkStep {
  const staleAt = link.failedAt + BUSY_BACK_OFF_CAP_MS
  if (now >= staleAt) return dial(link.failures)
  const refuse: LinkEffect = { effect: 'refuse-waiting' }
  if (link.retryAt <= staleAt) return go(link, refuse)
  return go({ ...link, retryAt: staleAt }, { effect: 'wake', afterMs: staleAt - now }, refuse)
}

function backOff(failures: number, isFailingFast: boolean, { now, random, isBusy }: LinkContext): LinkStep {
  const cap = isBusy ? BUSY_BACK_OFF_CAP_MS : QUIET_BACK_OFF_CAP_MS
  const afterMs = random * Math.min(cap, BACK_OFF_BASE_MS * 2 ** (failures - 1))
  const link: Link = { state: 'backing-off', failures, failedAt: now, retryAt: now + afterMs, isFailingFast }
  const wake: LinkEffect = { effect: 'wake', afterMs }
  return isFailingFast ? go(link, wake, { effect: 'refuse-waiting' }) : go(link, wake)
}

function dial(failures: number): LinkStep {
  return go({ state: 'dialling', failures }, { effect: 'dial' })
}

function go(link: Link, ...effects: readonly LinkEffect[]): LinkStep {
  return { link, effects }
}

function stay(link: Link): LinkStep {
  return { link, effects: [] }
}
