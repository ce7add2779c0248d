// What the audit log costs: the same load on a daemon that records each key use, and on one that does not.
import { type LoadShape, startKeyServer } from './support/key-server.ts'
import { type Bench, type Round, summarise } from './support/report.ts'

/** Many short ones, in turn: a machine that others use is never the same for long. */
const ROUNDS = 25
const BUSY: LoadShape = { connections: 2, inFlight: 64, seconds: 0.5 }
const ONE_BY_ONE: LoadShape = { connections: 1, inFlight: 1, seconds: 2 }

export const keyServerAudit: Bench = {
  id: 'keyserver-audit',
  about: 'ECDSA signatures/s of the daemon with audit_dir, 2 connections x 64 in flight, against without',
  async run() {
    await using audited = await startKeyServer({ settings: 'audit_dir: audit\n' })
    await using plain = await startKeyServer()
    const [loadAudited, loadPlain] = [await audited.client(), await plain.client()]
    await loadAudited('ecdsa', BUSY) // warm
    await loadPlain('ecdsa', BUSY)
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const [ours, peer] = [await loadAudited('ecdsa', BUSY), await loadPlain('ecdsa', BUSY)]
      if (ours.errors + peer.errors > 0) throw new Error('some requests were answered with an error')
      rounds.push({ ours: ours.perSecond, peer: peer.perSecond })
    }
    const [slow, fast] = [await loadAudited('ecdsa', ONE_BY_ONE), await loadPlain('ecdsa', ONE_BY_ONE)]
    const note =
      `One at a time on one connection: p50 ${slow.p50.toFixed(3)} ms with, ${fast.p50.toFixed(3)} ms without; ` +
      `${slow.perSecond.toFixed(0)} and ${fast.perSecond.toFixed(0)} signatures/s.`
    return [
      summarise(
        { id: 'keyserver-audit', unit: 'signatures/s', peer: 'without audit', goal: 0.85, note },
        rounds,
      ),
    ]
  },
}
