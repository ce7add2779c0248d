import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { CLIENT_ERRORS, ClientError } from './errors.ts'

test('an error says its text, its detail and whether another try may help', () => {
  const error = new ClientError('ERR_CLIENT_CONNECT', { detail: 'ECONNREFUSED' })
  assert.equal(String(error), 'ClientError: the key server cannot be reached: ECONNREFUSED')
  assert.deepEqual([error.mayRetry, new ClientError('ERR_CLIENT_CLOSED').mayRetry], [true, false])
})

test('the README lists every error code and no other', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const listed = [...readme.matchAll(/^\| `(ERR_\w+)` +\| (yes|no) +\| (.+?) +\|$/gm)]
  assert.deepEqual(
    listed.map(([, code, mayRetry, text]) => [code, mayRetry === 'yes', text]),
    Object.entries(CLIENT_ERRORS).map(([code, { mayRetry, text }]) => [code, mayRetry, text]),
  )
  assert.deepEqual(new Set(readme.match(/ERR_CLIENT_\w+/g)), new Set(Object.keys(CLIENT_ERRORS)))
})
