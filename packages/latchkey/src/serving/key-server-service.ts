// A key server as its command sees it, whether it works in this process or in several.
import type { AddressInfo } from 'node:net'
import type { MetricSnapshot } from '@latchkey/core'
import type { ReloadSummary } from '@latchkey/keys'
import type { KeyServerConfig } from '../config/key-server-config.ts'
import type { ReadinessCondition } from '../process/status-server.ts'
import type { UnitStatus } from './key-server-unit.ts'

export interface KeyServerService {
  readonly address: AddressInfo
  /**
   * Puts keys and certificates of `next` in place in every process, or in none.
   *
   * @throws what stands in the way.
   */
  reload(next: KeyServerConfig): Promise<ReloadSummary>
  /** Of each process that works. */
  statuses(): Promise<readonly UnitStatus[]>
  /** What all of them count, those that have ended included. */
  snapshots(): Promise<readonly (readonly MetricSnapshot[])[]>
  /** Ends when all that was under way is done. */
  close(): Promise<void>
}

/**
 * Ready is what can do its work in every process that works.
 *
 * @param isEnding the processes learn of it a moment later.
 */
export function mergeConditions(
  statuses: readonly UnitStatus[],
  isEnding: boolean,
): readonly ReadinessCondition[] {
  const [first] = statuses
  if (first === undefined) return [{ name: 'started', isMet: false }]
  return first.conditions.map(({ name }) => {
    const isMet = statuses.every(
      ({ conditions }) => conditions.find((each) => each.name === name)?.isMet === true,
    )
    return { name, isMet: isMet && !(isEnding && name === 'not_draining') }
  })
}
