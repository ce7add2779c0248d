// Whether a secret shows where things are looked at: row 48 of the tests that must exist.
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { toHex } from './bytes.ts'

/** The ways bytes look in an inspected object, long enough not to be there by chance. */
function appearances(secret: Uint8Array): string[] {
  const part = secret.subarray(0, 8)
  return [
    toHex(part),
    Array.from(part, (byte) => byte.toString(16).padStart(2, '0')).join(' '),
    Array.from(part).join(', '),
    Array.from(part).join(','),
    Array.from(part, (byte, index) => `"${index}":${byte}`).join(','),
    Buffer.from(secret).toString('base64').slice(0, 10),
    Buffer.from(secret).toString('base64url').slice(0, 10),
  ]
}

export function assertHidden(
  shown: string,
  secrets: readonly (Uint8Array | undefined)[],
  where: string,
): void {
  for (const secret of secrets) {
    assert.ok(secret !== undefined)
    for (const text of appearances(secret))
      assert.equal(shown.includes(text), false, `${where} shows ${text}`)
  }
}

/** All that `util.inspect` can be made to show. */
export function inspected(...things: readonly unknown[]): string {
  const options = { depth: Number.POSITIVE_INFINITY, showHidden: true, maxArrayLength: null } as const
  // Numbers are set in columns: one space after a comma is enough.
  return things
    .map((thing) => inspect(thing, options))
    .join('\n')
    .replaceAll(/,\s+/g, ', ')
}

/** The same and their JSON. */
export function show(...things: readonly unknown[]): string {
  const json = things.map((thing) =>
    JSON.stringify(thing, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
  )
  return [inspected(...things), ...json].join('\n').replaceAll(/,\s+/g, ', ')
}
