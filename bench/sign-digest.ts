// Digest signatures a second through `keys`, against `openssl speed` on the same machine: the cost of the primitive itself.
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFileStore, type PrivateKey, type SignatureAlgorithm } from '@latchkey/keys'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { OPENSSL_SPEED, opensslSpeed } from './support/openssl-speed.ts'
import { type Bench, type Round, summarise } from './support/report.ts'

const ROUNDS = 5
const SECONDS = 1

const CASES = [
  {
    id: 'sign-p256',
    keyAlgorithm: 'ecdsa-p256',
    algorithm: 'ecdsa_sha256',
    openssl: OPENSSL_SPEED.p256,
  },
  {
    id: 'sign-rsa2048',
    keyAlgorithm: 'rsa-2048',
    algorithm: 'rsa_pkcs1_sha256',
    openssl: OPENSSL_SPEED.rsa2048,
  },
] as const

export const signDigest: Bench = {
  id: 'sign-digest',
  about: 'digest signatures/s through keys, against openssl speed',
  async run() {
    const folder = await mkdtemp(join(tmpdir(), 'latchkey-bench-'))
    try {
      const results = []
      for (const { id, keyAlgorithm, algorithm, openssl } of CASES) {
        const file = join(folder, `${id}.key`)
        const { privateKeyPem } = await (await createThrowawayCa({})).issue({
          dnsNames: ['bench.example'],
          keyAlgorithm,
        })
        await writeFile(file, privateKeyPem, { mode: 0o600 })
        await using store = await openFileStore([{ file }])
        const [key] = store.list()
        if (key === undefined) throw new Error('the store is empty')
        signaturesPerSecond(key, algorithm) // warm
        const rounds: Round[] = []
        for (let round = 0; round < ROUNDS; round++) {
          rounds.push({
            ours: signaturesPerSecond(key, algorithm),
            peer: await opensslSpeed(openssl, SECONDS),
          })
        }
        const note =
          "The rest is the call across the FFI and one Buffer a signature; OpenSSL versions differ (the system's against the one in Node)."
        results.push(summarise({ id, unit: 'signatures/s', peer: 'openssl speed', goal: 0.9, note }, rounds))
      }
      return results
    } finally {
      await rm(folder, { recursive: true })
    }
  },
}

/** Per second of CPU time, as `openssl speed` counts. */
function signaturesPerSecond(key: PrivateKey, algorithm: SignatureAlgorithm): number {
  const digest = createHash('sha256').update('bench').digest()
  const end = performance.now() + SECONDS * 1000
  const before = process.cpuUsage()
  let count = 0
  while (performance.now() < end) {
    for (let batch = 0; batch < 16; batch++) void key.sign(algorithm, digest)
    count += 16
  }
  const { user, system } = process.cpuUsage(before)
  return count / ((user + system) / 1e6)
}
