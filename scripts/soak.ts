// What must hold for very long, at full length; `make test` has a short run of each. Minutes of one core.
//   node scripts/soak.ts [part of a name]
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { compareHellos, NodeServer } from '../packages/tls/test/support/differential-hellos.ts'
import { seededRandom } from '../packages/tls/test/support/random.ts'
import { failHandshakes, updateKeys, watchNonces } from '../packages/tls/test/support/soak.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const only = process.argv[2] ?? ''

const FAILED_HANDSHAKES = 100_000
/** A connection that is kept holds several kilobytes; this is noise of the heap. */
const MAX_GROWTH_BYTES = 2 << 20

const SOAKS: Readonly<Record<string, () => string | Promise<string>>> = {
  'row 47: 600000 records with AES-128-GCM': () => {
    watchNonces('TLS_AES_128_GCM_SHA256', 600_000, 5000)
    return 'no (key, nonce) pair twice'
  },
  'row 47: 200000 records with AES-256-GCM': () => {
    watchNonces('TLS_AES_256_GCM_SHA384', 200_000, 5000)
    return 'no (key, nonce) pair twice'
  },
  'row 47: 200000 records with ChaCha20-Poly1305': () => {
    watchNonces('TLS_CHACHA20_POLY1305_SHA256', 200_000, 5000)
    return 'no (key, nonce) pair twice'
  },
  '100000 KeyUpdates': () => {
    updateKeys(100_000)
    return 'all data arrived'
  },
  'property c: 100000 mutated hellos to the engine and to node:tls': async () => {
    await using node = await NodeServer.listen()
    return JSON.stringify(await compareHellos(node, seededRandom(Date.now() % 2 ** 31), 100_000))
  },
  'property d: 100000 failed handshakes': () => {
    failHandshakes(FAILED_HANDSHAKES / 10)
    const before = bytesInUse()
    failHandshakes(FAILED_HANDSHAKES)
    const growth = bytesInUse() - before
    if (growth > MAX_GROWTH_BYTES) throw new Error(`${growth} bytes more than before`)
    return `${growth} bytes more in use than before`
  },
}

function bytesInUse(): number {
  for (let round = 0; round < 5; round++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

for (const [name, soak] of Object.entries(SOAKS)) {
  if (!name.includes(only)) continue
  const startedAt = performance.now()
  const result = await soak()
  console.log(`${name}: ${result}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
}
