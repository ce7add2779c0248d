// AWS KMS: the official SDK against a server on this machine that speaks the JSON of the service with real keys inside.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { keyStoreContract } from '@latchkey/keys/contract'
import { proveKey } from '@latchkey/keys/driver'
import { openKeyStore } from '@latchkey/keys-aws'
import { AWS_ACCESS_KEY, awsArn, awsFault, startAws } from './support/services/aws.ts'
import { bend, cloudFaults, firstOf } from './support/services/faults.ts'
import { publicKeyOf, type Service } from './support/services/service.ts'

const KEYS = ['p256', 'p384', 'rsa'] as const
let service: Service
before(async () => {
  service = await startAws()
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: AWS_ACCESS_KEY,
    AWS_SECRET_ACCESS_KEY: 'a-secret',
    AWS_ENDPOINT_URL_KMS: `http://127.0.0.1:${service.port}`,
  })
})
after(() => service[Symbol.asyncDispose]())

keyStoreContract('AWS KMS', async () => ({
  store: await openKeyStore(
    KEYS.map((key) => ({ uri: awsArn(key) })),
    {},
  ),
  publicKeys: KEYS.map(publicKeyOf),
}))

cloudFaults('AWS KMS', {
  service: () => service,
  open: openKeyStore,
  uri: awsArn('p256'),
  bad: [
    {
      name: 'a key that is not there',
      uri: awsArn('nope'),
      code: 'ERR_KEYS_NOT_FOUND',
      says: /check the region/,
    },
    {
      name: 'a name that is none',
      uri: 'arn:aws:kms:eu-west-1:x:key/k',
      code: 'ERR_KEYS_URI',
      says: /awskms:/,
    },
    {
      name: 'a parameter that is none',
      uri: 'awskms:///p256?regoin=eu-west-1',
      code: 'ERR_KEYS_URI',
      says: /region=/,
    },
  ],
  faults: {
    denied: awsFault(400, 'AccessDeniedException', 'User is not authorized to perform: kms:Sign'),
    disabled: awsFault(400, 'DisabledException', 'the key is disabled.'),
    busy: awsFault(400, 'ThrottlingException', 'Rate exceeded', { 'retry-after': '1' }),
    broken: awsFault(500, 'KMSInternalException', 'internal'),
    wrongAlgorithm: awsFault(400, 'InvalidKeyUsageException', 'incompatible'),
    bent: bend('Signature', 0),
  },
})

test('Ed25519: whole messages, of up to 4,096 bytes', async () => {
  await using store = await openKeyStore([{ uri: awsArn('ed25519') }], {})
  const key = firstOf(store)
  await proveKey(key)
  await assert.rejects(async () => key.sign('ed25519', randomBytes(4097)), { code: 'ERR_KEYS_LIMIT' })
})

test('by alias and region', async () => {
  await using store = await openKeyStore([{ uri: 'awskms:///p256?region=eu-west-1' }], {})
  assert.equal(firstOf(store).source, 'awskms:///p256?region=eu-west-1')
})

test('what is asked is what the reference documents', async () => {
  await using store = await openKeyStore([{ uri: awsArn('p256') }], {})
  service.asked.length = 0
  await firstOf(store).sign('ecdsa_sha256', new Uint8Array(32))
  const [asked] = service.asked
  assert.equal(asked?.headers['x-amz-target'], 'TrentService.Sign')
  assert.equal(asked.headers['content-type'], 'application/x-amz-json-1.1')
  assert.deepEqual(asked.body, {
    KeyId: awsArn('p256'),
    Message: Buffer.alloc(32).toString('base64'),
    MessageType: 'DIGEST',
    SigningAlgorithm: 'ECDSA_SHA_256',
  })
})

test('wrong credentials', async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'AKIDOTHER'
  try {
    await assert.rejects(openKeyStore([{ uri: awsArn('p256') }], {}), {
      code: 'ERR_KEYS_DENIED',
      message: /AWS_ACCESS_KEY_ID/,
    })
  } finally {
    process.env['AWS_ACCESS_KEY_ID'] = AWS_ACCESS_KEY
  }
})
