// When a delegated credential is made anew: pure, so that a day takes no time to test.
import { CLOCK_SKEW_MS, MAX_VALIDITY_MS } from './delegation.ts'

/** Between a half and two thirds of its life: many that were made together are not renewed together. */
export function renewAtMs(issuedAtMs: number, expiresAtMs: number, random: number): number {
  return issuedAtMs + (expiresAtMs - issuedAtMs) * (1 / 2 + random / 6)
}

const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 600_000

/** Doubles from a second to ten minutes, each a half to the whole of it. @param failures in a row, 1 or more. */
export function retryDelayMs(failures: number, random: number): number {
  const whole = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS)
  return whole * (0.5 + random / 2)
}

/**
 * The end of one that is made now: not after the certificate's, and so that a client whose clock is behind does not see
 * more than seven days of it.
 */
export function expiryMs(nowMs: number, lifetimeMs: number, notAfterMs: number): number {
  return Math.min(nowMs + Math.min(lifetimeMs, MAX_VALIDITY_MS - CLOCK_SKEW_MS), notAfterMs)
}
