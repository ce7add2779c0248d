// Handshakes that a delegated credential's key signs: for whom, with what, and for whom not. RFC 9345 §4.1.1.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import {
  createCertificateStore,
  createServerContext,
  type DelegatedCredential,
  loadCredential,
  type ServerContext,
} from '@latchkey/tls'
import { concat, u16, u8, vector16, vector8 } from './support/bytes.ts'
import { type KeyKind, testCertificate } from './support/certificate.ts'
import type { Hello } from './support/client-hello.ts'
import { EXTENSION, GROUP, MESSAGE, SCHEME } from './support/code-points.ts'
import { acceptsDelegated, delegate, type Delegation } from './support/delegation.ts'
import { Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { defaultHello12 } from './support/test-client12.ts'

const P256 = SCHEME.ecdsa_secp256r1_sha256
const P384 = SCHEME.ecdsa_secp384r1_sha384
const PSS256 = SCHEME.rsa_pss_rsae_sha256
const PSS384 = SCHEME.rsa_pss_rsae_sha384
const HOUR_MS = 3_600_000
const DAY_SECONDS = 86_400

const OCSP = new Uint8Array(Buffer.from('30160a0100a011300f06092b060105050730010104023000', 'hex'))

interface Site {
  readonly context: ServerContext
  readonly delegated: readonly DelegatedCredential[]
}

/** A server with one certificate and what was delegated from it. */
function site(
  kind: KeyKind,
  delegations: readonly Partial<Delegation>[] = [{}],
  clock: () => number = Date.now,
): Site {
  const { chainPem, privateKey } = testCertificate(kind)
  const credential = loadCredential({ chain: chainPem, ocsp: OCSP })
  const delegated = delegations.map((delegation) => delegate({ credential, privateKey }, delegation))
  const context = createServerContext({
    certificates: createCertificateStore({ hosts: [], default: [credential] }),
    delegatedCredentials: { current: (asked) => (asked === credential ? delegated : []) },
    clock,
  })
  return { context, delegated }
}

const p384: Partial<Delegation> = {
  scheme: 'ecdsa_secp384r1_sha384',
  keys: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
}
const ed25519: Partial<Delegation> = { scheme: 'ed25519', keys: generateKeyPairSync('ed25519') }

for (const kind of ['p256', 'p384', 'rsa2048', 'ed25519'] as const) {
  for (const [scheme, delegation] of [
    [P256, {}],
    [P384, p384],
    [SCHEME.ed25519, ed25519],
  ] as const) {
    test(`a ${kind} certificate, a delegated key for 0x0${scheme.toString(16)}: nobody is asked to sign`, () => {
      const { context } = site(kind, [delegation])
      const wire = new Wire({
        context,
        signing: 'hold',
        hello: { extra: [acceptsDelegated(scheme)] },
      }).start()
      assertEstablished(wire)
      assert.deepEqual([wire.signCalls.length, wire.client.scheme], [0, scheme])
      assert.ok(wire.client.leafExtensions.has(EXTENSION.delegated_credential))
      assert.equal(wire.session?.usedDelegatedCredential, true)
      assert.equal(wire.session.signatureScheme, delegation.scheme ?? 'ecdsa_secp256r1_sha256')
    })
  }
}

/** Of an RSA certificate; `uses`: the index of what is delegated, or the certificate itself. */
const CHOICES: readonly {
  name: string
  hello: Partial<Hello>
  delegations?: readonly Partial<Delegation>[]
  uses: number | 'certificate'
  scheme: number
}[] = [
  { name: 'a client that does not say so', hello: {}, uses: 'certificate', scheme: PSS256 },
  { name: 'a client that accepts', hello: { extra: [acceptsDelegated(P256)] }, uses: 0, scheme: P256 },
  {
    name: 'the two lists are not mixed up',
    hello: { schemes: [PSS256], extra: [acceptsDelegated(P256)] },
    uses: 0,
    scheme: P256,
  },
  {
    name: 'a client that could not check the delegation',
    hello: { schemes: [PSS384], extra: [acceptsDelegated(P256)] },
    uses: 'certificate',
    scheme: PSS384,
  },
  {
    name: 'a client that could not check CertificateVerify',
    hello: { schemes: [PSS256, P256], extra: [acceptsDelegated(P384)] },
    uses: 'certificate',
    scheme: PSS256,
  },
  {
    name: 'the first that fits',
    hello: { extra: [acceptsDelegated(P384)] },
    delegations: [{}, p384],
    uses: 1,
    scheme: P384,
  },
  {
    name: 'our order counts',
    hello: { extra: [acceptsDelegated(P384, P256)] },
    delegations: [{}, p384],
    uses: 0,
    scheme: P256,
  },
  {
    name: 'schemes that nobody knows',
    hello: { extra: [acceptsDelegated(0x0a0a, 0xfe00, P256)] },
    uses: 0,
    scheme: P256,
  },
  {
    name: 'only schemes that nobody knows',
    hello: { extra: [acceptsDelegated(0x0a0a)] },
    uses: 'certificate',
    scheme: PSS256,
  },
  {
    name: 'nothing is delegated',
    hello: { extra: [acceptsDelegated(P256)] },
    delegations: [],
    uses: 'certificate',
    scheme: PSS256,
  },
  {
    name: 'one that clients whose clock is half an hour ahead would refuse',
    hello: { extra: [acceptsDelegated(P256)] },
    delegations: [{ validTimeSeconds: 1.5 * 3600 }],
    uses: 'certificate',
    scheme: PSS256,
  },
  {
    name: 'one that is over, before one that is not',
    hello: { extra: [acceptsDelegated(P256)] },
    delegations: [{ validTimeSeconds: 1 }, {}],
    uses: 1,
    scheme: P256,
  },
  {
    name: 'one that is valid for longer than clients accept',
    hello: { extra: [acceptsDelegated(P256)] },
    delegations: [{ validTimeSeconds: 8 * DAY_SECONDS }],
    uses: 'certificate',
    scheme: PSS256,
  },
]

for (const { name, hello, delegations, uses, scheme } of CHOICES) {
  test(`which key signs: ${name}`, () => {
    const { context } = site('rsa2048', delegations)
    const wire = new Wire({ context, hello }).start()
    assertEstablished(wire)
    assert.equal(wire.client.scheme, scheme)
    const isDelegated = uses !== 'certificate'
    assert.equal(wire.client.leafExtensions.has(EXTENSION.delegated_credential), isDelegated)
    assert.equal(wire.session?.usedDelegatedCredential, isDelegated)
    assert.equal(wire.signCalls.length, isDelegated ? 0 : 1)
  })
}

test('it goes on being served until an hour before its end', () => {
  const { delegated } = site('p256')
  const expiresAtMs = delegated[0]?.expiresAtMs ?? assert.fail()
  for (const [leftMs, used] of [
    [HOUR_MS, true],
    [HOUR_MS - 1, false],
  ] as const) {
    const { context } = site('p256', [{}], () => expiresAtMs - leftMs)
    const wire = new Wire({ context, hello: { extra: [acceptsDelegated(P256)] } }).start()
    assertEstablished(wire)
    assert.equal(wire.session?.usedDelegatedCredential, used)
  }
})

test('without the option the extension changes nothing', () => {
  const wire = new Wire({ hello: { extra: [acceptsDelegated(P256)] } }).start()
  assertEstablished(wire)
  assert.deepEqual([wire.signCalls.length, wire.session?.usedDelegatedCredential], [1, false])
})

test('after a HelloRetryRequest too', () => {
  const { context } = site('p256')
  const hello = { groups: [GROUP.secp256r1], extra: [acceptsDelegated(P256)] }
  const wire = new Wire({ context, shares: [], hello }).start()
  assertEstablished(wire)
  assert.deepEqual([wire.client.retries, wire.signCalls.length], [1, 0])
  assert.equal(wire.session?.usedDelegatedCredential, true)
})

test('a second ClientHello may not change its mind', () => {
  const { context } = site('p256')
  const secondHello = (hello: Hello): Hello => ({ ...hello, extra: [acceptsDelegated(P384)] })
  const hello = { groups: [GROUP.secp256r1], extra: [acceptsDelegated(P256)] }
  assertRefused(new Wire({ context, shares: [], hello, secondHello }).start(), 'illegal_parameter')
})

test('in a compressed certificate, beside what is stapled', () => {
  const { context } = site('p256')
  const extra = [
    acceptsDelegated(P256),
    { type: EXTENSION.status_request, body: concat(u8(1), u16(0), u16(0)) },
    { type: EXTENSION.compress_certificate, body: vector8(u16(2)) },
  ]
  for (let count = 0; count < 2; count++) {
    const wire = new Wire({ context, hello: { extra } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.compression, 2)
    const types = Array.from(wire.client.leafExtensions.keys())
    assert.deepEqual(types, [EXTENSION.status_request, EXTENSION.delegated_credential])
  }
  // What is delegated is not for others.
  const plain = new Wire({ context, hello: { extra: extra.slice(1) } }).start()
  assertEstablished(plain)
  assert.deepEqual(Array.from(plain.client.leafExtensions.keys()), [EXTENSION.status_request])
})

test('never in TLS 1.2', () => {
  const { context } = site('p256')
  const { extra } = defaultHello12()
  const wire = new Wire12({ context, hello: { extra: [...extra, acceptsDelegated(P256)] } }).start()
  assertEstablished(wire)
  assert.deepEqual([wire.signCalls.length, wire.session?.usedDelegatedCredential], [1, false])
})

test('the handshake does not wait: CertificateVerify goes out with ServerHello', () => {
  const { context } = site('p256')
  const wire = new Wire({ context, autoFinish: false, hello: { extra: [acceptsDelegated(P256)] } }).start()
  assert.deepEqual(
    wire.client.messages.map(({ type }) => type),
    [
      MESSAGE.server_hello,
      MESSAGE.encrypted_extensions,
      MESSAGE.certificate,
      MESSAGE.certificate_verify,
      MESSAGE.finished,
    ],
  )
  assert.equal(wire.writes.length, 1)
})

for (const [name, body] of [
  ['no scheme', vector16()],
  ['half a scheme', vector16(u8(4))],
  ['a list cut short', concat(u16(4), u16(P256))],
  ['bytes after the list', concat(vector16(u16(P256)), u8(0))],
  ['nothing', new Uint8Array(0)],
] as const) {
  test(`refused: delegated_credential with ${name}`, () => {
    const extra = [{ type: EXTENSION.delegated_credential, body }]
    assertRefused(new Wire({ hello: { extra } }).start(), 'decode_error')
  })
}

test('refused: delegated_credential with more schemes than anybody has', () => {
  const schemes = Array.from({ length: 129 }, () => P256)
  assertRefused(new Wire({ hello: { extra: [acceptsDelegated(...schemes)] } }).start(), 'illegal_parameter')
})
