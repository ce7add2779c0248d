import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { findPemBlocks } from './pem.ts'

const block = (label: string, body = 'AAAA\n'): string =>
  `-----BEGIN ${label}-----\n${body}-----END ${label}-----`

const CASES: { name: string; text: string; labels: string[] }[] = [
  { name: 'nothing', text: '', labels: [] },
  { name: 'one block', text: block('PRIVATE KEY'), labels: ['PRIVATE KEY'] },
  { name: 'an empty body', text: block('X', ''), labels: ['X'] },
  { name: 'text around', text: `Bag Attributes\n${block('A')}\ntail`, labels: ['A'] },
  { name: 'a byte order mark in front', text: `\uFEFF${block('A')}`, labels: ['A'] },
  { name: 'two blocks on one line', text: block('A') + block('B'), labels: ['A', 'B'] },
  {
    name: 'a BEGIN without END, then a whole one',
    text: `-----BEGIN A-----\nAAAA\n${block('B')}`,
    labels: ['B'],
  },
  { name: 'an END of another label', text: '-----BEGIN A-----\n-----END B-----', labels: [] },
  { name: 'a label cut short', text: '-----BEGIN PRIV', labels: [] },
  { name: 'an empty label', text: block(''), labels: [] },
  { name: 'a label with a control character', text: block('A\u0007B'), labels: [] },
  { name: 'a label of 64 characters', text: block('L'.repeat(64)), labels: ['L'.repeat(64)] },
  { name: 'a label of 65 characters', text: block('L'.repeat(65)), labels: [] },
  { name: 'Windows line ends', text: block('A').replaceAll('\n', '\r\n'), labels: ['A'] },
]

describe('findPemBlocks', () => {
  for (const { name, text, labels } of CASES) {
    it(`finds the blocks in ${name}`, () => {
      const found = findPemBlocks(Buffer.from(text))
      assert.deepEqual(
        found.map(({ label }) => label),
        labels,
      )
    })
  }

  it('gives exactly the block, as a view', () => {
    const bytes = Buffer.from(`before ${block('A')} after`)
    const [found] = findPemBlocks(bytes)
    assert.equal(found?.bytes.toString(), block('A'))
    assert.equal(found?.bytes.buffer, bytes.buffer)
  })

  it('sees the header of the older encryption only inside its block', () => {
    const header = 'Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n'
    const flags = (text: string): boolean[] =>
      findPemBlocks(Buffer.from(text)).map((found) => found.hasEncryptionHeader)
    assert.deepEqual(flags(`${block('A')}\n${header}${block('B', header)}\n${header}`), [false, true])
  })

  it('finds what was written, in order, for any labels and text between', () => {
    const label = fc.stringMatching(/^[A-Z0-9]{1,20}( [A-Z0-9]{1,20})?$/)
    const text = fc.string({ maxLength: 30 }).filter((between) => !between.includes('-'))
    fc.assert(
      fc.property(fc.array(fc.tuple(label, text), { maxLength: 6 }), (parts) => {
        const bytes = Buffer.from(parts.map(([name, between]) => `${between}\n${block(name)}\n`).join(''))
        assert.deepEqual(
          findPemBlocks(bytes).map((found) => found.label),
          parts.map(([name]) => name),
        )
      }),
    )
  })
})
