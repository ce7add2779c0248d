import assert from 'node:assert/strict'
import { constants, createHash, generateKeyPairSync, privateDecrypt, publicEncrypt } from 'node:crypto'
import test from 'node:test'
import { type DecryptRequest, type SignatureScheme, SIGNATURE_SCHEMES, type SignRequest } from '@latchkey/tls'
import { KeylessError, opcodeName, opcodeRow, OPCODES, type Operation } from '@latchkey/wire'
import type { RequestOptions } from './client.ts'
import { createKeylessSigner, type Requester } from './signer.ts'

const KEY_ID = new Uint8Array(32).fill(0xab)
const SKI = new Uint8Array(20).fill(7)
const KEYS = new Map([['ab'.repeat(32), { ski: SKI }]])
const CONTENT = new TextEncoder().encode('what TLS says is signed')
const { signal } = new AbortController()

/** Remembers what it is asked and gives `reply`. */
function recorder(reply: Operation = { opcode: OPCODES.OpResponse.code, payload: Uint8Array.of(1, 2, 3) }): {
  readonly client: Requester
  readonly asked: { operation: Operation; options: RequestOptions | undefined }[]
} {
  const asked: { operation: Operation; options: RequestOptions | undefined }[] = []
  const client: Requester = {
    async request(operation, options) {
      asked.push({ operation, options })
      return reply
    },
  }
  return { client, asked }
}

function signRequest(changed: Partial<SignRequest> = {}): SignRequest {
  return {
    keyId: KEY_ID,
    scheme: SIGNATURE_SCHEMES.ecdsa_secp256r1_sha256.code,
    content: CONTENT,
    purpose: 'tls13-server-cv',
    serverName: 'www.example.com',
    clientAddress: '192.0.2.1',
    deadlineMs: 5000,
    ...changed,
  }
}

for (const [name, { code, keyType, hash }] of Object.entries(SIGNATURE_SCHEMES)) {
  test(`scheme ${name} is asked for as it must be`, async () => {
    const { client, asked } = recorder()
    const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 1000 })
    assert.deepEqual(await signer.sign(signRequest({ scheme: code }), signal), Uint8Array.of(1, 2, 3))
    const { operation, options } = asked[0] ?? assert.fail()
    const row = opcodeRow(operation.opcode)
    assert.ok(row?.kind === 'sign')
    assert.deepEqual([row.keyType, row.hash], [keyType, hash])
    assert.equal(opcodeName(row.code).includes('PSS'), name.includes('pss'))
    const input = hash === undefined ? CONTENT : createHash(hash).update(CONTENT).digest()
    assert.equal(Buffer.compare(operation.payload ?? assert.fail(), input), 0)
    assert.deepEqual(operation.ski, SKI)
    assert.deepEqual(operation.serverName, new TextEncoder().encode('www.example.com'))
    assert.deepEqual(operation.clientIp, Uint8Array.of(192, 0, 2, 1))
    assert.equal(operation.requestContext, undefined)
    const { scoped, ...rest } = options ?? assert.fail()
    assert.deepEqual(rest, { signal, timeoutMs: 4000 })
    // Where the key server knows scopes it gets the content itself, all else being equal.
    assert.deepEqual(scoped, { ...operation, payload: CONTENT, extra: Uint8Array.of(1) })
  })
}

test('what is signed has the scope of its purpose, and a delegated credential none', async () => {
  const { client, asked } = recorder()
  const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 0 })
  for (const purpose of ['tls12-ske', 'delegated-credential'] as const) {
    await signer.sign(signRequest({ purpose }), signal)
  }
  assert.deepEqual(
    asked.map(({ options }) => options?.scoped?.extra),
    [Uint8Array.of(2), undefined],
  )
})

test('no name and no usable address: they are left out', async () => {
  const { client, asked } = recorder()
  const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 0 })
  await signer.sign(signRequest({ serverName: '', clientAddress: undefined }), signal)
  await signer.sign(signRequest({ serverName: '', clientAddress: 'a socket path' }), signal)
  for (const { operation } of asked) assert.deepEqual(Object.keys(operation), ['opcode', 'payload', 'ski'])
})

test('a request id goes along when told, a new one each time', async () => {
  const { client, asked } = recorder()
  const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 0, sendRequestId: true })
  await signer.sign(signRequest(), signal)
  await signer.sign(signRequest(), signal)
  const ids = asked.map(
    ({ operation }) => JSON.parse(new TextDecoder().decode(operation.requestContext)).request_id,
  )
  assert.match(ids[0], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.notEqual(ids[0], ids[1])
})

test('keys may be a function, and the key server may be chosen for each signature', async () => {
  const { client, asked } = recorder()
  const picked: Uint8Array[] = []
  const pick = (ski: Uint8Array): Requester => {
    picked.push(ski)
    return client
  }
  const keys = (id: string): { ski: Uint8Array } | undefined => KEYS.get(id)
  await createKeylessSigner({ pick, keys, clock: () => 0 }).sign(signRequest(), signal)
  assert.deepEqual([picked, asked.length], [[SKI], 1])
})

test('the signature is a copy of its own', async () => {
  const payload = Buffer.from([1, 2, 3])
  const { client } = recorder({
    opcode: OPCODES.OpResponse.code,
    payload: new Uint8Array(payload.buffer, payload.byteOffset, 3),
  })
  const signature = await createKeylessSigner({ client, keys: KEYS, clock: () => 0 }).sign(
    signRequest(),
    signal,
  )
  assert.notEqual(signature.buffer, payload.buffer)
})

const REFUSED: readonly {
  name: string
  request?: Partial<SignRequest>
  reply?: Operation
  code: string
}[] = [
  { name: 'unknown key', request: { keyId: new Uint8Array(32) }, code: 'ERR_CLIENT_UNKNOWN_KEY' },
  { name: 'ed448', request: { scheme: 0x0808 as SignatureScheme }, code: 'ERR_CLIENT_SCHEME' },
  { name: 'deadline passed', request: { deadlineMs: 999 }, code: 'ERR_CLIENT_TIMEOUT' },
  { name: 'pong', reply: { opcode: 0xf2, payload: Uint8Array.of(1) }, code: 'ERR_KEYLESS_REPLY' },
  { name: 'empty success', reply: { opcode: 0xf0 }, code: 'ERR_KEYLESS_REPLY' },
]

for (const { name, request, reply, code } of REFUSED) {
  test(`no signature: ${name}`, async () => {
    const { client } = recorder(reply)
    const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 1000 })
    await assert.rejects(async () => signer.sign(signRequest(request), signal), { code })
  })
}

test('what the key server answers comes through', async () => {
  const error = new KeylessError('ERR_KEYLESS_KEY_NOT_FOUND')
  const client: Requester = { request: () => Promise.reject(error) }
  const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 0 })
  await assert.rejects(async () => signer.sign(signRequest(), signal), error)
})

// ── premaster secrets ───────────────────────────────────────────────────────────────────────────────────────────────

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const PREMASTER = Buffer.alloc(48, 3)

function decryptRequest(changed: Partial<DecryptRequest> = {}): DecryptRequest {
  return {
    keyId: KEY_ID,
    ciphertext: publicEncrypt({ key: rsa.publicKey, padding: constants.RSA_PKCS1_PADDING }, PREMASTER),
    clientVersion: 0x0303,
    serverName: 'www.example.com',
    clientAddress: '192.0.2.1',
    deadlineMs: 5000,
    ...changed,
  }
}

/** Answers as a key server: raw RSA, the padding still in place. */
function rawRsa(change: (block: Buffer) => Uint8Array = (block) => block): ReturnType<typeof recorder> {
  const { client, asked } = recorder()
  return {
    asked,
    client: {
      async request(operation, options) {
        await client.request(operation, options)
        const padding = { key: rsa.privateKey, padding: constants.RSA_NO_PADDING }
        return {
          opcode: OPCODES.OpResponse.code,
          payload: change(privateDecrypt(padding, operation.payload ?? assert.fail())),
        }
      },
    },
  }
}

test('a premaster secret is asked for as raw RSA, and taken out of its block here', async () => {
  let block: Uint8Array | undefined
  const { client, asked } = rawRsa((bytes) => (block = bytes))
  const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 1000 })
  const request = decryptRequest()
  const premaster = await signer.decryptPremaster(request, signal)
  assert.equal(Buffer.compare(premaster, PREMASTER), 0)
  assert.ok(
    block?.every((byte) => byte === 0),
    'the reply is wiped',
  )
  const { operation, options } = asked[0] ?? assert.fail()
  assert.equal(opcodeName(operation.opcode), 'OpRSADecrypt')
  assert.equal(operation.payload, request.ciphertext)
  assert.deepEqual(operation.ski, SKI)
  assert.deepEqual(operation.serverName, new TextEncoder().encode('www.example.com'))
  assert.deepEqual(operation.clientIp, Uint8Array.of(192, 0, 2, 1))
  assert.deepEqual(options, { signal, timeoutMs: 4000, scoped: undefined })
})

test('a block that is padded wrongly gives 48 bytes too, others each time', async () => {
  const spoilt = [0, 1, 9, 207].map((at) => (block: Buffer) => {
    block.writeUInt8(at === 207 ? 1 : at === 9 ? 0 : 7, at)
    return block
  })
  for (const change of spoilt) {
    const signer = createKeylessSigner({ client: rawRsa(change).client, keys: KEYS, clock: () => 0 })
    const answers = [
      await signer.decryptPremaster(decryptRequest(), signal),
      await signer.decryptPremaster(decryptRequest(), signal),
    ].map((bytes) => Buffer.from(bytes).toString('hex'))
    assert.deepEqual(
      answers.map(({ length }) => length),
      [96, 96],
    )
    assert.equal(new Set([...answers, PREMASTER.toString('hex')]).size, 3)
  }
})

for (const [name, change] of [
  ['shorter than the modulus', (block: Buffer) => block.subarray(1)],
  ['without its padding', (block: Buffer) => block.subarray(-48)],
  ['longer', (block: Buffer) => Buffer.concat([Buffer.of(0), block])],
] as const) {
  test(`no premaster secret: a block ${name}`, async () => {
    const signer = createKeylessSigner({ client: rawRsa(change).client, keys: KEYS, clock: () => 0 })
    await assert.rejects(signer.decryptPremaster(decryptRequest(), signal) as Promise<Uint8Array>, {
      code: 'ERR_KEYLESS_REPLY',
    })
  })
}

for (const { name, request, reply, code } of REFUSED.filter(({ name }) => name !== 'ed448')) {
  test(`no premaster secret: ${name}`, async () => {
    const { client } = recorder(reply)
    const signer = createKeylessSigner({ client, keys: KEYS, clock: () => 1000 })
    const { keyId = KEY_ID, deadlineMs = 5000 } = request ?? {}
    const asked = decryptRequest({ keyId, deadlineMs })
    await assert.rejects(async () => signer.decryptPremaster(asked, signal), { code })
  })
}
