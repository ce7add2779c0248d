import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearestName } from './nearest-name.ts'

const KNOWN = ['auth_cert', 'auth_key', 'port', 'loglevel', 'private_key_stores', 'pid_file']

for (const [name, expected] of [
  ['auth_crt', 'auth_cert'],
  ['authcert', 'auth_cert'],
  ['Auth-Cert', 'auth_cert'],
  ['auth_kye', 'auth_key'],
  ['prot', 'port'],
  ['ports', 'port'],
  ['log_level', 'loglevel'],
  ['private_key_store', 'private_key_stores'],
  ['pidfile', 'pid_file'],
  ['x', undefined],
  ['', undefined],
  ['certificate', undefined],
] as const) {
  test(`nearest name: ${name || '(empty)'} → ${expected}`, () =>
    assert.equal(nearestName(name, KNOWN), expected))
}
