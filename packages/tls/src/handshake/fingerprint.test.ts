import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Writer } from '@latchkey/core'
import * as fc from 'fast-check'
import { readClientHello } from './client-hello.ts'
import { ja3, ja3Text, ja4, ja4Raw } from './fingerprint.ts'

const readVectors = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../test/vectors/${name}.json`, import.meta.url), 'utf8'))

// ── recorded hellos ─────────────────────────────────────────────────────────────────────────────────────────────────

const recorded = readVectors('client-hellos') as { hellos: { client: string; recordsHex: string }[] }
const expected = readVectors('fingerprints') as {
  fingerprints: { client: string; ja3: string; ja4: string }[]
}

test('every recorded hello has its fingerprints', () => {
  const found = recorded.hellos.map(({ client, recordsHex }) => {
    const hello = readClientHello(new Uint8Array(Buffer.from(recordsHex, 'hex')).subarray(9))
    return { client, ja3: ja3(hello), ja4: ja4(hello) }
  })
  assert.deepEqual(found, expected.fingerprints)
})

// ── hellos made to measure ──────────────────────────────────────────────────────────────────────────────────────────

interface Fields {
  readonly version?: number
  readonly suites?: readonly number[]
  /** In this order; a number alone is an extension with the body that stands for it below. */
  readonly extensions?: readonly (number | readonly [number, Uint8Array])[]
}

function helloOf({ version = 0x0303, suites = [0x1301], extensions = [] }: Fields) {
  const writer = new Writer().u16(version).zeros(32).u8(0)
  writer.vector16((list) => suites.forEach((code) => list.u16(code)))
  writer.u8(1).u8(0)
  if (extensions.length > 0) {
    writer.vector16((list) => {
      for (const extension of extensions) {
        const [type, body] = typeof extension === 'number' ? [extension, bodyOf(extension)] : extension
        list.u16(type).opaque16(body)
      }
    })
  }
  return readClientHello(new Uint8Array(writer.finish()))
}

const u16Vector = (...codes: readonly number[]): Uint8Array =>
  new Writer().vector16((list) => codes.forEach((code) => list.u16(code))).finish()
const versionsBody = (...codes: readonly number[]): Uint8Array =>
  new Writer().vector8((list) => codes.forEach((code) => list.u16(code))).finish()
const alpnBody = (...names: readonly Uint8Array[]): Uint8Array =>
  new Writer().vector16((list) => names.forEach((name) => list.opaque8(name))).finish()
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)

function bodyOf(type: number): Uint8Array {
  switch (type) {
    case 0:
      return new Writer().vector16((list) => list.u8(0).opaque16(ascii('example.com'))).finish()
    case 5:
      return Uint8Array.of(1, 0, 0, 0, 0)
    case 10:
      return u16Vector(0x2a2a, 29, 23, 24)
    case 11:
      return Uint8Array.of(1, 0)
    case 13:
      return u16Vector(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
    case 16:
      return alpnBody(ascii('h2'), ascii('http/1.1'))
    case 27:
      return Uint8Array.of(2, 0, 2)
    case 43:
      return versionsBody(0x7a7a, 0x0304, 0x0303)
    case 45:
      return Uint8Array.of(1, 1)
    case 51:
      return new Writer().vector16((list) => list.u16(29).opaque16(new Uint8Array(32))).finish()
    default:
      return new Uint8Array(0)
  }
}

// ── JA3: the examples of github.com/salesforce/ja3, README ──────────────────────────────────────────────────────────

const JA3_EXAMPLES: readonly { name: string; fields: Fields; text: string; hash: string }[] = [
  {
    name: 'with extensions',
    fields: {
      version: 769,
      suites: [47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
      extensions: [0, [10, u16Vector(23, 24, 25)], 11],
    },
    text: '769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0',
    hash: 'ada70206e40642a3e4461f35503241d5',
  },
  {
    name: 'without extensions',
    fields: { version: 769, suites: [4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99] },
    text: '769,4-5-10-9-100-98-3-6-19-18-99,,,',
    hash: 'de350869b8c85de67a350c8d186f11e6',
  },
]
for (const { name, fields, text, hash } of JA3_EXAMPLES) {
  test(`JA3, published example ${name}`, () => {
    assert.equal(ja3Text(helloOf(fields)), text)
    assert.equal(ja3(helloOf(fields)), hash)
  })
}

test('JA3 passes over GREASE in suites, extensions and groups', () => {
  const hello = helloOf({ suites: [0x0a0a, 0x1301], extensions: [0xfafa, 10, 11, 0x1a1a] })
  assert.equal(ja3Text(hello), '771,4865,10-11,29-23-24,0')
})

const POINT_FORMATS: readonly { name: string; body: readonly number[]; text: string }[] = [
  { name: 'three', body: [3, 0, 1, 2], text: '0-1-2' },
  { name: 'none', body: [0], text: '' },
  { name: 'no body', body: [], text: '' },
  { name: 'longer than the body', body: [4, 0], text: '' },
  { name: 'bytes after the list', body: [1, 0, 0], text: '' },
]
for (const { name, body, text } of POINT_FORMATS) {
  test(`JA3, point formats: ${name}`, () => {
    assert.equal(ja3Text(helloOf({ extensions: [[11, Uint8Array.from(body)]] })), `771,4865,11,,${text}`)
  })
}

// ── JA4: the example of FoxIO-LLC/ja4, technical_details/JA4.md ─────────────────────────────────────────────────────

const EXAMPLE_SUITES = [
  0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
  0x002f, 0x0035,
]
const EXAMPLE_EXTENSIONS = [
  0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
  0x000b, 0x000a, 0x0015,
]

test('JA4, published example', () => {
  const hello = helloOf({
    suites: [0x3a3a, ...EXAMPLE_SUITES],
    extensions: [0x8a8a, ...EXAMPLE_EXTENSIONS, 0xcaca],
  })
  assert.equal(ja4(hello), 't13d1516h2_8daaf6152771_e5627efa2ab1')
  assert.equal(
    ja4Raw(hello),
    't13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_' +
      '0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_' +
      '0403,0804,0401,0503,0805,0501,0806,0601',
  )
})

test('JA4 is the same however the suites and extensions are shuffled; JA3 is not', () => {
  const plain = helloOf({ suites: EXAMPLE_SUITES, extensions: EXAMPLE_EXTENSIONS })
  fc.assert(
    fc.property(
      fc.shuffledSubarray(EXAMPLE_SUITES, { minLength: EXAMPLE_SUITES.length }),
      fc.shuffledSubarray(EXAMPLE_EXTENSIONS, { minLength: EXAMPLE_EXTENSIONS.length }),
      (suites, extensions) => {
        assert.equal(ja4(helloOf({ suites, extensions })), ja4(plain))
      },
    ),
  )
  const reversed = helloOf({ suites: EXAMPLE_SUITES, extensions: EXAMPLE_EXTENSIONS.toReversed() })
  assert.notEqual(ja3(reversed), ja3(plain))
})

test('JA4 is the same for the same client with other GREASE', () => {
  const grease = fc.nat(15).map((digit) => (digit << 12) | 0x0a00 | (digit << 4) | 0x0a)
  fc.assert(
    fc.property(fc.uniqueArray(grease, { minLength: 4, maxLength: 4 }), ([a, b, c, d]) => {
      const hello = helloOf({
        suites: [a as number, 0x1301],
        extensions: [
          b as number,
          [13, u16Vector(a as number, 0x0403)],
          [10, u16Vector(d as number, 29)],
          [43, versionsBody(d as number, 0x0304)],
          c as number,
        ],
      })
      assert.equal(ja4Raw(hello), 't13i010300_1301_000a,000d,002b_0403')
      assert.equal(ja3Text(hello), '771,4865,13-10-43,29,')
    }),
  )
})

const NO_SCHEMES = EXAMPLE_EXTENSIONS.filter((type) => type !== 13)
const manyExtensions = Array.from({ length: 100 }, (_, index) => 1000 + index)
const JA4_CASES: readonly { name: string; fields: Fields; summary: string; extensions?: string }[] = [
  { name: 'no extension', fields: {}, summary: 't12i010000', extensions: '000000000000' },
  {
    name: 'nothing but server_name and ALPN',
    fields: { extensions: [0, 16] },
    summary: 't12d0102h2',
    extensions: '000000000000',
  },
  { name: 'nothing but GREASE suites', fields: { suites: [0x4a4a] }, summary: 't12i000000' },
  { name: 'no signature schemes', fields: { extensions: NO_SCHEMES }, summary: 't13d0115h2' },
  { name: 'TLS 1.0', fields: { version: 0x0301 }, summary: 't10i010000' },
  { name: 'TLS 1.1', fields: { version: 0x0302 }, summary: 't11i010000' },
  { name: 'a version nobody knows', fields: { version: 0x0305 }, summary: 't00i010000' },
  {
    name: 'supported_versions beats legacy_version',
    fields: { version: 0x0301, extensions: [[43, versionsBody(0x0302, 0x0303)]] },
    summary: 't12i010100',
  },
  {
    name: 'supported_versions of GREASE alone',
    fields: { extensions: [[43, versionsBody(0x6a6a)]] },
    summary: 't00i010100',
  },
  {
    name: 'a hundred suites, a hundred extensions',
    fields: { suites: Array.from({ length: 100 }, (_, index) => 1 + index), extensions: manyExtensions },
    summary: 't12i999900',
  },
]
for (const { name, fields, summary, extensions } of JA4_CASES) {
  test(`JA4: ${name}`, () => {
    const parts = ja4(helloOf(fields)).split('_')
    assert.equal(parts[0], summary)
    if (extensions !== undefined) assert.equal(parts[2], extensions)
  })
}

test('JA4: an empty list of suites is zeros, not the hash of nothing', () => {
  assert.equal(ja4(helloOf({ suites: [0x4a4a] })), 't12i000000_000000000000_000000000000')
})

test('JA4, published: the extensions of a hello without signature schemes', () => {
  // The page hashes its list with signature_algorithms among the extensions and no schemes: no hello that can be read
  // is like that, so only the form of the text is compared.
  assert.match(ja4Raw(helloOf({ extensions: NO_SCHEMES })), /_0005,000a,000b,0012,[^_]*,ff01$/)
})

// The table of JA4.md: where an end is no ASCII letter or digit, the ends of the hexadecimal digits.
const ALPN_CASES: readonly { first: readonly number[]; ends: string }[] = [
  { first: [0xab], ends: 'ab' },
  { first: [0x20], ends: '20' },
  { first: [0xab, 0xcd], ends: 'ad' },
  { first: [0x20, 0x61], ends: '21' },
  { first: [0x30, 0xab], ends: '3b' },
  { first: [0x61, 0x20], ends: '60' },
  { first: [0x30, 0x31, 0xab, 0xcd], ends: '3d' },
  { first: [0x30, 0xab, 0xcd, 0x31], ends: '01' },
  { first: [0x68], ends: 'hh' },
  { first: Array.from(ascii('http/1.1')), ends: 'h1' },
  { first: Array.from(ascii('spdy/3')), ends: 's3' },
]
for (const { first, ends } of ALPN_CASES) {
  test(`JA4, ALPN ${Buffer.from(first).toString('hex')} is ${ends}`, () => {
    const hello = helloOf({ extensions: [[16, alpnBody(Uint8Array.from(first), ascii('h2'))]] })
    assert.equal(ja4(hello).slice(0, 10), `t12i0101${ends}`)
  })
}

test('any hello that can be read has both fingerprints, and they are plain text', () => {
  const extension = fc.tuple(fc.integer({ min: 1000, max: 0xffff }), fc.uint8Array({ maxLength: 20 }))
  const known = fc.constantFrom(0, 10, 13, 16, 43, 45, 51).map((type) => [type, bodyOf(type)] as const)
  const formats = fc.uint8Array({ maxLength: 8 }).map((body) => [11, body] as const)
  const extensions = fc.uniqueArray(fc.oneof(extension, known, formats), {
    selector: ([type]) => type,
    maxLength: 20,
  })
  const suites = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 120 })
  fc.assert(
    fc.property(suites, extensions, (suites, extensions) => {
      const hello = helloOf({ suites, extensions })
      assert.match(ja3(hello), /^[0-9a-f]{32}$/)
      assert.match(ja4(hello), /^t[0-3s]{2}[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$/)
    }),
  )
})
