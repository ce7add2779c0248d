// Arbitrary operations for property tests.
import * as fc from 'fast-check'
import type { Operation } from '../src/index.ts'

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: 1, maxLength })
const exactly = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length }).filter((value) => value.some((byte) => byte !== 0))
const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  // No IPv4-mapped address: that is written as four bytes, which has its own test.
  fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((value) => value[10] !== 0xff),
)

/** Operations in the form in which they are read: what would not be written is absent. */
export const anyOperation: fc.Arbitrary<Operation> = fc.record(
  {
    opcode: fc.nat(0xff),
    payload: bytes(1200),
    extra: bytes(40),
    ski: exactly(20),
    digest: exactly(32),
    clientIp: address,
    serverIp: address,
    serverName: bytes(300),
    certId: bytes(40),
    customFunction: bytes(40),
    span: fc.uint8Array({ maxLength: 40 }),
    requestContext: fc.uint8Array({ maxLength: 40 }),
    complianceRegion: fc.integer({ min: 1, max: 0xff }),
  },
  { requiredKeys: ['opcode'], noNullPrototype: true },
)

export const anyId: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 0xffffffff),
  fc.integer({ min: 0, max: 0xffffffff }),
)
