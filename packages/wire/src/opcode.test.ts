import assert from 'node:assert/strict'
import test from 'node:test'
import { OPCODES, type OpcodeRow, opcodeForSignature, opcodeName, opcodeRow } from './opcode.ts'

const ROWS: readonly [string, OpcodeRow][] = Object.entries(OPCODES)

test('opcodes are unique bytes, and numbers once used are not given out again', () => {
  const codes = ROWS.map(([, { code }]) => code)
  assert.equal(new Set(codes).size, 25)
  assert.ok(codes.every((code) => code > 0 && code <= 0xff && ![0x08, 0x20, 0xf3].includes(code)))
})

test('each row is found by its code and has its name', () => {
  for (const [name, row] of ROWS) {
    assert.equal(opcodeRow(row.code), row)
    assert.equal(opcodeName(row.code), name)
  }
  assert.equal(opcodeRow(0x99), undefined)
  assert.equal(opcodeName(0x99), 'Op(153)')
})

test('each signature algorithm has one opcode', () => {
  const signing = Object.values(OPCODES).flatMap((row) => (row.kind === 'sign' ? [row] : []))
  assert.equal(signing.length, 16)
  for (const { code, signatureAlgorithm } of signing) {
    assert.equal(opcodeForSignature(signatureAlgorithm), code)
  }
  assert.equal(opcodeForSignature('ecdsa_sha256'), 0x15)
  assert.equal(opcodeForSignature('ed25519'), 0x18)
})

test('a digest is as long as its hash', () => {
  const bytes = { 'md5-sha1': 36, sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 }
  for (const [, row] of ROWS) {
    if (row.kind !== 'sign') continue
    assert.equal(row.digestBytes, row.hash === undefined ? undefined : bytes[row.hash])
  }
})
