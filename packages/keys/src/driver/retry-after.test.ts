import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryAfterMs } from './retry-after.ts'

const NOW = Date.parse('Fri, 27 Nov 2026 12:00:00 GMT')
for (const { value, want } of [
  { value: '2', want: 2000 },
  { value: '0', want: 0 },
  { value: 'Fri, 27 Nov 2026 12:00:05 GMT', want: 5000 },
  { value: 'Fri, 27 Nov 2026 11:00:00 GMT', want: 0 },
  { value: 'soon', want: undefined },
  { value: '', want: undefined },
  { value: null, want: undefined },
]) {
  test(`Retry-After: ${String(value)}`, () => assert.equal(retryAfterMs(value, NOW), want))
}
