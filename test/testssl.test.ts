// What testssl.sh says of the engine: nothing above LOW but what is named here, and good of all that is named here.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { KeyAlgorithm } from '@latchkey/throwaway-pki'
import { Child } from './support/child.ts'
import { isInstalled, runCommand } from './support/command.ts'
import { issueSites, siteName, type Sites } from './support/sites.ts'

interface Finding {
  readonly id: string
  readonly severity: 'OK' | 'INFO' | 'LOW' | 'MEDIUM' | 'HIGH' | 'CRITICAL' | 'WARN' | 'FATAL'
  readonly finding: string
}

/** Findings above LOW, or of what could not be tested (WARN), that are not the engine's, and why. */
const DELIBERATE: Readonly<Record<string, string>> = {
  cert_revocation: 'a throw-away CA runs no CRL and no OCSP responder',
  engine_problem: 'the local openssl has no GOST engine; nothing is tested with it',
  RC4: 'the local openssl has no RC4 to offer; the cipher lists are tested without it',
}

interface Run {
  readonly sections: string
  readonly keyAlgorithm: KeyAlgorithm
  /** What must be found, and be found good. */
  readonly good: readonly string[]
}

const RUNS: readonly Run[] = [
  {
    sections: '--protocols --standard --pfs --server-preference --server-defaults',
    keyAlgorithm: 'ecdsa-p256',
    good: [
      'SSLv2',
      'SSLv3',
      'TLS1_2',
      'TLS1_3',
      'cipherlist_NULL',
      'cipherlist_aNULL',
      'cipherlist_EXPORT',
      'cipherlist_LOW',
      'cipherlist_STRONG',
      'cipher_order',
      'protocol_negotiated',
      'cipher_negotiated',
      'PFS',
      'PFS_ECDHE_curves',
      'cert_trust',
      'cert_chain_of_trust',
    ],
  },
  {
    sections: '--vulnerable',
    keyAlgorithm: 'rsa-2048', // some of them need an RSA key
    good: [
      'heartbleed',
      'CCS',
      'ticketbleed',
      'ROBOT',
      'secure_renego',
      'secure_client_renego',
      'CRIME_TLS',
      'BREACH',
      'POODLE_SSL',
      'fallback_SCSV',
      'SWEET32',
      'FREAK',
      'DROWN',
      'LOGJAM',
      'BEAST',
      'LUCKY13',
    ],
  },
]

/** Half a minute each on two idle cores. */
const DEADLINE_MS = 600_000

const skip = isInstalled('testssl') ? false : 'testssl is not installed'
describe('testssl.sh', { skip, concurrency: 2 }, () => {
  let folder: string
  let sites: Sites
  let engine: { readonly child: Child; readonly answer: { readonly port: number } }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-testssl-'))
    sites = await issueSites(RUNS.map(({ keyAlgorithm }) => keyAlgorithm))
    const module = new URL('./processes/engine-server.ts', import.meta.url)
    engine = await Child.start(module, { sites: sites.sites })
  })
  after(async () => {
    await engine.child[Symbol.asyncDispose]()
    sites[Symbol.dispose]()
    rmSync(folder, { recursive: true })
  })

  for (const { sections, keyAlgorithm, good } of RUNS) {
    test(`${keyAlgorithm}: ${sections}`, async () => {
      const file = join(folder, `${keyAlgorithm}.json`)
      const place = ['--ip', '127.0.0.1', '--nodns', 'none', '--openssl', '/usr/bin/openssl']
      const trust = ['--add-ca', sites.caFile]
      const bounds = ['--fast', '--warnings', 'off', '--connect-timeout', '10', '--openssl-timeout', '10']
      const form = ['--quiet', '--color', '0', '--jsonfile', file]
      const target = `${siteName(keyAlgorithm)}:${engine.answer.port}`
      const args = [...sections.split(' '), ...place, ...trust, ...bounds, ...form, target]
      const { output } = await runCommand('testssl', args, { deadlineMs: DEADLINE_MS })

      const findings = JSON.parse(readFileSync(file, 'utf8')) as Finding[]
      const bad = findings.filter(
        ({ id, severity }) => !['OK', 'INFO', 'LOW'].includes(severity) && !(id in DELIBERATE),
      )
      assert.deepEqual(bad, [], output)
      const isGood = (id: string): boolean =>
        findings.some((finding) => finding.id === id && finding.severity === 'OK')
      assert.deepEqual(
        good.filter((id) => !isGood(id)),
        [],
        output,
      )
    })
  }
})
