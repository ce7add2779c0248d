// Vectors of RFC 3720 §B.4.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'

for (const { name, bytes, want } of [
  { name: '32 zeros', bytes: Buffer.alloc(32), want: 0x8a9136aa },
  { name: '32 ones', bytes: Buffer.alloc(32, 0xff), want: 0x62a8ab43 },
  { name: '0 to 31', bytes: Buffer.from(Array.from({ length: 32 }, (_, n) => n)), want: 0x46dd794e },
  { name: '31 to 0', bytes: Buffer.from(Array.from({ length: 32 }, (_, n) => 31 - n)), want: 0x113fdb5c },
  { name: 'the digits', bytes: Buffer.from('123456789'), want: 0xe3069283 },
  { name: 'nothing', bytes: Buffer.alloc(0), want: 0 },
]) {
  test(`CRC-32C of ${name}`, () => assert.equal(crc32c(bytes), want))
}
