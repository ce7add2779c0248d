// When a service wants to be asked again.

/**
 * RFC 9110 §10.2.3: seconds, or a date.
 *
 * @returns milliseconds; undefined if there is no such header, or nothing that can be read.
 */
export function retryAfterMs(
  value: string | null | undefined,
  nowMs: number = Date.now(),
): number | undefined {
  if (value === null || value === undefined || value === '') return undefined
  const ms = /^\d{1,6}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}
