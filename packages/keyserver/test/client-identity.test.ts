// What a client certificate says: tricks with names must not make one name of another.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { readClientIdentity } from '../src/policy/client-identity.ts'

const ca = await createThrowawayCa()

async function identityOf(commonName: string): Promise<ReturnType<typeof readClientIdentity>> {
  const { certificatePem } = await ca.issue({ commonName, dnsNames: ['A.example', 'spiffe.example'] })
  return readClientIdentity(new X509Certificate(certificatePem))
}

for (const name of [
  'edge',
  'edge\nOU=admin',
  'edge\0',
  'edge, OU=admin',
  'édge 中',
  'CN=other',
  '"edge"+OU=x',
]) {
  test(`the common name ${JSON.stringify(name)} is one name and no unit`, async () => {
    const { cn, ou, san, spki } = await identityOf(name)
    assert.deepEqual(cn, [name])
    assert.deepEqual(ou, [])
    assert.deepEqual(san, ['a.example', 'spiffe.example'])
    assert.match(spki, /^[0-9a-f]{64}$/)
  })
}

test('several units and names, alternative names of every kind', () => {
  const made = (...options: readonly string[]): string =>
    execFileSync(
      'openssl',
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -multivalue-rdn'
        .split(' ')
        .concat(['-subj', '/OU=edges/OU=spare/CN=a/CN=b+OU=third'], options),
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    )
  const names =
    'DNS:A.example,email:Ops@Example.com,URI:spiffe://example.com/Edge,IP:192.0.2.1,IP:2001:db8::1'
  const identity = readClientIdentity(new X509Certificate(made('-addext', `subjectAltName=${names}`)))
  assert.deepEqual(identity.cn, ['a', 'b'])
  assert.deepEqual(identity.ou, ['edges', 'spare', 'third'])
  assert.deepEqual(identity.san, [
    'a.example',
    'ops@example.com',
    'spiffe://example.com/Edge',
    'c0000201',
    '20010db8000000000000000000000001',
  ])
})
