import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { test } from 'node:test'
import { CIPHER_SUITES12, cipherSuite12, type CipherSuite12Name } from '../handshake12/cipher-suite12.ts'
import { Outgoing } from './outgoing.ts'
import { RecordProtection12 } from './record-protection12.ts'

const SUITES = (Object.keys(CIPHER_SUITES12) as CipherSuite12Name[]).map(cipherSuite12)
const DATA = 23

function keysOf({ keyBytes, fixedIvBytes }: (typeof SUITES)[number]) {
  return {
    key: Uint8Array.from({ length: keyBytes }, (_, index) => index * 7 + 1),
    fixedIv: Uint8Array.from({ length: fixedIvBytes }, (_, index) => 0xa0 + index),
  }
}

function sealOne(protection: RecordProtection12, type: number, ...pieces: Uint8Array[]): Buffer {
  const out = new Outgoing()
  protection.seal(out, type, pieces)
  return Buffer.concat(out.take())
}

function openOne(protection: RecordProtection12, record: Uint8Array): Uint8Array | undefined {
  return protection.open(record.subarray(0, 5), record.subarray(5))
}

/** seq_num ‖ type ‖ version ‖ length. RFC 5246 §6.2.3.3. */
function additionalData(sequence: number, type: number, length: number): Buffer {
  const data = Buffer.alloc(13)
  data.writeBigUInt64BE(BigInt(sequence))
  data.writeUInt8(type, 8)
  data.writeUInt16BE(0x0303, 9)
  data.writeUInt16BE(length, 11)
  return data
}

for (const suite of SUITES) {
  const isGcm = suite.aead !== 'chacha20-poly1305'
  const aead = suite.aead as 'aes-128-gcm'
  const explicitBytes = isGcm ? 8 : 0

  /** The nonce as the RFC of the suite has it: RFC 5288 §3, RFC 7905 §2. */
  const nonceOf = (sequence: number): Buffer => {
    const { fixedIv } = keysOf(suite)
    const number = Buffer.alloc(12)
    number.writeBigUInt64BE(BigInt(sequence), 4)
    if (isGcm) return Buffer.concat([fixedIv, number.subarray(4)])
    return Buffer.from(number.map((byte, index) => byte ^ (fixedIv[index] as number)))
  }

  test(`${suite.name}: a record is what the RFC says, and its sequence number counts`, () => {
    const writer = new RecordProtection12(suite, keysOf(suite))
    for (let sequence = 0; sequence < 300; sequence++) {
      const content = Buffer.alloc(sequence, sequence)
      const record = sealOne(writer, DATA, content.subarray(0, 10), content.subarray(10))
      assert.equal(record.readUInt8(0), DATA)
      assert.equal(record.readUInt16BE(1), 0x0303)
      assert.equal(record.readUInt16BE(3), record.length - 5)
      const nonce = nonceOf(sequence)
      if (isGcm) assert.deepEqual(record.subarray(5, 13), nonce.subarray(4))
      const decipher = createDecipheriv(aead, keysOf(suite).key, nonce, { authTagLength: 16 })
      decipher.setAAD(additionalData(sequence, DATA, content.length))
      decipher.setAuthTag(record.subarray(-16))
      const plaintext = decipher.update(record.subarray(5 + explicitBytes, -16))
      decipher.final()
      assert.deepEqual(plaintext, content)
    }
  })

  test(`${suite.name}: what is sealed opens, in its order and no other`, () => {
    const sealed = (): Buffer[] => {
      const writer = new RecordProtection12(suite, keysOf(suite))
      return [0, 1, 16_384].map((length) => sealOne(writer, 22, Buffer.alloc(length, 5)))
    }
    const reader = new RecordProtection12(suite, keysOf(suite))
    assert.deepEqual(
      sealed().map((record) => openOne(reader, record)?.length),
      [0, 1, 16_384],
    )
    const [first, second] = sealed() as [Buffer, Buffer]
    const strict = new RecordProtection12(suite, keysOf(suite))
    assert.equal(openOne(strict, second), undefined)
    const twice = new RecordProtection12(suite, keysOf(suite))
    assert.equal(openOne(twice, first)?.length, 0)
    assert.equal(openOne(twice, first), undefined)
  })

  test(`${suite.name}: one bit anywhere, and the record does not open`, () => {
    const record = sealOne(new RecordProtection12(suite, keysOf(suite)), DATA, Buffer.from('content'))
    const version = [1, 2]
    const length = [3, 4]
    for (let at = 0; at < record.length; at++) {
      // The record layer checks the version; the length that is authenticated is that of the content.
      if (version.includes(at) || length.includes(at)) continue
      const bad = Buffer.from(record)
      bad.writeUInt8(bad.readUInt8(at) ^ 1, at)
      assert.equal(openOne(new RecordProtection12(suite, keysOf(suite)), bad), undefined, `byte ${at}`)
    }
    for (let end = 5; end < record.length; end++) {
      const reader = new RecordProtection12(suite, keysOf(suite))
      assert.equal(openOne(reader, record.subarray(0, end)), undefined, `${end} bytes`)
    }
    assert.ok(openOne(new RecordProtection12(suite, keysOf(suite)), record))
  })

  test(`${suite.name}: nothing is sealed or opened after wipe`, () => {
    const record = sealOne(new RecordProtection12(suite, keysOf(suite)), DATA, Buffer.from('content'))
    const protection = new RecordProtection12(suite, keysOf(suite))
    protection.wipe()
    assert.throws(() => sealOne(protection, DATA, Buffer.from('content')), { code: 'ERR_TLS_INTERNAL' })
    assert.throws(() => openOne(protection, record), { code: 'ERR_TLS_INTERNAL' })
  })

  if (isGcm) {
    test(`${suite.name}: the explicit part of a received nonce is the sender's to choose`, () => {
      const { key, fixedIv } = keysOf(suite)
      const explicit = Buffer.from('0123456789abcdef', 'hex')
      const cipher = createCipheriv(aead, key, Buffer.concat([fixedIv, explicit]), { authTagLength: 16 })
      cipher.setAAD(additionalData(0, DATA, 5))
      const body = Buffer.concat([explicit, cipher.update('hello'), cipher.final(), cipher.getAuthTag()])
      const header = Buffer.from([DATA, 3, 3, 0, body.length])
      const content = new RecordProtection12(suite, keysOf(suite)).open(header, body)
      assert.equal(Buffer.from(content ?? []).toString(), 'hello')
    })
  }
}
