// The world's clients against the engine: version × suite × group × kind of key × full and resumed, every cell of it; and
// once for each client, kind of key and version through an edge whose keys are at a key server.
//
// What a client says of a connection and what the server says of it must both be what was to be negotiated. Of what is
// not said by the client (curl before 8.6 names no group, nor does gnutls-cli of a resumed session) the server's word
// counts: only that suite and group were offered.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CIPHER_SUITES, CIPHER_SUITES12, type GroupName } from '@latchkey/tls'
import type { KeyAlgorithm } from '@latchkey/throwaway-pki'
import type { Page } from './processes/engine-server.ts'
import { Child } from './support/child.ts'
import { issueSites, siteName, type Sites } from './support/sites.ts'
import { startSystem, type System } from './support/system.ts'
import {
  type Client,
  CLIENTS,
  isAvailable,
  type OfferedGroup,
  type Place,
  protocolOf,
  type Seen,
  type SuiteName,
} from './support/tls-clients.ts'

const SUITES = [...Object.keys(CIPHER_SUITES), ...Object.keys(CIPHER_SUITES12)] as readonly SuiteName[]

/** A kind of key, the suites of TLS 1.2 that go with it, and the curve a client must know to check its certificate. */
const KEYS: readonly {
  readonly keyAlgorithm: KeyAlgorithm
  readonly kind: 'ECDSA' | 'RSA'
  readonly curve?: OfferedGroup
}[] = [
  { keyAlgorithm: 'ecdsa-p256', kind: 'ECDSA', curve: 'secp256r1' },
  { keyAlgorithm: 'ecdsa-p384', kind: 'ECDSA', curve: 'secp384r1' },
  { keyAlgorithm: 'rsa-2048', kind: 'RSA' },
  { keyAlgorithm: 'ed25519', kind: 'ECDSA' }, // RFC 8422 §5.10
]

interface GroupRow {
  readonly group: GroupName
  /** In the client's order: its share is for the first. */
  readonly offers: readonly OfferedGroup[]
  readonly isRetry: boolean
}

const GROUPS: readonly GroupRow[] = [
  { group: 'X25519MLKEM768', offers: ['X25519MLKEM768'], isRetry: false },
  { group: 'x25519', offers: ['x25519'], isRetry: false },
  { group: 'secp256r1', offers: ['secp256r1'], isRetry: false },
  { group: 'secp384r1', offers: ['secp384r1'], isRetry: false },
  // The share is for a group that is not taken: HelloRetryRequest, RFC 8446 §4.1.4.
  { group: 'secp256r1', offers: ['secp521r1', 'secp256r1'], isRetry: true },
]

type Started = { readonly child: Child; readonly answer: { readonly port: number } }

/** Those of TLS 1.3 go with every kind of key, TLS_ECDHE_<kind>_… with one. */
function suitesFor(kind: 'ECDSA' | 'RSA'): readonly SuiteName[] {
  return SUITES.filter((name) => protocolOf(name) === 'TLSv1.3' || name.includes(`ECDHE_${kind}_`))
}

describe('the engine', { concurrency: 2 }, () => {
  let sites: Sites
  let engine: Started
  let engineForP384: Started

  before(async () => {
    sites = await issueSites(KEYS.map(({ keyAlgorithm }) => keyAlgorithm))
    const module = new URL('./processes/engine-server.ts', import.meta.url)
    engine = await Child.start(module, { sites: sites.sites })
    // P-384 is an option. A TLS 1.2 client offers its certificate's curve too, so P-384 must come first to be taken.
    engineForP384 = await Child.start(module, { sites: sites.sites, groups: ['secp384r1', 'secp256r1'] })
  })
  after(async () => {
    await engine.child[Symbol.asyncDispose]()
    await engineForP384.child[Symbol.asyncDispose]()
    sites[Symbol.dispose]()
  })

  const placeOf = (group: GroupName, keyAlgorithm: KeyAlgorithm): Place => {
    const { port } = (group === 'secp384r1' ? engineForP384 : engine).answer
    const { caFile, caPem } = sites
    return { port, host: siteName(keyAlgorithm), caFile, caPem, answerEnds: '}' }
  }

  for (const client of CLIENTS) {
    const skip = isAvailable(client) ? false : `${client.program} is not installed`
    for (const { keyAlgorithm, kind, curve } of KEYS) {
      for (const suite of suitesFor(kind)) {
        test(`${client.program}, ${keyAlgorithm}, ${suite}`, { skip }, async () => {
          for (const row of groupsFor(client, suite)) {
            const groups = offeredGroups(row, suite, curve)
            const connections = await client.visitTwice(placeOf(row.group, keyAlgorithm), { suite, groups })
            assert.equal(connections.length, 2)
            const resumes = client.forgets !== protocolOf(suite)
            for (const [nth, seen] of connections.entries()) checkCell(seen, suite, row, resumes && nth === 1)
          }
        })
      }
    }
  }
})

/** The hybrid and HelloRetryRequest are of TLS 1.3. */
function groupsFor(client: Client, suite: SuiteName): readonly GroupRow[] {
  return GROUPS.filter(
    ({ group, offers, isRetry }) =>
      offers.every((offered) => client.groups.includes(offered)) &&
      (protocolOf(suite) === 'TLSv1.3' || (group !== 'X25519MLKEM768' && !isRetry)),
  )
}

/** In TLS 1.2 the groups are also the curves of the certificates a client can check: RFC 8422 §5.1. */
function offeredGroups(
  { offers }: GroupRow,
  suite: SuiteName,
  curve?: OfferedGroup,
): readonly OfferedGroup[] {
  const isEnough = protocolOf(suite) === 'TLSv1.3' || curve === undefined || offers.includes(curve)
  return isEnough ? offers : [...offers, curve]
}

function checkCell(seen: Seen, suite: SuiteName, { group, isRetry }: GroupRow, isResumed: boolean): void {
  const protocol = protocolOf(suite)
  const { text, ...said } = seen
  const where = `${group}, ${isResumed ? 'resumed' : 'full'}: ${text}`
  // TLS 1.2 resumes without a new key exchange; a client may name the old one.
  const exchanged = isResumed && protocol === 'TLSv1.2' ? {} : { group }
  assert.deepEqual(said, { protocol, suite, group: said.group && group, isResumed }, where)
  const page: Page = JSON.parse(/\{"protocol".*\}/.exec(text)?.[0] ?? '{}')
  assert.deepEqual(
    page,
    { protocol, cipherSuite: suite, ...exchanged, isResumed, usedHelloRetryRequest: isRetry },
    where,
  )
}

describe('through the edge and a key server', { concurrency: 2 }, () => {
  const PAGE = 'a page from the origin'
  let system: System

  before(async () => {
    system = await startSystem({
      keyAlgorithms: KEYS.map(({ keyAlgorithm }) => keyAlgorithm),
      origin: (_request, response) => response.end(PAGE),
    })
  })
  after(() => system[Symbol.asyncDispose]())

  for (const client of CLIENTS) {
    const skip = isAvailable(client) ? false : `${client.program} is not installed`
    for (const { keyAlgorithm, kind } of KEYS) {
      test(`${client.program}, ${keyAlgorithm}`, { skip }, async () => {
        const { edgePort: port, caFile, caPem } = system
        const place = { port, host: siteName(keyAlgorithm), caFile, caPem, answerEnds: PAGE }
        const suites = ['TLS_AES_256_GCM_SHA384', `TLS_ECDHE_${kind}_WITH_AES_128_GCM_SHA256`] as const
        for (const suite of suites) {
          const groups = ['x25519', 'secp256r1', 'secp384r1'] as const
          for (const seen of await client.visitTwice(place, { suite, groups })) {
            assert.equal(seen.protocol, protocolOf(suite), seen.text)
            assert.ok(seen.text.includes(PAGE), seen.text)
          }
        }
      })
    }
  }
})
