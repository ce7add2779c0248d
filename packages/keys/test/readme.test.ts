import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { KEYS_ERRORS, KeysError, type KeysErrorCode } from '../src/index.ts'
import { signDigest } from './readme-example.ts'
import { goldenKeyObject, goldenPem } from './support/golden-keys.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'
import { verifyDigest } from './verify-digest.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

describe('the README', () => {
  it('shows the example that is run here', async () => {
    assert.ok(text('../README.md').includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
    await using directory = await temporaryDirectory()
    await directory.write('site.key', goldenPem('p256'))
    const digest = new Uint8Array(32).fill(3)
    const publicKey = createPublicKey(goldenKeyObject('p256'))
    const signature = await signDigest(directory.path, publicKey, digest)
    assert.ok(signature !== undefined && verifyDigest(publicKey, 'ecdsa_sha256', digest, signature))
    assert.equal(
      await signDigest(directory.path, createPublicKey(goldenKeyObject('p384')), digest),
      undefined,
    )
  })

  it('lists every error code with its text, and no other', () => {
    const rows = [...text('../README.md').matchAll(/^\| `(ERR_\w+)` +\| (.+?) +\|$/gm)]
    assert.deepEqual(
      rows.map(([, code, text]) => [code, text]),
      Object.entries(KEYS_ERRORS),
    )
    const mentioned = new Set(text('../README.md').match(/ERR_KEYS_\w+/g))
    assert.deepEqual(mentioned, new Set(Object.keys(KEYS_ERRORS)))
  })

  it('is right that an error names file, finding, expectation and hint', () => {
    for (const code of Object.keys(KEYS_ERRORS) as KeysErrorCode[]) {
      const error = new KeysError(code, { path: '/k/a.key', found: 'x', expected: 'y', hint: 'z' })
      assert.equal(String(error), `KeysError: ${KEYS_ERRORS[code]}: /k/a.key; found x; expected y; hint: z`)
      assert.equal(String(new KeysError(code)), `KeysError: ${KEYS_ERRORS[code]}`)
    }
  })
})
