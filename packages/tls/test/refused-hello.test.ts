// ClientHellos that must be refused, each with its alert and without a signature.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, hex, toHex, u8, vector16, vector8 } from './support/bytes.ts'
import {
  alpnBody,
  encodeHelloBody,
  type Extension,
  type Hello,
  numbers16,
  serverNameBody,
} from './support/client-hello.ts'
import { clientKey } from './support/client-crypto.ts'
import { type AlertText, EXTENSION, GROUP, MESSAGE, SCHEME, SUITE } from './support/code-points.ts'
import { type ContextOptions, testContext, Wire } from './support/harness.ts'
import { offeredPsks } from './support/offered-psks.ts'
import { assertRefused } from './support/outcome.ts'
import { grease, TestClient } from './support/test-client.ts'

interface Row {
  readonly name: string
  readonly hello?: Partial<Hello>
  readonly shares?: readonly number[]
  readonly context?: ContextOptions
  readonly alert: AlertText
}

function raw(type: number, body: Uint8Array): Partial<Hello> {
  return { bodies: { [type]: body } }
}

function without(type: number): Partial<Hello> {
  return { bodies: { [type]: undefined } }
}

function twice(type: number): Partial<Hello> {
  const extension: Extension = { type, body: new Uint8Array(0) }
  return { extra: [extension, extension] }
}

function sharesOf(...entries: readonly (readonly [number, Uint8Array])[]): Partial<Hello> {
  return { keyShares: entries.map(([group, share]) => ({ group, share })) }
}

const X25519_SHARE = clientKey(GROUP.x25519).share
const P256_SHARE = clientKey(GROUP.secp256r1).share
const SCSV = 0x5600
const ONLY_TLS13: ContextOptions = { minVersion: 'TLSv1.3' }

const VERSIONS: readonly Row[] = [
  {
    name: 'row 26: supported_versions without TLS 1.3',
    hello: { versions: [0x0303, 0x0302] },
    context: ONLY_TLS13,
    alert: 'protocol_version',
  },
  {
    name: 'row 26: a TLS 1.2 hello',
    hello: { versions: undefined },
    context: ONLY_TLS13,
    alert: 'protocol_version',
  },
  {
    name: 'row 26: a TLS 1.2 hello without any extension',
    hello: { arrange: () => [] },
    context: ONLY_TLS13,
    alert: 'protocol_version',
  },
  {
    name: 'row 26: a TLS 1.1 hello',
    hello: { versions: undefined, legacyVersion: 0x0302 },
    alert: 'protocol_version',
  },
  {
    name: 'row 28: only GREASE versions',
    hello: { versions: [grease(1), grease(2)] },
    alert: 'protocol_version',
  },
  { name: 'row 26: only drafts of TLS 1.3', hello: { versions: [0x7f1c] }, alert: 'protocol_version' },
  { name: 'row 28: legacy_version 0x0300', hello: { legacyVersion: 0x0300 }, alert: 'protocol_version' },
  { name: 'row 28: legacy_version 0x0002', hello: { legacyVersion: 0x0002 }, alert: 'protocol_version' },
  { name: 'row 28: empty supported_versions', hello: { versions: [] }, alert: 'decode_error' },
  {
    name: 'row 28: supported_versions of odd length',
    hello: raw(EXTENSION.supported_versions, vector8(hex('030403'))),
    alert: 'decode_error',
  },
  {
    name: 'row 29: the fallback signal below TLS 1.3',
    hello: { versions: undefined, suites: [...Object.values(SUITE), SCSV] },
    alert: 'inappropriate_fallback',
  },
]

const FIELDS: readonly Row[] = [
  {
    name: 'row 18: a session id of 33 bytes',
    hello: { sessionId: new Uint8Array(33) },
    alert: 'decode_error',
  },
  { name: 'row 18: no cipher suites', hello: { suites: [] }, alert: 'decode_error' },
  {
    name: 'row 31: no compression methods',
    hello: { compression: new Uint8Array(0) },
    alert: 'decode_error',
  },
  { name: 'row 31: compression without null', hello: { compression: u8(1) }, alert: 'illegal_parameter' },
  {
    name: 'row 31: compression besides null',
    hello: { compression: Uint8Array.of(0, 1) },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 31: null compression twice',
    hello: { compression: Uint8Array.of(0, 0) },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 26: no common suite',
    hello: { suites: [0x00ff, 0xc02b, 0xc02f] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: only suites of TLS 1.3 that we lack',
    hello: { suites: [0x1304, 0x1305] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: no suite of a narrower server',
    hello: { suites: [SUITE.TLS_AES_128_GCM_SHA256] },
    context: { cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] },
    alert: 'handshake_failure',
  },
]

const MANDATORY: readonly Row[] = [
  { name: 'no supported_groups', hello: without(EXTENSION.supported_groups), alert: 'missing_extension' },
  { name: 'no key_share', hello: without(EXTENSION.key_share), alert: 'missing_extension' },
  {
    name: 'no signature_algorithms',
    hello: without(EXTENSION.signature_algorithms),
    alert: 'missing_extension',
  },
  {
    name: 'neither groups nor shares',
    hello: { bodies: { [EXTENSION.supported_groups]: undefined, [EXTENSION.key_share]: undefined } },
    alert: 'missing_extension',
  },
  {
    name: 'row 32: no server_name and no default',
    hello: { serverName: undefined },
    alert: 'missing_extension',
  },
]

const DUPLICATES: readonly Row[] = [
  ...Object.entries(EXTENSION).map(
    ([name, type]): Row => ({
      name: `row 19: ${name} twice`,
      hello: { ...without(type), ...twice(type) },
      alert: 'decode_error',
    }),
  ),
  { name: 'row 19: extension 64 twice', hello: twice(64), alert: 'decode_error' },
  { name: 'row 19: extension 0x4469 twice', hello: twice(0x4469), alert: 'decode_error' },
  { name: 'row 19: extension 0xffff twice', hello: twice(0xffff), alert: 'decode_error' },
  { name: 'row 19: one GREASE extension twice', hello: twice(grease(9)), alert: 'decode_error' },
  {
    name: 'row 19: an extension twice with others between',
    hello: {
      extra: [EXTENSION.padding, 0x1234, 0x1235, EXTENSION.padding].map(
        (type): Extension => ({ type, body: u8(0) }),
      ),
    },
    alert: 'decode_error',
  },
]

const PSK: readonly Row[] = [
  {
    name: 'row 20: pre_shared_key not last',
    hello: { extra: [...offeredPsks().extra, { type: EXTENSION.padding, body: u8(0) }] },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 20: more PSK identities than binders',
    hello: offeredPsks({ identities: 2 }),
    alert: 'illegal_parameter',
  },
  {
    name: 'row 20: more PSK binders than identities',
    hello: offeredPsks({ binders: 2 }),
    alert: 'illegal_parameter',
  },
  { name: 'row 20: no PSK identity', hello: offeredPsks({ identities: 0 }), alert: 'decode_error' },
  { name: 'row 20: no PSK binder', hello: offeredPsks({ binders: 0 }), alert: 'decode_error' },
  { name: 'row 20: an empty PSK identity', hello: offeredPsks({ identityBytes: 0 }), alert: 'decode_error' },
  {
    name: 'row 20: bytes after the PSK binders',
    hello: offeredPsks({ trailing: u8(0) }),
    alert: 'decode_error',
  },
  {
    name: 'row 21: pre_shared_key without modes',
    hello: offeredPsks({ modes: undefined }),
    alert: 'missing_extension',
  },
  { name: 'row 21: an empty list of PSK modes', hello: offeredPsks({ modes: [] }), alert: 'decode_error' },
]

const GROUPS: readonly Row[] = [
  {
    name: 'row 26: no common group',
    hello: { groups: [GROUP.x448, GROUP.secp521r1] },
    shares: [GROUP.x448],
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: no group of a narrower server',
    hello: { groups: [GROUP.x25519] },
    context: { groups: ['secp256r1'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: no common group and no share',
    hello: { groups: [GROUP.secp384r1] },
    shares: [],
    alert: 'handshake_failure',
  },
  { name: 'row 26: no groups', hello: { groups: [] }, alert: 'decode_error' },
  {
    name: 'row 24: two shares for one group',
    hello: sharesOf([GROUP.x25519, X25519_SHARE], [GROUP.x25519, X25519_SHARE]),
    alert: 'illegal_parameter',
  },
  {
    name: 'row 24: two shares for one group that we lack',
    hello: {
      groups: [GROUP.x448, GROUP.x25519],
      ...sharesOf([GROUP.x25519, X25519_SHARE], [GROUP.x448, u8(1)], [GROUP.x448, u8(2)]),
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 24: a share for a group that is not offered',
    hello: {
      groups: [GROUP.x25519],
      ...sharesOf([GROUP.x25519, X25519_SHARE], [GROUP.secp256r1, P256_SHARE]),
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 24: only a share for a group that is not offered',
    hello: { groups: [GROUP.secp256r1], ...sharesOf([GROUP.x25519, X25519_SHARE]) },
    alert: 'illegal_parameter',
  },
  {
    name: 'row 23: an empty share',
    hello: sharesOf([GROUP.x25519, new Uint8Array(0)]),
    alert: 'decode_error',
  },
]

const CREDENTIALS: readonly Row[] = [
  { name: 'row 26: no schemes', hello: { schemes: [] }, alert: 'decode_error' },
  {
    name: 'row 26: only Ed25519 for a P-256 key',
    hello: { schemes: [SCHEME.ed25519] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 27: only SHA-1',
    hello: { schemes: [SCHEME.rsa_pkcs1_sha1, SCHEME.ecdsa_sha1] },
    context: { kinds: ['p256', 'rsa2048'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 27: only RSA PKCS#1 v1.5',
    hello: { schemes: [SCHEME.rsa_pkcs1_sha256, SCHEME.rsa_pkcs1_sha384, SCHEME.rsa_pkcs1_sha512] },
    context: { kinds: ['rsa2048'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 27: only RSA-PSS with a PSS key, which ours is not',
    hello: { schemes: [SCHEME.rsa_pss_pss_sha256] },
    context: { kinds: ['rsa2048'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: the scheme of another curve',
    hello: { schemes: [SCHEME.ecdsa_secp256r1_sha256, SCHEME.ecdsa_secp521r1_sha512] },
    context: { kinds: ['p384'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 26: schemes for certificates only',
    hello: {
      schemes: [SCHEME.ed25519],
      extra: [
        {
          type: EXTENSION.signature_algorithms_cert,
          body: vector16(numbers16([SCHEME.ecdsa_secp256r1_sha256])),
        },
      ],
    },
    alert: 'handshake_failure',
  },
]

const NAME = ascii('example.com')

function serverName(body: Uint8Array): Partial<Hello> {
  return raw(EXTENSION.server_name, body)
}

const SERVER_NAMES: readonly Row[] = [
  { name: 'row 32: an empty server name list', hello: serverName(serverNameBody()), alert: 'decode_error' },
  { name: 'row 32: an empty server_name', hello: serverName(new Uint8Array(0)), alert: 'decode_error' },
  {
    name: 'row 32: an empty host name',
    hello: serverName(serverNameBody([0, new Uint8Array(0)])),
    alert: 'decode_error',
  },
  {
    name: 'row 32: two host names',
    hello: serverName(serverNameBody([0, NAME], [0, NAME])),
    alert: 'decode_error',
  },
  {
    name: 'row 32: a name of another type',
    hello: serverName(serverNameBody([1, NAME])),
    alert: 'decode_error',
  },
  {
    name: 'row 32: NUL in the host name',
    hello: { serverName: 'example.com\0.test' },
    alert: 'decode_error',
  },
  {
    name: 'row 32: a host name beyond ASCII',
    hello: { serverName: 'ex\u00e4mple.com' },
    alert: 'decode_error',
  },
  {
    name: 'row 32: a host name with a trailing dot',
    hello: { serverName: 'example.com.' },
    alert: 'decode_error',
  },
  {
    name: 'row 32: a host name of 256 bytes',
    hello: { serverName: `${'a'.repeat(244)}.example.com` },
    alert: 'decode_error',
  },
  {
    name: 'row 32: bytes after the host name',
    hello: serverName(concat(serverNameBody([0, NAME]), u8(0))),
    alert: 'decode_error',
  },
  {
    name: 'row 32: a host name nobody serves',
    hello: { serverName: 'example.org' },
    alert: 'unrecognized_name',
  },
  {
    name: 'row 32: two labels under a wildcard',
    hello: { serverName: 'a.b.example.com' },
    alert: 'unrecognized_name',
  },
  {
    name: 'row 32: an empty label under a wildcard',
    hello: { serverName: '.example.com' },
    alert: 'unrecognized_name',
  },
  { name: 'row 32: the wildcard itself', hello: { serverName: '*.example.com' }, alert: 'unrecognized_name' },
  { name: 'row 32: another wildcard', hello: { serverName: '*.example.org' }, alert: 'unrecognized_name' },
  { name: 'row 32: a name without a dot', hello: { serverName: 'example' }, alert: 'unrecognized_name' },
  {
    name: 'row 32: a host name of 255 bytes',
    hello: { serverName: `${'a'.repeat(243)}.example.org` },
    alert: 'unrecognized_name',
  },
]

const ALPN: readonly Row[] = [
  { name: 'row 33: an empty ALPN list', hello: { alpn: [] }, alert: 'decode_error' },
  {
    name: 'row 33: an empty ALPN extension',
    hello: raw(EXTENSION.alpn, new Uint8Array(0)),
    alert: 'decode_error',
  },
  { name: 'row 33: an empty ALPN name', hello: { alpn: ['http/1.1', ''] }, alert: 'decode_error' },
  {
    name: 'row 33: bytes after the ALPN list',
    hello: raw(EXTENSION.alpn, concat(alpnBody(['h2']), u8(0))),
    alert: 'decode_error',
  },
  { name: 'row 33: no common protocol', hello: { alpn: ['spdy/3', 'h3'] }, alert: 'no_application_protocol' },
  {
    name: 'row 33: a protocol in other letters',
    hello: { alpn: ['HTTP/1.1'] },
    alert: 'no_application_protocol',
  },
]

const TABLES: Readonly<Record<string, readonly Row[]>> = {
  version: VERSIONS,
  fields: FIELDS,
  'mandatory extensions': MANDATORY,
  duplicates: DUPLICATES,
  'pre-shared keys': PSK,
  groups: GROUPS,
  credentials: CREDENTIALS,
  'server name': SERVER_NAMES,
  ALPN,
}

for (const [table, rows] of Object.entries(TABLES)) {
  for (const { name, alert, context, ...client } of rows) {
    test(`${name} (refused, ${table})`, () => {
      assertRefused(new Wire({ ...client, context: testContext(context) }).start(), alert)
    })
  }
}

test('row 19: an extension besides the offered one, of each type, is a duplicate', () => {
  const { hello } = new TestClient({ hello: { alpn: ['http/1.1'] } })
  let types: number[] = []
  encodeHelloBody({ ...hello, arrange: (all) => ((types = all.map(({ type }) => type)), all) })
  assert.equal(types.length, 6)
  for (const type of types) {
    const wire = new Wire({
      hello: { alpn: ['http/1.1'], arrange: (all) => [...all, ...all.filter((one) => one.type === type)] },
    })
    assertRefused(wire.start(), 'decode_error')
  }
})

// ── what is not refused ───────────────────────────────────────────────────────────────────────────────────────────

const ACCEPTED: readonly { readonly name: string; readonly hello: Partial<Hello> }[] = [
  {
    name: 'row 29: the fallback signal with TLS 1.3',
    hello: { suites: [SUITE.TLS_AES_128_GCM_SHA256, SCSV] },
  },
  ...[0x0301, 0x0302, 0x0304, 0x0305, 0x7f7f].map((legacyVersion) => ({
    name: `row 28: legacy_version 0x${legacyVersion.toString(16)} besides supported_versions`,
    hello: { legacyVersion },
  })),
  { name: 'row 22: a PSK that nobody knows', hello: offeredPsks() },
  { name: 'row 21: PSKs without a key exchange only', hello: offeredPsks({ modes: [0] }) },
  { name: 'row 21: only unknown PSK modes', hello: offeredPsks({ modes: [0x0b, 0xfe] }) },
  {
    name: 'PSK modes without a PSK',
    hello: { extra: [{ type: EXTENSION.psk_key_exchange_modes, body: vector8(u8(1)) }] },
  },
  { name: 'a session id of one byte', hello: { sessionId: u8(1) } },
  { name: 'unknown extensions with high numbers', hello: { extra: [{ type: 0xfffe, body: ascii('?') }] } },
]

for (const { name, hello } of ACCEPTED) {
  test(`${name} (accepted)`, () => {
    const wire = new Wire({ hello }).start()
    assert.equal(wire.error, undefined)
    assert.equal(wire.establishedCount, 1)
  })
}

test('row 30: the ServerHello of TLS 1.3 carries no downgrade sentinel', () => {
  const wire = new Wire().start()
  const hello = wire.client.messages.find(({ type }) => type === MESSAGE.server_hello)
  assert.notEqual(toHex(hello?.body.subarray(26, 33) ?? u8(0)), toHex(ascii('DOWNGRD')))
})

test('row 32: an unknown name costs nothing: no key share is made for it', () => {
  let shares = 0
  const context = testContext({
    exchangeKeys: (group, clientShare) => {
      shares++
      return group.exchange(clientShare)
    },
  })
  assertRefused(new Wire({ context, hello: { serverName: 'example.org' } }).start(), 'unrecognized_name')
  assertRefused(new Wire({ context, hello: { schemes: [SCHEME.ed25519] } }).start(), 'handshake_failure')
  assertRefused(new Wire({ context, hello: { alpn: ['h3'] } }).start(), 'no_application_protocol')
  assertRefused(new Wire({ context, hello: { suites: [0x00ff] } }).start(), 'handshake_failure')
  assert.equal(shares, 0)
})
