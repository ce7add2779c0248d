// Runs the benches: all, or those named (make bench ONLY=sign-p256). Ours and the peer take turns in one run, so that a
// machine whose speed drifts does not decide.
import { edgeBulk } from './edge-bulk.ts'
import { keyServerRates, load10k, pingUnderRsa } from './key-server.ts'
import { keyServerAudit } from './key-server-audit.ts'
import { keylessFull } from './keyless-full.ts'
import { keylessFullHsm, pkcs11Signing } from './pkcs11.ts'
import { signDigest } from './sign-digest.ts'
import { type Bench, printResults, type Result, writeResults } from './support/report.ts'
import { tlsBulk } from './tls-bulk.ts'
import { tlsHandshakes } from './tls-handshakes.ts'
import { tlsIdleMemory } from './tls-idle-memory.ts'
import { tls13RemoteSigner } from './tls13-remote-signer.ts'

/** Some benches give several results: ids select a bench by either. */
const BENCHES: readonly (Bench & { readonly ids?: readonly string[] })[] = [
  { ...signDigest, ids: ['sign-p256', 'sign-rsa2048'] },
  ...tlsHandshakes,
  tls13RemoteSigner,
  ...tlsBulk,
  tlsIdleMemory,
  keylessFull,
  edgeBulk,
  ...keyServerRates,
  pingUnderRsa,
  load10k,
  keyServerAudit,
  ...pkcs11Signing,
  keylessFullHsm,
]

const wanted = process.argv.slice(2)
const known = BENCHES.flatMap(({ id, ids }) => ids ?? [id])
const unknown = wanted.filter((id) => !known.includes(id))
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(', ')}; there are: ${known.join(', ')}`)
  process.exit(1)
}

const results: Result[] = []
for (const bench of BENCHES) {
  const ids = bench.ids ?? [bench.id]
  if (wanted.length > 0 && !ids.some((id) => wanted.includes(id))) continue
  console.error(`${bench.id}: ${bench.about} …`)
  results.push(...(await bench.run()).filter(({ id }) => wanted.length === 0 || wanted.includes(id)))
}
printResults(results)
writeResults(results)
