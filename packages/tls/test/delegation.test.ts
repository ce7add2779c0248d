// Delegated credentials that were made elsewhere: what a client would refuse is refused when it is loaded.
import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto'
import { test } from 'node:test'
import { createThrowawayCa, type IssueOptions, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import { type Credential, type DelegatedCredential, loadCredential } from '@latchkey/tls'
import {
  CLOCK_SKEW_MS,
  isServable,
  MAX_VALIDITY_MS,
  notBeforeMs,
  requireDelegationUsage,
} from '../src/credential/delegation.ts'
import { delegate, type Delegation, p256Key } from './support/delegation.ts'

const ca = await createThrowawayCa()

interface Site {
  readonly credential: Credential
  readonly privateKey: KeyObject
}

async function site(options: IssueOptions = {}): Promise<Site> {
  const { chainPem, privateKeyPem } = await ca.issue({
    dnsNames: ['a.example'],
    isDelegation: true,
    ...options,
  })
  return { credential: loadCredential({ chain: chainPem }), privateKey: createPrivateKey(privateKeyPem) }
}

for (const keyAlgorithm of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'ed25519'] satisfies KeyAlgorithm[]) {
  test(`a certificate with a key of ${keyAlgorithm} delegates`, async () => {
    const from = await site({ keyAlgorithm })
    const keys = p256Key()
    const delegated = delegate(from, { keys })
    assert.equal(delegated.scheme, 'ecdsa_secp256r1_sha256')
    assert.equal(delegated.algorithm, from.credential.schemes[0])
    assert.equal(delegated.expiresAtMs, notBeforeMs(from.credential) + 86_400_000)
    const content = new TextEncoder().encode('a handshake')
    assert.ok(verify('sha256', content, keys.publicKey, delegated.sign(content)))
  })
}

test('a delegated key may be P-384 and Ed25519 too', async () => {
  const from = await site()
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  assert.equal(
    delegate(from, { scheme: 'ecdsa_secp384r1_sha384', keys: p384 }).scheme,
    'ecdsa_secp384r1_sha384',
  )
  assert.equal(delegate(from, { scheme: 'ed25519', keys: generateKeyPairSync('ed25519') }).scheme, 'ed25519')
})

const REFUSED: readonly { name: string; wrong: () => Partial<Delegation>; detail: RegExp }[] = [
  { name: 'cut short', wrong: () => ({ change: (all) => all.subarray(0, -1) }), detail: /past the end/ },
  {
    name: 'a signature with a bit changed',
    wrong: () => ({ change: (all) => all.with(all.length - 1, (all.at(-1) as number) ^ 1) }),
    detail: /signature does not verify/,
  },
  {
    name: 'a longer life than was signed',
    wrong: () => ({ change: (all) => all.with(3, (all[3] as number) ^ 1) }),
    detail: /signature does not verify/,
  },
  {
    name: 'a private key that is another',
    wrong: () => ({ ownKey: p256Key().privateKey }),
    detail: /private key is not its key/,
  },
  {
    name: 'a private key of another kind',
    wrong: () => ({ ownKey: generateKeyPairSync('ed25519').privateKey }),
    detail: /private key is not its key/,
  },
  {
    name: 'a key of rsaEncryption',
    wrong: () => ({
      scheme: 'rsa_pss_rsae_sha256',
      keys: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    }),
    detail: /dc_cert_verify_algorithm 0x0804 is not allowed/,
  },
  {
    name: 'a key of another curve than its scheme',
    wrong: () => ({ scheme: 'ecdsa_secp384r1_sha384' }),
    detail: /not for ecdsa_secp384r1_sha384/,
  },
  { name: 'no key at all', wrong: () => ({ spki: Uint8Array.of(0x30, 0) }), detail: /cannot be read/ },
  {
    name: 'a longer life than the certificate',
    wrong: () => ({ validTimeSeconds: 91 * 86_400 }),
    detail: /outlives the certificate/,
  },
]

for (const { name, wrong, detail } of REFUSED) {
  test(`refused: ${name}`, async () => {
    const from = await site()
    assert.throws(() => delegate(from, wrong()), { code: 'ERR_TLS_CREDENTIAL', detail })
  })
}

test('refused: signed with PKCS#1 v1.5', async () => {
  const from = await site({ keyAlgorithm: 'rsa-2048' })
  assert.throws(() => delegate(from, { algorithm: 'rsa_pkcs1_sha256' }), {
    code: 'ERR_TLS_CREDENTIAL',
    detail: /signed with 0x0401/,
  })
})

test('refused: a certificate that is not for delegation', async () => {
  const plain = await site({ isDelegation: false })
  assert.throws(() => delegate(plain), { code: 'ERR_TLS_CREDENTIAL', detail: /DelegationUsage/ })
  const keyUsage = { oid: '2.5.29.15', critical: true, value: Uint8Array.of(3, 2, 5, 0x20) }
  const encipherment = await site({ extensions: [keyUsage] })
  assert.throws(() => delegate(encipherment), { code: 'ERR_TLS_CREDENTIAL', detail: /keyUsage/ })
})

test('refused: a delegated credential of another certificate with the same key type', async () => {
  const one = await site()
  const other = await site()
  assert.throws(() => delegate({ credential: one.credential, privateKey: other.privateKey }), {
    code: 'ERR_TLS_CREDENTIAL',
    detail: /signature does not verify/,
  })
})

test('served only while clocks that are an hour wrong agree that it is valid, and not for more than seven days', () => {
  const at = (leftMs: number): boolean =>
    isServable({ expiresAtMs: 1e12 + leftMs } as DelegatedCredential, 1e12)
  assert.deepEqual(
    [
      CLOCK_SKEW_MS - 1,
      CLOCK_SKEW_MS,
      MAX_VALIDITY_MS - CLOCK_SKEW_MS,
      MAX_VALIDITY_MS - CLOCK_SKEW_MS + 1,
    ].map(at),
    [false, true, true, false],
  )
})

test('the example certificate of RFC 9345 is for delegation', () => {
  requireDelegationUsage(loadCredential({ chain: RFC_9345_APPENDIX_B }))
})

/** RFC 9345 Appendix B. */
const RFC_9345_APPENDIX_B = `-----BEGIN CERTIFICATE-----
MIIFRjCCBMugAwIBAgIQDGevB+lY0o/OecHFSJ6YnTAKBggqhkjOPQQDAzBMMQsw
CQYDVQQGEwJVUzEVMBMGA1UEChMMRGlnaUNlcnQgSW5jMSYwJAYDVQQDEx1EaWdp
Q2VydCBFQ0MgU2VjdXJlIFNlcnZlciBDQTAeFw0xOTAzMjYwMDAwMDBaFw0yMTAz
MzAxMjAwMDBaMGoxCzAJBgNVBAYTAlVTMRMwEQYDVQQIEwpDYWxpZm9ybmlhMRYw
FAYDVQQHEw1TYW4gRnJhbmNpc2NvMRkwFwYDVQQKExBDbG91ZGZsYXJlLCBJbmMu
MRMwEQYDVQQDEwprYzJrZG0uY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
d4azI83Bw0fcPgfoeiZpZZnwGuxjBjv++wzE0zAj8vNiUkKxOWSQiGNLn+xlWUpL
lw9djRN1rLmVmn2gb9GgdKOCA28wggNrMB8GA1UdIwQYMBaAFKOd5h/52jlPwG7o
kcuVpdox4gqfMB0GA1UdDgQWBBSfcb7fS3fUFAyB91fRcwoDPtgtJjAjBgNVHREE
HDAaggprYzJrZG0uY29tggwqLmtjMmtkbS5jb20wDgYDVR0PAQH/BAQDAgeAMB0G
A1UdJQQWMBQGCCsGAQUFBwMBBggrBgEFBQcDAjBpBgNVHR8EYjBgMC6gLKAqhiho
dHRwOi8vY3JsMy5kaWdpY2VydC5jb20vc3NjYS1lY2MtZzEuY3JsMC6gLKAqhiho
dHRwOi8vY3JsNC5kaWdpY2VydC5jb20vc3NjYS1lY2MtZzEuY3JsMEwGA1UdIARF
MEMwNwYJYIZIAYb9bAEBMCowKAYIKwYBBQUHAgEWHGh0dHBzOi8vd3d3LmRpZ2lj
ZXJ0LmNvbS9DUFMwCAYGZ4EMAQICMHsGCCsGAQUFBwEBBG8wbTAkBggrBgEFBQcw
AYYYaHR0cDovL29jc3AuZGlnaWNlcnQuY29tMEUGCCsGAQUFBzAChjlodHRwOi8v
Y2FjZXJ0cy5kaWdpY2VydC5jb20vRGlnaUNlcnRFQ0NTZWN1cmVTZXJ2ZXJDQS5j
cnQwDAYDVR0TAQH/BAIwADAPBgkrBgEEAYLaSywEAgUAMIIBfgYKKwYBBAHWeQIE
AgSCAW4EggFqAWgAdgC72d+8H4pxtZOUI5eqkntHOFeVCqtS6BqQlmQ2jh7RhQAA
AWm5hYJ5AAAEAwBHMEUCICiGfq+hSThRL2m8H0awoDR8OpnEHNkF0nI6nL5yYL/j
AiEAxwebGs/T6Es0YarPzoQJrVZqk+sHH/t+jrSrKd5TDjcAdgCHdb/nWXz4jEOZ
X73zbv9WjUdWNv9KtWDBtOr/XqCDDwAAAWm5hYNgAAAEAwBHMEUCIQD9OWA8KGL6
bxDKfgIleHJWB0iWieRs88VgJyfAg/aFDgIgQ/OsdSF9XOy1foqge0DTDM2FExuw
0JR0AGZWXoNtJzMAdgBElGUusO7Or8RAB9io/ijA2uaCvtjLMbU/0zOWtbaBqAAA
AWm5hYHgAAAEAwBHMEUCIQC4vua1n3BqthEqpA/VBTcsNwMtAwpCuac2IhJ9wx6X
/AIgb+o00k28JQo9TMpP4vzJ3BD3HXWSNc2Zizbq7mkUQYMwCgYIKoZIzj0EAwMD
aQAwZgIxAJsX7d0SuA8ddf/m7IWfNfs3MQfJyGkEezMJX1t6sRso5z50SS12LpXe
muGa1FE2ZgIxAL+CDUF5pz7mhrAEIjQ1MqlpF9tH40dJGvYZZQ3W23cMzSkDfvlt
y5S4RfWHIIPjbw==
-----END CERTIFICATE-----
`
