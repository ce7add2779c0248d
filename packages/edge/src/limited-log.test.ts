import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@latchkey/core'
import { limitLog } from './limited-log.ts'

test('limited log: a burst passes, a flood is thinned out and counted', () => {
  let now = 0
  const lines: string[] = []
  const log = limitLog(
    createLogger(({ text }) => lines.push(text)),
    () => now,
  )
  for (let count = 0; count < 1000; count++) log('info', `line ${count}`, {})
  assert.equal(lines.length, 20)
  now += 1000
  log('info', 'after a second', {})
  assert.equal(lines.at(-1), 'after a second (980 such lines were left out)')
  log('info', 'too soon', {})
  assert.equal(lines.length, 21)
  now += 3_600_000
  for (let count = 0; count < 30; count++) log('info', 'later', {})
  assert.equal(lines.length, 41, 'the burst does not grow with time')
})

test('limited log: a line below the level costs nothing', () => {
  const lines: string[] = []
  const log = limitLog(
    createLogger(({ text }) => lines.push(text)),
    () => 0,
  )
  for (let count = 0; count < 100; count++) log('debug', 'hidden', {})
  log('info', 'shown', {})
  assert.deepEqual(lines, ['shown'])
})
