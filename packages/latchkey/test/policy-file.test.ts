import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { ConfigError } from '../src/config/config-error.ts'
import { readPolicyFile } from '../src/config/policy-file.ts'
import { temporaryFolder } from './config-fixture.ts'

function read(yaml: string): ReturnType<typeof readPolicyFile> {
  using folder = temporaryFolder()
  folder.write('policy.yaml', yaml)
  return readPolicyFile(join(folder.path, 'policy.yaml'))
}

const PIN = 'a'.repeat(64)
const WHOLE = `version: 1
scoped_only: true
rules:
- name: edges in the east
  clients:
    cn: edge-1
    ou: [edges, spare]
    san: [Edge-1.Example.com, spiffe://example.com/Edge, ops@Example.com, 192.0.2.1]
    spki: ['${PIN.toUpperCase()}', '${Buffer.from(PIN, 'hex').toString('base64')}']
  keys:
    ski: 'A5:40:3F:6C:B2:9E:8E:35:A9:2F:2D:F1:02:F5:D4:7E:A8:84:DE:21'
    label: ['*.example.com.key']
  sni: ['*.Example.com', 'bücher.example']
  operations: [sign, rsa_decrypt, ecdsa_sha1]
  scoped_only: false
  client_rate: 100/s
  client_burst: 500
  key_rate: 0.5
- keys: { label: other.key }
`

describe('policy file', () => {
  it('reads every field, and makes names and pins alike', () => {
    assert.deepEqual(read(WHOLE).rules, [
      {
        name: 'edges in the east',
        clients: {
          cn: ['edge-1'],
          ou: ['edges', 'spare'],
          san: ['edge-1.example.com', 'spiffe://example.com/Edge', 'ops@example.com', 'c0000201'],
          spki: [PIN, PIN],
        },
        keys: { ski: ['a5403f6cb29e8e35a92f2df102f5d47ea884de21'], label: ['*.example.com.key'] },
        sni: ['*.example.com', 'xn--bcher-kva.example'],
        operations: ['sign', 'rsa_decrypt', 'ecdsa_sha1'],
        scopedOnly: false,
        clientRate: { perSecond: 100, burst: 500 },
        keyRate: { perSecond: 0.5, burst: 1 },
      },
      {
        name: 'rule 2',
        clients: undefined,
        keys: { label: ['other.key'] },
        sni: undefined,
        operations: ['sign'],
        scopedOnly: true,
        clientRate: undefined,
        keyRate: undefined,
      },
    ])
    assert.deepEqual(read('version: 1\nrules: []\n'), { rules: [] })
  })

  const wrong: readonly (readonly [yaml: string, code: string, report: RegExp])[] = [
    ['', 'ERR_CONFIG_VALUE', /version: 1 and a list of rules/],
    ['version: 2\nrules: []\n', 'ERR_CONFIG_VALUE', /setting +version\n +found +2\n +expected +1/],
    ['rules: []\n', 'ERR_CONFIG_MISSING', /version/],
    ['version: 1\n', 'ERR_CONFIG_MISSING', /an empty one denies everything/],
    ['version: 1\nrule: []\nrules: []\n', 'ERR_CONFIG_UNKNOWN_KEY', /did you mean rules\?/],
    [
      'version: 1\nrules:\n- client: {cn: x}\n',
      'ERR_CONFIG_UNKNOWN_KEY',
      /policy\.yaml:3.*\n.*rules\[0\]\.client\n[^]*did you mean clients\?/,
    ],
    [
      'version: 1\nrules:\n- clients: {san: ["a b"]}\n',
      'ERR_CONFIG_VALUE',
      /rules\[0\]\.clients\.san[^]*DNS name/,
    ],
    ['version: 1\nrules:\n- clients: {spki: abc}\n', 'ERR_CONFIG_VALUE', /SHA-256 of a public key/],
    ['version: 1\nrules:\n- clients: {}\n', 'ERR_CONFIG_VALUE', /leave clients out for all of them/],
    ['version: 1\nrules:\n- keys: {}\n', 'ERR_CONFIG_VALUE', /leave keys out for all of them/],
    ['version: 1\nrules:\n- keys: {ski: abc}\n', 'ERR_CONFIG_VALUE', /40 hex digits/],
    ['version: 1\nrules:\n- sni: "*"\n', 'ERR_CONFIG_VALUE', /\*\. in front of one/],
    ['version: 1\nrules:\n- sni: "a.*.example"\n', 'ERR_CONFIG_VALUE', /\*\. in front of one/],
    ['version: 1\nrules:\n- sni: []\n', 'ERR_CONFIG_VALUE', /host name/],
    ['version: 1\nrules:\n- operations: [sing]\n', 'ERR_CONFIG_VALUE', /sign, legacy_sign, rsa_decrypt/],
    ['version: 1\nrules:\n- client_rate: fast\n', 'ERR_CONFIG_VALUE', /100\/s/],
    ['version: 1\nrules:\n- client_rate: 0\n', 'ERR_CONFIG_VALUE', /100\/s/],
    [
      'version: 1\nrules:\n- {name: a}\n- {name: a}\n',
      'ERR_CONFIG_VALUE',
      /policy\.yaml:4.*\n.*rules\[1\]\.name\n.*another rule has/,
    ],
    [
      'version: 1\nscoped_only: true\nrules:\n- operations: [sign, rsa_decrypt]\n',
      'ERR_CONFIG_VALUE',
      /raw RSA decryption makes a signature of anything/,
    ],
    ['version: 1\nrules: [\n', 'ERR_CONFIG_SYNTAX', /policy\.yaml/],
  ]
  for (const [yaml, code, report] of wrong) {
    it(`${code}: ${JSON.stringify(yaml)}`, () => {
      assert.throws(
        () => read(yaml),
        (error: ConfigError) => {
          assert.equal(error.code, code)
          assert.match(error.report(), report)
          return true
        },
      )
    })
  }
})
