// Every algorithm on every type of key, verified by the openssl command, which may be of another version.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { loadPrivateKey, SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../src/index.ts'
import { goldenKeyObject } from './support/golden-keys.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'

const run = promisify(execFile)
const isMissing = spawnSync('openssl', ['version']).status !== 0

/** What pkeyutl must be told. It takes a digest as input; an ECDSA digest needs no name, Ed25519 the message. */
function verifyOptions(algorithm: SignatureAlgorithm): string[] {
  const { keyType, hash } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType === 'ed25519') return ['-rawin']
  if (keyType === 'ec') return []
  const digest = ['-pkeyopt', `digest:${hash}`]
  if (!algorithm.startsWith('rsa_pss_')) return digest
  return ['-pkeyopt', 'rsa_padding_mode:pss', ...digest, '-pkeyopt', 'rsa_pss_saltlen:digest']
}

describe('openssl pkeyutl -verify', { skip: isMissing && 'no openssl command' }, () => {
  const keys: Record<string, () => KeyObject> = {
    rsa2048: () => goldenKeyObject('rsa2048'),
    p224: () => generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).privateKey,
    p256: () => goldenKeyObject('p256'),
    p384: () => goldenKeyObject('p384'),
    p521: () => goldenKeyObject('p521'),
    ed25519: () => goldenKeyObject('ed25519'),
  }
  for (const [name, make] of Object.entries(keys)) {
    it(`${name}: each signature, and none of a changed digest`, async () => {
      await using directory = await temporaryDirectory()
      using key = loadPrivateKey(Buffer.from(make().export({ type: 'pkcs8', format: 'der' })), {
        source: name,
      })
      const publicKey = await directory.write(
        'public.pem',
        key.publicKey.export({ type: 'spki', format: 'pem' }),
      )
      const isGood = async (
        algorithm: SignatureAlgorithm,
        digest: string,
        signature: string,
      ): Promise<boolean> => {
        const files = ['-pubin', '-inkey', publicKey, '-in', digest, '-sigfile', signature]
        try {
          await run('openssl', ['pkeyutl', '-verify', ...files, ...verifyOptions(algorithm)])
          return true
        } catch {
          return false
        }
      }
      for (const algorithm of key.algorithms) {
        const input = randomBytes(SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 99)
        const signature = await directory.write('signature', key.sign(algorithm, input))
        assert.ok(await isGood(algorithm, await directory.write('digest', input), signature), algorithm)
        input[0] = (input[0] as number) ^ 1
        assert.ok(!(await isGood(algorithm, await directory.write('digest', input), signature)), algorithm)
      }
    })
  }
})
