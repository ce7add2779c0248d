import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { SealingKeys } from './sealing-keys.ts'

const DAY = 86_400
const SECRET = Buffer.alloc(32, 1)
const OTHER = Buffer.alloc(40, 2)
const START = Date.UTC(2026, 0, 10)

function keys(secrets: readonly Uint8Array[] = [SECRET], day = 0): SealingKeys {
  return new SealingKeys({
    secrets,
    rotationSeconds: DAY,
    keptRotations: 7,
    now: () => new Date(START + day * DAY * 1000),
  })
}

describe('sealing keys', () => {
  it('give back what was sealed, by anyone with the secret', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (content) => {
        const sealed = keys().seal(content)
        assert.equal(Buffer.compare(keys([OTHER, SECRET]).unseal(sealed) as Uint8Array, content), 0)
        assert.equal(sealed.length, content.length + 41)
      }),
    )
  })

  it('seal the same content differently each time', () => {
    const one = keys()
    assert.notDeepEqual(one.seal(Buffer.from('a')), one.seal(Buffer.from('a')))
  })

  for (const [days, expected] of [
    [-2, 'expired'],
    [-1, 'ok'],
    [0, 'ok'],
    [7, 'ok'],
    [8, 'expired'],
  ] as const) {
    it(`${expected} ${days} days later`, () => {
      const unsealed = keys([SECRET], days).unseal(keys().seal(Buffer.from('ticket')))
      assert.equal(typeof unsealed === 'string' ? unsealed : 'ok', expected)
    })
  }

  it('a secret that is retired', () => {
    assert.equal(keys([OTHER]).unseal(keys().seal(Buffer.from('ticket'))), 'expired')
  })

  it('anything changed, cut or made up', () => {
    const one = keys()
    const sealed = one.seal(Buffer.from('ticket'))
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = new Uint8Array(sealed)
        changed[at] = (changed[at] as number) ^ bits
        assert.equal(typeof one.unseal(changed), 'string')
      }),
    )
    for (let length = 0; length < sealed.length; length++) {
      assert.equal(one.unseal(sealed.subarray(0, length)), 'invalid')
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof one.unseal(bytes) === 'string'),
    )
  })

  it('a secret that is too short, and none', () => {
    for (const secrets of [[randomBytes(31)], []]) {
      assert.throws(() => keys(secrets), { code: 'ERR_KEYSERVER_SEAL_SECRET' })
    }
  })
})
