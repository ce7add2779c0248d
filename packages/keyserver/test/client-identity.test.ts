// What a client certificate says: tricks with names must not make one name of another.
import assert from 'node:assert/strict'
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
