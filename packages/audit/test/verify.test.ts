// Whatever is changed in a chain is found, and named at the record where it was.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AuditError, verifyAudit } from '@latchkey/audit'
import { fileOf, keyUse, linesOf, openLog, temporaryDirectory } from './support.ts'

const RECORDS = 40

/** One file: record `n` is line `n`. */
function writeChain(directory: string, records = RECORDS): void {
  using log = openLog(directory)
  for (let seq = 2; seq <= records; seq++) log.record(keyUse({ requestId: `request-${seq}` }))
}

function breakOf(directory: string): { kind: string; line: number; offset: number; seq: number } | undefined {
  const found = verifyAudit([directory]).chains[0]?.break
  return found === undefined
    ? undefined
    : { kind: found.kind, line: found.line, offset: found.offset, seq: found.seq }
}

/** What is changed, and what has to be found. */
function tamper(
  change: (lines: string[]) => string[],
  expected: { readonly kind: string; readonly seq: number; readonly line?: number },
): void {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const before = linesOf(fileOf(directory.path))
  const after = change([...before])
  writeFileSync(fileOf(directory.path), after.map((line) => `${line}\n`).join(''))
  const { kind, seq, line = seq } = expected
  const offset = after.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0)
  assert.deepEqual(breakOf(directory.path), { kind, seq, line, offset })
}

test('an untouched chain is proven, with its counts and its head', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const last = JSON.parse(linesOf(fileOf(directory.path)).at(-1) ?? '') as { hash: string }
  const { isProven, chains } = verifyAudit([directory.path])
  assert.ok(isProven)
  assert.deepEqual(chains, [
    {
      name: 'audit-0',
      files: 1,
      records: RECORDS,
      firstSeq: 1,
      lastSeq: RECORDS,
      firstTime: '2026-09-21T14:13:20.000Z',
      lastTime: '2026-09-21T14:13:20.000Z',
      head: last.hash,
      break: undefined,
    },
  ])
})

test('any one bit that is flipped is found at its record', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const path = fileOf(directory.path)
  const bytes = readFileSync(path)
  const lines = linesOf(path)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      writeFileSync(path, changed)
      const found = breakOf(directory.path)
      let seq = 0
      let end = 0
      while (end <= at) end += (lines[seq++]?.length ?? 0) + 1
      assert.equal(found?.seq, seq)
      assert.equal(found.line, seq)
    }),
    { numRuns: 300 },
  )
})

test('a record that is gone, out of place, twice or new is found where it is', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: RECORDS - 2 }), (seq) => {
      const index = seq - 1
      tamper((lines) => lines.toSpliced(index, 1), { kind: 'missing', seq })
      tamper(
        (lines) =>
          lines.toSpliced(index, 1, lines[index + 1] ?? '', lines[index] ?? '').toSpliced(index + 2, 1),
        {
          kind: 'missing',
          seq,
        },
      )
      tamper((lines) => lines.toSpliced(index, 0, lines[index - 1] ?? ''), { kind: 'order', seq })
      tamper((lines) => lines.toSpliced(index, 0, '{"hello":1}'), { kind: 'changed', seq })
      tamper((lines) => lines.with(index, (lines[index] ?? '').replace('"ok"', '"no"')), {
        kind: 'changed',
        seq,
      })
    }),
    { numRuns: 15 },
  )
})

test('a middle that is cut out is found, with the number of records', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const lines = linesOf(fileOf(directory.path)).toSpliced(9, 20)
  writeFileSync(fileOf(directory.path), lines.map((line) => `${line}\n`).join(''))
  const found = verifyAudit([directory.path]).chains[0]?.break
  assert.deepEqual([found?.kind, found?.seq, found?.line], ['missing', 10, 10])
  assert.match(found?.text ?? '', /here stands record 30: 20 are not there/)
})

test('a number that was changed is told from a record that is missing', () => {
  tamper((lines) => lines.with(9, (lines[9] ?? '').replace('"seq":10', '"seq":17')), {
    kind: 'changed',
    seq: 10,
  })
})

test('a file that ends in the middle of a line is torn', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const path = fileOf(directory.path)
  writeFileSync(path, readFileSync(path).subarray(0, -5))
  assert.equal(breakOf(directory.path)?.kind, 'torn')
  assert.equal(breakOf(directory.path)?.seq, RECORDS)
})

test('an end that was cut off is found by the head that is known from before', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  const path = fileOf(directory.path)
  const { head = '' } = verifyAudit([directory.path]).chains[0] ?? {}
  assert.ok(verifyAudit([directory.path], { expectHeads: [head] }).isProven)
  const lines = linesOf(path).slice(0, -1)
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''))
  assert.ok(verifyAudit([directory.path]).isProven)
  const cut = verifyAudit([directory.path], { expectHeads: [head] })
  assert.deepEqual([cut.isProven, cut.missingHeads], [false, [head]])
})

test('files are one chain: the one that is missing in the middle is found, the oldest may be gone', () => {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path, { maxFileBytes: 4000 })
    for (let count = 0; count < 100; count++) {
      log.record(keyUse())
      log.commit()
    }
  }
  const whole = verifyAudit([directory.path])
  assert.ok(whole.isProven)
  assert.ok((whole.chains[0]?.files ?? 0) > 5)
  rmSync(fileOf(directory.path, 1))
  const [withoutOldest] = verifyAudit([directory.path]).chains
  assert.equal(withoutOldest?.break, undefined)
  assert.ok((withoutOldest?.firstSeq ?? 0) > 5)
  rmSync(fileOf(directory.path, 3))
  const found = verifyAudit([directory.path]).chains[0]?.break
  assert.deepEqual([found?.kind, found?.file, found?.line], ['missing', fileOf(directory.path, 4), 1])
})

test('one file alone can be verified', () => {
  using directory = temporaryDirectory()
  writeChain(directory.path)
  assert.ok(verifyAudit([fileOf(directory.path)]).isProven)
})

test('a place without a chain is an error that names it', () => {
  using directory = temporaryDirectory()
  for (const path of [directory.path, `${directory.path}/none`]) {
    assert.throws(
      () => verifyAudit([path]),
      (error) =>
        error instanceof AuditError && error.code === 'ERR_AUDIT_DIRECTORY' && error.message.includes(path),
    )
  }
})
