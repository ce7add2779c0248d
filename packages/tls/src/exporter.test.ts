import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer } from 'node:tls'
import * as fc from 'fast-check'
import { testCertificate } from '../test/support/certificate.ts'
import { anyExpandLabel, exportKeyingMaterial } from './exporter.ts'
import { hkdf } from './handshake/key-schedule.ts'
import { keyLogLine } from './key-log.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const EXPORTS: readonly { label: string; context: string | undefined; length: number }[] = [
  { label: 'EXPORTER-Channel-Binding', context: '', length: 32 },
  { label: 'EXPORTER-Channel-Binding', context: undefined, length: 32 },
  { label: 'EXPERIMENTAL latchkey', context: 'a context', length: 1 },
  { label: 'EXPERIMENTAL latchkey', context: 'a context', length: 48 },
  { label: 'EXPERIMENTAL latchkey', context: 'a context', length: 49 },
  { label: 'EXPERIMENTAL latchkey', context: 'x'.repeat(1000), length: 1000 },
  { label: 'y'.repeat(128), context: undefined, length: 100 },
]

for (const [suite, hash] of [
  ['TLS_AES_128_GCM_SHA256', 'sha256'],
  ['TLS_AES_256_GCM_SHA384', 'sha384'],
] as const) {
  test(`${suite}: exports what OpenSSL exports, and logs its secrets as OpenSSL does`, async () => {
    const { chainPem, privateKey } = testCertificate('p256')
    const server = createServer({
      cert: chainPem,
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      minVersion: 'TLSv1.3',
    })
    const lines: string[] = []
    server.on('secureConnection', (socket) => socket.on('error', () => socket.destroy()))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const client = connect({ port, host: '127.0.0.1', ciphers: suite, rejectUnauthorized: false })
    client.on('keylog', (line: Buffer) => lines.push(line.toString('latin1')))
    try {
      await once(client, 'secureConnect')
      assert.equal(client.getCipher().name, suite)
      const line = lines.find((text) => text.startsWith('EXPORTER_SECRET ')) as string
      const [, random, secret] = line.trim().split(' ') as [string, string, string]
      assert.equal(keyLogLine('EXPORTER_SECRET', hex(random), hex(secret)), line)
      for (const { label, context, length } of EXPORTS) {
        const material = exportKeyingMaterial({
          hash,
          expandLabel: anyExpandLabel(hkdf(hash)),
          secret: hex(secret),
          label,
          length,
          ...(context === undefined ? {} : { context: Buffer.from(context) }),
        })
        const theirs = client.exportKeyingMaterial(length, label, Buffer.from(context ?? ''))
        assert.equal(toHex(material), theirs.toString('hex'), `${label}, ${length} bytes`)
      }
    } finally {
      client.destroy()
      server.close()
      await once(server, 'close')
    }
  })

  const kdf = hkdf(hash)
  const secret = (): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: kdf.length, maxLength: kdf.length })

  test(`${hash}: one block is the expandLabel of the key schedule`, () => {
    fc.assert(
      fc.property(
        secret(),
        fc.uint8Array({ maxLength: 48 }),
        fc.integer({ min: 1, max: kdf.length }),
        (key, context, length) => {
          const ours = anyExpandLabel(kdf)(key, 'c hs traffic', context, length)
          assert.equal(toHex(ours), toHex(kdf.expandLabel(key, 'c hs traffic', context, length)))
        },
      ),
    )
  })

  test(`${hash}: many blocks are the HKDF-Expand of RFC 5869`, () => {
    const key = new Uint8Array(kdf.length).fill(3)
    const length = 255 * kdf.length
    const label = Buffer.from('tls13 long')
    const info = Buffer.concat([Buffer.of(length >> 8, length & 0xff, label.length), label, Buffer.of(0)])
    let block = Buffer.alloc(0)
    const blocks: Buffer[] = []
    for (let count = 1; count <= 255; count++) {
      block = createHmac(hash, key).update(block).update(info).update(Buffer.of(count)).digest()
      blocks.push(block)
    }
    const material = anyExpandLabel(kdf)(key, 'long', new Uint8Array(0), length)
    assert.equal(toHex(material), Buffer.concat(blocks).toString('hex'))
  })
}

const valid = {
  hash: 'sha256',
  expandLabel: anyExpandLabel(hkdf('sha256')),
  secret: new Uint8Array(32).fill(9),
  label: 'EXPERIMENTAL latchkey',
  length: 32,
} as const

test('the exporter leaves its secret as it was', () => {
  exportKeyingMaterial(valid)
  assert.deepEqual(valid.secret, new Uint8Array(32).fill(9))
})

test('the most an exporter gives is 255 hashes', () => {
  assert.equal(exportKeyingMaterial({ ...valid, length: 255 * 32 }).length, 8160)
})

const OUT_OF_RANGE: readonly { name: string; change: { label?: string; length?: number } }[] = [
  { name: 'no label', change: { label: '' } },
  { name: 'a label of 129 bytes', change: { label: 'y'.repeat(129) } },
  { name: 'a label of 65 characters in 130 bytes', change: { label: 'é'.repeat(65) } },
  { name: 'no bytes', change: { length: 0 } },
  { name: 'half a byte', change: { length: 1.5 } },
  { name: 'a byte above 255 hashes', change: { length: 8161 } },
]
for (const { name, change } of OUT_OF_RANGE) {
  test(`the exporter refuses ${name}`, () => {
    assert.throws(() => exportKeyingMaterial({ ...valid, ...change }), RangeError)
  })
}
