// Google Cloud KMS: the official auth library and its HTTP client, against a server on this machine that speaks the REST of
// the service with real keys inside.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { keyStoreContract } from '@latchkey/keys/contract'
import { openKeyStore } from '@latchkey/keys-google'
import { bend, cloudFaults, firstOf } from './support/services/faults.ts'
import { GOOGLE_KEYS, type GoogleKey, googleName, refusal, startGoogle } from './support/services/google.ts'
import { freshRsa, publicKeyOf, type Service } from './support/services/service.ts'

const EMAIL = 'keyserver@p.iam.gserviceaccount.com'
const folder = mkdtempSync(join(tmpdir(), 'latchkey-google-'))
let service: Service
before(async () => {
  const account = freshRsa()
  const file = join(folder, 'account.json')
  const credentials = {
    type: 'service_account',
    project_id: 'p',
    private_key_id: '1',
    private_key: account.pem,
    client_email: EMAIL,
  }
  writeFileSync(file, JSON.stringify(credentials), { mode: 0o600 })
  service = await startGoogle({ email: EMAIL, publicKey: account.publicKey })
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = file
  process.env['CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS'] = `http://127.0.0.1:${service.port}/`
})
after(async () => {
  await service[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

for (const keys of [['p256', 'p384', 'pss', 'ed25519'], ['pkcs1']] as const) {
  keyStoreContract(`Google Cloud KMS, ${keys.join(', ')}`, async () => ({
    store: await openKeyStore(
      keys.map((key) => ({ uri: googleName(key) })),
      {},
    ),
    publicKeys: keys.map((key) => publicKeyOf(GOOGLE_KEYS[key].pair)),
  }))
}

cloudFaults('Google Cloud KMS', {
  service: () => service,
  open: openKeyStore,
  uri: googleName('p256'),
  bad: [
    {
      name: 'a key that is not there',
      uri: googleName('nope' as GoogleKey),
      code: 'ERR_KEYS_NOT_FOUND',
      says: /check project/,
    },
    {
      name: 'a kind of key that no TLS has',
      uri: googleName('secp256k1'),
      code: 'ERR_KEYS_UNSUPPORTED',
      says: /SECP256K1/,
    },
    {
      name: 'a name without a version',
      uri: 'projects/p/locations/l/keyRings/r/cryptoKeys/k',
      code: 'ERR_KEYS_URI',
      says: /cryptoKeyVersions/,
    },
  ],
  faults: {
    denied: refusal(
      403,
      'PERMISSION_DENIED',
      "Permission 'cloudkms.cryptoKeyVersions.useToSign' denied on resource",
    ),
    disabled: refusal(
      400,
      'FAILED_PRECONDITION',
      'CryptoKeyVersion is not enabled, current state is: DISABLED.',
    ),
    busy: refusal(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded', { 'retry-after': '1' }),
    broken: refusal(503, 'UNAVAILABLE', 'The service is currently unavailable.'),
    wrongAlgorithm: refusal(400, 'INVALID_ARGUMENT', 'Wrong digest type'),
    bent: bend('signature'),
  },
})

test('what is asked is what the reference documents', async () => {
  await using store = await openKeyStore([{ uri: googleName('p256') }], {})
  service.asked.length = 0
  await firstOf(store).sign('ecdsa_sha256', new Uint8Array(32))
  const [asked] = service.asked
  assert.equal(asked?.method, 'POST')
  assert.equal(asked.path, `/v1/${googleName('p256')}:asymmetricSign`)
  // CRC-32C of 32 zero bytes: RFC 3720 §B.4.
  assert.deepEqual(asked.body, {
    digest: { sha256: Buffer.alloc(32).toString('base64') },
    digestCrc32c: String(0x8a9136aa),
  })
})

test('a digest that was bent on the way to the service is not signed', async () => {
  await using store = await openKeyStore([{ uri: googleName('p256') }], {})
  const unverified = ({ body, ...rest }: { status: number; body: unknown }) => ({
    ...rest,
    body: { ...(body as object), verifiedDigestCrc32c: false },
  })
  service.failAlways(unverified)
  await assert.rejects(firstOf(store).sign('ecdsa_sha256', new Uint8Array(32)) as Promise<unknown>, {
    code: 'ERR_KEYS_REPLY',
    message: /did not receive what was sent/,
  })
  service.heal()
})

test('a key that signs PKCS#1 v1.5 only is told of: it is of no use for TLS 1.3', async () => {
  const warnings: string[] = []
  const logger = {
    debug() {},
    info() {},
    warning: (text: string) => warnings.push(text),
    error() {},
    critical() {},
  }
  await using store = await openKeyStore([{ uri: googleName('pkcs1') }], { logger: logger as never })
  assert.match(warnings.join(), /signs no RSASSA-PSS/)
  assert.equal(store.health()[0]?.state, 'degraded')
})

test('no credentials', async () => {
  const path = process.env['GOOGLE_APPLICATION_CREDENTIALS']
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = join(folder, 'nope.json')
  try {
    await assert.rejects(openKeyStore([{ uri: googleName('p256') }], {}), { code: 'ERR_KEYS_DENIED' })
  } finally {
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = path
  }
})
