import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger, formatJsonLine, formatTextLine, type LogRecord, parseLogLevel } from './log.ts'

test('records below the minimum are not kept, and asking says so', () => {
  const kept: LogRecord[] = []
  const logger = createLogger((record) => kept.push(record), 'warning')
  logger.debug('a')
  logger.info('b')
  logger.warning('c')
  logger.error('d')
  assert.deepEqual(
    kept.map(({ text }) => text),
    ['c', 'd'],
  )
  assert.deepEqual([logger.isEnabled('info'), logger.isEnabled('critical')], [false, true])
})

test('a context is carried down, and a line adds to it', () => {
  const kept: LogRecord[] = []
  const logger = createLogger((record) => kept.push(record))
    .with({ host: 'a' })
    .with({ port: 1 })
  logger.info('x', { ski: 's' })
  assert.deepEqual(kept[0]?.fields, { host: 'a', port: 1, ski: 's' })
})

test('text lines have the form that operators of gokeyless grep for', () => {
  const line = formatTextLine(
    { level: 'warning', text: 'x', fields: { a: 1 } },
    new Date(2026, 10, 2, 6, 7, 8),
  )
  assert.equal(line, '2026/11/02 06:07:08 [WARNING] x\n')
})

test("a peer's text cannot start a line of its own", () => {
  const text = 'name\n2026/11/22 [INFO] forged\r\u001b[31m\u2028'
  const line = formatTextLine({ level: 'info', text, fields: {} }, new Date(0))
  assert.equal(line.split('\n').length, 2)
  assert.ok(!line.includes('\u001b') && !line.includes('\r') && !line.includes('\u2028'))
  assert.equal(formatJsonLine({ level: 'info', text, fields: {} }, new Date(0)).split('\n').length, 2)
})

for (const [text, level] of [
  ['0', 'debug'],
  ['1', 'info'],
  ['4', 'critical'],
  ['5', 'critical'],
  ['fatal', 'critical'],
  ['warning', 'warning'],
  ['loud', undefined],
  ['', undefined],
  ['6', undefined],
  ['1.5', undefined],
  ['-1', undefined],
] as const) {
  test(`level ${JSON.stringify(text)}`, () => assert.equal(parseLogLevel(text), level))
}
