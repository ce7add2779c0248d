import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import { subjectKeyIdentifier } from './ski.ts'

// The identifiers are what `openssl req -x509 -addext subjectKeyIdentifier=hash` wrote into certificates of these keys
// (OpenSSL 3.0.19): it computes them by the same method.
const KEYS = [
  {
    name: 'EC',
    ski: '5cbae3a2fa3b75fce225f8abac4ca7956b83592b',
    spki: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGophzcB0p+b9pDKNjhAOES1E/LnClWcAW6+SxyOebNePtzKSyAG+koYZEw+DloroBsUEZQ/sraA+PeHzMAmFMw==',
  },
  {
    name: 'RSA',
    ski: 'b48a6209372d0d8265355fcd09770fbeb81334f2',
    spki: 'MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlqXGqSuKeJ8urm1KSd+Gp6eO5ifsH4c+ZD88NrTAwGC74734xKycccz4wJfFHe6ii0vrXCZCLHo1Dci6ZT46sLrpJlA8MyIqvQT/cArsd0kbGr0qM6mpcpVWwavyWA6cL8K5lx17HH071RAg4LUpR2MpkiNy7VZPzCqlLulv0tHCjax7He4Yo92qbWm4I6HRVKJ7wif3PUMEM7BpYDU0tcTbiXL0x6jiMsEmKii6KFa01bBOzFakwpt56PUrPH3A0cpkgBDy/N4HagcaOfzNy5B3WAKqrFXemykcJY+XU9NvlDgrIH+M6dmZGlxkOMEL0JawylsZQMNn4YX/FMHIawIDAQAB',
  },
  {
    name: 'ED25519',
    ski: 'd5dced90147bd5cb1a77386b1c34f5a138a179f2',
    spki: 'MCowBQYDK2VwAyEA49c2IdFywui5KO9lNLe2LIWkiyRgNRz8qWGXPg0/fPU=',
  },
]

for (const { name, ski, spki } of KEYS) {
  test(`ski of an ${name} key`, () => {
    const key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })
    const der = key.export({ format: 'der', type: 'spki' })
    assert.equal(Buffer.from(subjectKeyIdentifier(der)).toString('hex'), ski)
  })
}

test('ski of what is no key is refused', () => {
  assert.throws(() => subjectKeyIdentifier(Uint8Array.of(0x30, 5, 0x30)), { code: 'ERR_DECODE_TRUNCATED' })
  assert.throws(() => subjectKeyIdentifier(Uint8Array.of(0x31, 0)), { code: 'ERR_DECODE_UNEXPECTED' })
})
