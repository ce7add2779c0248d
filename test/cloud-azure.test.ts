// Azure Key Vault: the official SDKs for keys and for who we are, over HTTPS, against a server on this machine that speaks
// their REST with real keys inside. Only where the hosts are is told to the SDK's own HTTP client.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { DriverEntry, DriverOptions, DriverStore } from '@latchkey/keys'
import { keyStoreContract } from '@latchkey/keys/contract'
import { proveKey, RemoteKeyStore } from '@latchkey/keys/driver'
import { azureService } from '@latchkey/keys-azure'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import {
  type AzureService,
  azureFault,
  CLIENT,
  startAzure,
  TENANT,
  VERSION,
} from './support/services/azure.ts'
import { cloudFaults, firstOf } from './support/services/faults.ts'
import { publicKeyOf } from './support/services/service.ts'

const KEYS = ['p256', 'p384', 'rsa'] as const
const VAULT = 'https://latchkey.vault.azure.net/keys'
let azure: AzureService
before(async () => {
  const ca = await createThrowawayCa()
  const { chainPem, privateKeyPem } = await ca.issue({ ipAddresses: ['127.0.0.1'] })
  azure = await startAzure({ cert: chainPem, key: privateKeyPem, ca: ca.certificatePem })
  Object.assign(process.env, {
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: CLIENT.id,
    AZURE_CLIENT_SECRET: CLIENT.secret,
  })
})
after(() => azure.service[Symbol.asyncDispose]())

function open(
  entries: readonly DriverEntry[],
  { env = process.env, ...options }: DriverOptions,
): Promise<DriverStore> {
  return RemoteKeyStore.open(azureService({ env, httpClient: azure.httpClient }), entries, options)
}

for (const place of [VAULT, 'https://latchkey.managedhsm.azure.net/keys']) {
  keyStoreContract(place, async () => ({
    store: await open(
      KEYS.map((key) => ({ uri: `${place}/${key}/${VERSION}` })),
      {},
    ),
    publicKeys: KEYS.map(publicKeyOf),
  }))
}

cloudFaults('Azure Key Vault', {
  service: () => azure.service,
  open,
  uri: `${VAULT}/p256/${VERSION}`,
  bad: [
    {
      name: 'a key that is not there',
      uri: `${VAULT}/nope/${VERSION}`,
      code: 'ERR_KEYS_NOT_FOUND',
      says: /check the names/,
    },
    { name: 'a disabled key', uri: `${VAULT}/disabled`, code: 'ERR_KEYS_DISABLED', says: /enable the key/ },
    { name: 'a name that is none', uri: `${VAULT}/p256/1`, code: 'ERR_KEYS_URI', says: /32 digits/ },
    {
      name: 'another host',
      uri: 'https://x.vault.azure.net.example/keys/a',
      code: 'ERR_KEYS_URI',
      says: /vault\.azure\.net/,
    },
  ],
  faults: {
    denied: azureFault(
      403,
      'Forbidden',
      'The user does not have keys sign permission on key vault',
      'ForbiddenByPolicy',
    ),
    disabled: azureFault(403, 'Forbidden', 'Operation is not allowed on a disabled key.', 'KeyDisabled'),
    busy: azureFault(
      429,
      'Throttled',
      'Request was not processed because too many requests were received.',
      undefined,
      { 'retry-after': '1' },
    ),
    broken: azureFault(500, 'InternalServerError', 'internal'),
    wrongAlgorithm: azureFault(400, 'BadParameter', 'Key and signing algorithm are incompatible.'),
    // r‖s has no form that a bent bit would break: half of it is.
    bent: ({ body, ...rest }) => ({
      ...rest,
      body: { ...(body as object), value: (body as { value: string }).value.slice(0, 40) },
    }),
  },
})

test('the current version, where none is named', async () => {
  await using store = await open([{ uri: `${VAULT}/p256` }], {})
  await proveKey(firstOf(store))
  assert.ok(azure.service.asked.at(-1)?.path.startsWith(`/keys/p256/${VERSION}/sign?`))
})

test('what is asked is what the reference documents', async () => {
  await using store = await open([{ uri: `${VAULT}/rsa/${VERSION}` }], {})
  azure.service.asked.length = 0
  await firstOf(store).sign('rsa_pss_sha256', new Uint8Array(32))
  const [asked] = azure.service.asked
  assert.equal(asked?.method, 'POST')
  assert.match(decodeURIComponent(asked.path), new RegExp(`^/keys/rsa/${VERSION}/sign\\?api-version=\\d`))
  assert.deepEqual(asked.body, { alg: 'PS256', value: Buffer.alloc(32).toString('base64url') })
})

test('the file of AZURE_AUTH_LOCATION, right, wrong and unreadable', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-azure-'))
  const file = join(folder, 'auth.json')
  const env = { AZURE_AUTH_LOCATION: file }
  const uri = `${VAULT}/p256/${VERSION}`
  try {
    const right = { tenantId: TENANT, clientId: CLIENT.id, clientSecret: CLIENT.secret }
    writeFileSync(file, JSON.stringify(right), { mode: 0o600 })
    await using store = await open([{ uri }], { env })
    await proveKey(firstOf(store))
    writeFileSync(file, JSON.stringify({ ...right, clientSecret: 'wrong' }))
    await assert.rejects(open([{ uri }], { env }), {
      code: 'ERR_KEYS_DENIED',
      message: /no token.*AZURE_CLIENT_SECRET/s,
    })
    writeFileSync(file, '{"clientSecret": "a-secret"')
    await assert.rejects(open([{ uri }], { env }), (error: Error) => !error.message.includes('a-secret'))
  } finally {
    rmSync(folder, { recursive: true })
  }
})
