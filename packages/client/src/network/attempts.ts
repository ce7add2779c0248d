// One request at one server after another until one answers: the next when one fails, and one more beside the first when it
// takes longer than its answers usually do (a hedge). A second signature harms nobody.
//
// What can cross: answers of two servers (the first wins, the other is called off), an answer and the caller's abort (the abort
// wins if it is first), a hedge that is due and a failure that starts the next one anyway (one of them does).
import type { Clock } from '@latchkey/core'

export interface Attempt<T> {
  /** Sends the request to the server and settles with its answer. */
  ask(server: number, signal: AbortSignal): Promise<T>
  /** How long to wait for the first of them before the second is asked as well; undefined: not at all. */
  hedgeAfterMs(server: number): number | undefined
  /** Whether it may be, now that the time is up. */
  mayHedge(server: number): boolean
  /** Whether nobody else need be asked after this error. */
  isFinal(error: unknown): boolean
}

/**
 * @param order of servers, at least one.
 * @returns the first answer.
 * @throws the error of the last server that was asked; the signal's reason.
 */
export function firstAnswer<T>(
  order: readonly number[],
  attempt: Attempt<T>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal | undefined },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const others = new AbortController()
    const left = [...order]
    let running = 0
    let isOver = false
    let callOffHedge = (): void => {}
    const end = (): void => {
      isOver = true
      callOffHedge()
      signal?.removeEventListener('abort', onAbort)
      others.abort()
    }
    const onAbort = (): void => {
      end()
      reject(signal?.reason as Error)
    }
    const startNext = (): boolean => {
      const server = left.shift()
      if (server === undefined) return false
      running++
      attempt.ask(server, others.signal).then(
        (answer) => {
          running--
          if (isOver) return undefined
          end()
          return resolve(answer)
        },
        (error: unknown) => {
          running--
          if (isOver) return undefined
          if (!attempt.isFinal(error) && startNext()) return undefined
          if (running > 0) return undefined // the other one may still answer
          end()
          return reject(error)
        },
      )
      return true
    }
    if (signal?.aborted === true) return reject(signal.reason as Error)
    signal?.addEventListener('abort', onAbort, { once: true })
    const [first] = order
    startNext()
    const afterMs = first === undefined ? undefined : attempt.hedgeAfterMs(first)
    if (first === undefined || afterMs === undefined || left.length === 0) return undefined
    callOffHedge = clock.after(afterMs, () => {
      if (!isOver && attempt.mayHedge(first)) startNext()
    })
    return undefined
  })
}
