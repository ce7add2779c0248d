import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { OPCODES, type Operation, opcodeRow, type SignOpcodeRow } from '@latchkey/wire'
import type { SignatureAlgorithm } from '@latchkey/keys'
import { testKey } from './support/test-keys.ts'
import { type Client, describeClient } from '../src/client.ts'
import { KeyRequest } from '../src/key-request.ts'
import { type Policy, POLICY_OPERATIONS, type PolicyRule } from '../src/policy/policy.ts'
import { PolicyEngine } from '../src/policy/policy-engine.ts'

const ca = await createThrowawayCa()
const { certificatePem } = await ca.issue({
  commonName: 'edge-1',
  dnsNames: ['Edge-1.Example.com'],
  ipAddresses: ['192.0.2.1'],
})
const CHAIN = [new X509Certificate(certificatePem)]
const KEY = testKey('p256')
const OTHER = testKey('rsa2048')

const client = (knowsScopes = false): Client => describeClient('test', CHAIN, { knowsScopes })

type Row = SignOpcodeRow<SignatureAlgorithm>
const SIGN = OPCODES.OpECDSASignSHA256
const SHA1 = OPCODES.OpECDSASignSHA1

interface Use {
  readonly row?: Row | typeof OPCODES.OpRSADecrypt | typeof OPCODES.OpSeal
  readonly key?: typeof KEY | undefined
  readonly sni?: string
  readonly isScoped?: boolean
  readonly by?: Client
}

function denial(engine: PolicyEngine, use: Use = {}): string | undefined {
  const { row = SIGN, sni, isScoped = false, by = client(isScoped) } = use
  const key = 'key' in use ? use.key : KEY
  const operation: Operation = {
    opcode: row.code,
    ...(sni === undefined ? {} : { serverName: new TextEncoder().encode(sni) }),
    ...(isScoped ? { extra: Uint8Array.of(1) } : {}),
  }
  return engine.denial({ request: new KeyRequest(1, operation, by), operation: row, key })
}

const rule = (changes: Partial<PolicyRule> = {}): PolicyRule => ({
  name: 'a rule',
  operations: ['sign'],
  scopedOnly: false,
  ...changes,
})
const engineOf = (...rules: readonly PolicyRule[]): PolicyEngine => new PolicyEngine({ rules })

const ski = KEY.ski.toHex()
const spki = createHash('sha256')
  .update(CHAIN[0]?.publicKey.export({ type: 'spki', format: 'der' }) ?? '')
  .digest('hex')

const CASES: readonly (readonly [
  what: string,
  rules: readonly PolicyRule[],
  use: Use,
  reason: RegExp | undefined,
])[] = [
  ['no rule at all', [], {}, /no rule is for this client/],
  ['a rule for anyone', [rule()], {}, undefined],
  ['its common name', [rule({ clients: { cn: ['x', 'edge-1'] } })], {}, undefined],
  ['another common name', [rule({ clients: { cn: ['edge-2'] } })], {}, /no rule is for this client/],
  ['a part of its common name', [rule({ clients: { cn: ['edge'] } })], {}, /no rule is for this client/],
  [
    'an organizational unit that it has not',
    [rule({ clients: { ou: ['edge'] } })],
    {},
    /no rule is for this client/,
  ],
  ['its DNS name', [rule({ clients: { san: ['edge-1.example.com'] } })], {}, undefined],
  ['its address', [rule({ clients: { san: ['c0000201'] } })], {}, undefined],
  ['its pin', [rule({ clients: { spki: [spki] } })], {}, undefined],
  ['another pin', [rule({ clients: { spki: ['00'] } })], {}, /no rule is for this client/],
  [
    'one of two kinds',
    [rule({ clients: { spki: [spki], cn: ['edge-2'] } })],
    {},
    /no rule is for this client/,
  ],
  ['its SKI', [rule({ keys: { ski: [ski] } })], {}, undefined],
  ['the SKI of another key', [rule({ keys: { ski: [ski] } })], { key: OTHER }, /use this key/],
  ['its label', [rule({ keys: { label: ['test*p2?6', 'test key p*'] } })], {}, undefined],
  ['another label', [rule({ keys: { label: ['test key'] } })], {}, /use this key/],
  ['its server name', [rule({ sni: ['www.example.com'] })], { sni: 'WWW.example.com' }, undefined],
  ['a wildcard', [rule({ sni: ['*.example.com'] })], { sni: 'www.example.com' }, undefined],
  [
    'a wildcard, two labels',
    [rule({ sni: ['*.example.com'] })],
    { sni: 'a.b.example.com' },
    /server name a\.b/,
  ],
  [
    'a wildcard, none',
    [rule({ sni: ['*.example.com'] })],
    { sni: 'example.com' },
    /server name example\.com/,
  ],
  ['a wildcard, an empty one', [rule({ sni: ['*.example.com'] })], { sni: '.example.com' }, /server name/],
  ['no server name', [rule({ sni: ['www.example.com'] })], {}, /a server name is needed/],
  ['SHA-1', [rule()], { row: SHA1 }, /ecdsa_sha1 is not among/],
  ['SHA-1 if allowed', [rule({ operations: ['legacy_sign'] })], { row: SHA1 }, undefined],
  ['SHA-256 where only SHA-1 is', [rule({ operations: ['legacy_sign'] })], {}, /ecdsa_sha256 is not among/],
  ['an algorithm by name', [rule({ operations: ['ecdsa_sha256'] })], {}, undefined],
  ['raw decryption', [rule()], { row: OPCODES.OpRSADecrypt, key: OTHER }, /rsa_decrypt is not among/],
  [
    'raw decryption if allowed',
    [rule({ operations: ['rsa_decrypt'] })],
    { row: OPCODES.OpRSADecrypt, key: OTHER },
    undefined,
  ],
  ['sealing', [rule()], { row: OPCODES.OpSeal, key: undefined }, /seal is not among/],
  [
    'sealing if allowed',
    [rule({ operations: ['seal'] })],
    { row: OPCODES.OpSeal, key: undefined },
    undefined,
  ],
  [
    'sealing by a rule for keys',
    [rule({ operations: ['seal'], keys: { ski: [ski] } })],
    { row: OPCODES.OpSeal, key: undefined },
    /use this key/,
  ],
  ['a digest under scoped only', [rule({ scopedOnly: true })], {}, /digests are refused/],
  ['scoped under scoped only', [rule({ scopedOnly: true })], { isScoped: true }, undefined],
  ['scoped where digests are allowed', [rule()], { isScoped: true }, undefined],
  ['the second rule', [rule({ clients: { cn: ['x'] } }), rule()], {}, undefined],
]

describe('policy engine', () => {
  for (const [what, rules, use, reason] of CASES) {
    it(`${what}: ${reason === undefined ? 'allowed' : 'denied'}`, () => {
      const engine = engineOf(...rules)
      for (let again = 0; again < 2; again++) {
        const given = denial(engine, use)
        if (reason === undefined) assert.equal(given, undefined)
        else assert.match(given ?? 'allowed', reason)
      }
    })
  }

  it('holds the rate of each client and of each key', () => {
    let now = 0
    const limited = rule({ clientRate: { perSecond: 1, burst: 2 }, keyRate: { perSecond: 1, burst: 3 } })
    const engine = new PolicyEngine({ rules: [limited] }, { nowMs: () => now })
    const by = client()
    assert.equal(denial(engine, { by }), undefined)
    assert.equal(denial(engine, { by }), undefined)
    assert.match(denial(engine, { by }) ?? '', /too many requests for a rule/)
    assert.match(denial(engine) ?? '', /too many/, 'another connection of the same client')
    now = 1000
    assert.equal(denial(engine, { by }), undefined)
    now = 1500
    assert.match(denial(engine, { by }) ?? '', /too many/)
  })

  it('keeps a bounded number of decisions, and judges the same after', () => {
    const engine = engineOf(rule({ sni: ['*.example.com'] }))
    const by = client()
    for (let name = 0; name < 10_000; name++) {
      assert.equal(denial(engine, { by, sni: `${name}.example.com` }), undefined)
    }
    assert.match(denial(engine, { by, sni: `${'a'.repeat(300)}.example.com` }) ?? '', /too long/)
    assert.match(denial(engine, { by, sni: 'other.example' }) ?? '', /not for the server name/)
  })

  it('tells which rules fit no key, and which keys no rule', () => {
    const engine = engineOf(
      rule({ name: 'typo', keys: { ski: ['00'] } }),
      rule({ name: 'ok', keys: { ski: [ski] } }),
    )
    assert.deepEqual(engine.unusedRules([KEY, OTHER]), ['typo'])
    assert.deepEqual(engine.unreachable([KEY, OTHER]), [OTHER])
  })

  const anyRule = fc.record({
    name: fc.constant('any'),
    clients: fc.option(fc.record({ cn: fc.subarray(['edge-1', 'edge-2']) }), { nil: undefined }),
    keys: fc.option(fc.record({ ski: fc.subarray([ski, '00']) }), { nil: undefined }),
    sni: fc.option(fc.subarray(['*.example.com', 'www.example.com', 'x']), { nil: undefined }),
    operations: fc.subarray([...POLICY_OPERATIONS, 'ecdsa_sha256' as const]),
    scopedOnly: fc.boolean(),
  })
  const anyUse = fc.record({
    row: fc
      .constantFrom(...([SIGN, SHA1, OPCODES.OpRSADecrypt] as const))
      .map((row) => opcodeRow(row.code) as Row),
    key: fc.constantFrom(KEY, OTHER),
    sni: fc.constantFrom('www.example.com', 'a.example.com', 'b', ''),
    isScoped: fc.boolean(),
  })

  it('denies what no rule allows by itself, and another rule takes nothing away', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 5 }), anyRule, anyUse, (rules, more, use) => {
        const isAllowed = (policy: Policy): boolean => denial(new PolicyEngine(policy), use) === undefined
        const together = isAllowed({ rules })
        assert.equal(
          together,
          rules.some((each) => isAllowed({ rules: [each] })),
        )
        assert.equal(isAllowed({ rules: [...rules, more] }), together || isAllowed({ rules: [more] }))
      }),
      { numRuns: 500 },
    )
  })
})
