// Vault's Transit engine, over HTTPS, against a server on this machine that speaks its HTTP API with real keys inside.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { keyStoreContract } from '@latchkey/keys/contract'
import { proveKey } from '@latchkey/keys/driver'
import { openKeyStore } from '@latchkey/keys-vault'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import type { DriverOptions } from '@latchkey/keys'
import { bend, cloudFaults, firstOf } from './support/services/faults.ts'
import { publicKeyOf } from './support/services/service.ts'
import { ROLE, startVault, vaultFault, type VaultService } from './support/services/vault.ts'

const KEYS = ['p256', 'p384', 'rsa', 'ed25519'] as const
const folder = mkdtempSync(join(tmpdir(), 'latchkey-vault-'))
const caFile = join(folder, 'ca.pem')
let vault: VaultService
let env: Record<string, string>
before(async () => {
  const ca = await createThrowawayCa()
  const { chainPem, privateKeyPem } = await ca.issue({ ipAddresses: ['127.0.0.1'] })
  writeFileSync(caFile, ca.certificatePem)
  vault = await startVault({ cert: chainPem, key: privateKeyPem })
  env = {
    VAULT_ADDR: `https://127.0.0.1:${vault.service.port}`,
    VAULT_CACERT: caFile,
    VAULT_TOKEN: 'root-token',
  }
})
after(async () => {
  await vault.service[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const open = (entries: Parameters<typeof openKeyStore>[0], options: DriverOptions) =>
  openKeyStore(entries, { env, ...options })

keyStoreContract('Vault Transit', async () => ({
  store: await open(
    KEYS.map((key) => ({ uri: `vault:transit/keys/${key}#1` })),
    {},
  ),
  publicKeys: KEYS.map(publicKeyOf),
}))

cloudFaults('Vault Transit', {
  service: () => vault.service,
  open,
  uri: 'vault:transit/keys/p256',
  bad: [
    {
      name: 'a key that is not there',
      uri: 'vault:transit/keys/nope',
      code: 'ERR_KEYS_NOT_FOUND',
      says: /check the mount/,
    },
    {
      name: 'a version that is not there',
      uri: 'vault:transit/keys/p256#7',
      code: 'ERR_KEYS_NOT_FOUND',
      says: /no version 7.*its versions: 1/,
    },
    {
      name: 'a name that is none',
      uri: 'vault:transit/p256',
      code: 'ERR_KEYS_URI',
      says: /vault:transit\/keys\/site#1/,
    },
  ],
  faults: {
    denied: vaultFault(403, '1 error occurred:\n\t* permission denied\n\n'),
    disabled: undefined,
    busy: vaultFault(429, 'request path "transit/sign/p256": rate limit quota exceeded', {
      'retry-after': '1',
    }),
    broken: vaultFault(503, 'Vault is sealed'),
    wrongAlgorithm: vaultFault(400, 'unsupported hash algorithm'),
    bent: ({ body, ...rest }) => {
      const { data } = body as { data: { signature: string } }
      const { body: bent } = bend('signature', 9)({ status: 200, body: data })
      return { ...rest, body: { data: bent } }
    },
  },
})

test('what is asked is what the reference documents', async () => {
  await using store = await open([{ uri: 'vault:transit/keys/rsa' }], {})
  vault.service.asked.length = 0
  await firstOf(store).sign('rsa_pss_sha256', new Uint8Array(32))
  const [asked] = vault.service.asked
  assert.deepEqual([asked?.method, asked?.path], ['POST', '/v1/transit/sign/rsa/sha2-256'])
  assert.equal(asked?.headers['x-vault-token'], 'root-token')
  assert.deepEqual(asked.body, {
    input: Buffer.alloc(32).toString('base64'),
    prehashed: true,
    signature_algorithm: 'pss',
    salt_length: 'hash',
    key_version: 1,
  })
})

test('AppRole: one login for all, and another when the token was revoked', async () => {
  const { VAULT_TOKEN: _, ...others } = env
  const role = {
    ...others,
    VAULT_ROLE_ID: ROLE.role_id,
    VAULT_SECRET_ID: ROLE.secret_id,
    VAULT_NAMESPACE: 'team',
  }
  await using store = await openKeyStore([{ uri: 'vault:transit/keys/p256' }], { env: role })
  const key = firstOf(store)
  await Promise.all(Array.from({ length: 8 }, () => proveKey(key)))
  assert.equal(vault.logins, 1)
  assert.equal(vault.service.asked.at(-1)?.headers['x-vault-namespace'], 'team')
  vault.tokens.delete('approle-1')
  await proveKey(key)
  assert.equal(vault.logins, 2)
})

test('a role that is not known, a token that is none, a CA that is not named', async () => {
  const uri = 'vault:transit/keys/p256'
  const { VAULT_TOKEN: _, ...others } = env
  const role = { ...others, VAULT_ROLE_ID: ROLE.role_id, VAULT_SECRET_ID: 'wrong' }
  await assert.rejects(openKeyStore([{ uri }], { env: role }), {
    code: 'ERR_KEYS_DENIED',
    message: /secret_id/,
  })
  await assert.rejects(openKeyStore([{ uri }], { env: { ...env, VAULT_TOKEN: 'x' } }), {
    code: 'ERR_KEYS_DENIED',
  })
  await assert.rejects(openKeyStore([{ uri, timeoutMs: 1000 }], { env: { ...env, VAULT_CACERT: '' } }), {
    code: 'ERR_KEYS_UNAVAILABLE',
    message: /VAULT_CACERT/,
  })
})
