// Chains that lead to a CA of ours, and chains that do not: our verdict, and that of `openssl verify` where it is installed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type CaOptions,
  createSelfSigned,
  createThrowawayCa,
  type IssueOptions,
} from '@latchkey/throwaway-pki'
import type { TlsErrorCode } from '../src/errors.ts'
import { createClientCaPolicy } from '../src/client-certificate/client-ca-policy.ts'
import { validatePath } from '../src/client-certificate/path-validation.ts'
import { readTrustAnchors } from '../src/client-certificate/trust-anchors.ts'

const NOW = Date.now()
const HOUR_MS = 3_600_000
const PAST = { notBefore: new Date(NOW - 3 * HOUR_MS), notAfter: new Date(NOW - HOUR_MS) }
const FUTURE = { notBefore: new Date(NOW + HOUR_MS) }

interface Chain {
  /** PEM, the leaf first. */
  readonly chain: string
  /** PEM of what we trust. */
  readonly ca: string
}

/** A leaf below a root. */
async function under(root: CaOptions, leaf: IssueOptions = {}): Promise<Chain> {
  const ca = await createThrowawayCa(root)
  return { chain: (await ca.issue(leaf)).chainPem, ca: ca.certificatePem }
}

/** A leaf below an intermediate below a root. */
async function below(intermediate: CaOptions, root: CaOptions = {}, leaf: IssueOptions = {}): Promise<Chain> {
  const ca = await createThrowawayCa(root)
  const { chainPem } = await (await ca.issueIntermediate(intermediate)).issue(leaf)
  return { chain: chainPem, ca: ca.certificatePem }
}

function certificatesOf(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? []
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
/** NameConstraints ::= { permittedSubtrees [0] { { dNSName [2] "a.example" } } } */
const NAME_CONSTRAINTS = { oid: '2.5.29.30', value: hex('300fa00d300b8209612e6578616d706c65') }
const UNKNOWN = { oid: '1.3.6.1.4.1.11129.2.4.3', value: hex('0500') }
/** AuthorityKeyIdentifier without a word. */
const NO_AUTHORITY = { oid: '2.5.29.35', value: hex('3000') }

interface Row {
  readonly name: string
  readonly make: () => Promise<Chain>
  /** undefined: welcome. */
  readonly refusal?: TlsErrorCode
  /** Why OpenSSL is of another opinion. */
  readonly openssl?: string
}

const ROWS: readonly Row[] = [
  { name: 'below a root', make: () => under({}) },
  { name: 'below an intermediate', make: () => below({}) },
  {
    name: 'RSA and ECDSA mixed',
    make: () => below({ keyAlgorithm: 'rsa-3072' }, { keyAlgorithm: 'ecdsa-p384' }),
  },
  {
    name: 'Ed25519 all the way',
    make: () => below({ keyAlgorithm: 'ed25519' }, { keyAlgorithm: 'ed25519' }),
  },
  { name: 'no extended key usage', make: () => under({}, { extendedKeyUsages: [] }) },
  { name: 'a CA for clients', make: () => below({ extendedKeyUsages: ['clientAuth'] }) },
  {
    name: 'any extended key usage',
    make: () => under({}, { extendedKeyUsages: ['any'] }),
    openssl: 'its purpose check does not know it',
  },
  { name: 'an unknown extension that is not critical', make: () => under({}, { extensions: [UNKNOWN] }) },
  {
    name: 'the root presented too',
    make: async () => {
      const { chain, ca } = await below({})
      return { chain: chain + ca, ca }
    },
  },
  {
    name: 'intermediates in any order, with others between them',
    make: async () => {
      const root = await createThrowawayCa()
      const upper = await root.issueIntermediate({ commonName: 'upper' })
      const { chainPem } = await (await upper.issueIntermediate({ commonName: 'lower' })).issue({})
      const [leaf, lower, up] = certificatesOf(chainPem)
      const other = await createThrowawayCa()
      return { chain: [leaf, up, other.certificatePem, lower].join(''), ca: root.certificatePem }
    },
  },
  {
    name: 'the intermediate with the CAs, not presented',
    make: async () => {
      const root = await createThrowawayCa()
      const intermediate = await root.issueIntermediate()
      const [leaf = ''] = certificatesOf((await intermediate.issue({})).chainPem)
      return { chain: leaf, ca: root.certificatePem + intermediate.certificatePem }
    },
  },
  {
    name: 'a self-signed certificate that is itself trusted',
    make: async () => {
      const { certificatePem } = await createSelfSigned({ commonName: 'itself' })
      return { chain: certificatePem, ca: certificatePem }
    },
  },
  { name: 'a path length that is just enough', make: () => below({ pathLength: 0 }, { pathLength: 1 }) },
  {
    name: 'a CA that certifies a new key of its own, beyond the path length',
    make: () => below({ commonName: 'same' }, { commonName: 'same', pathLength: 0 }),
  },
  // Time
  { name: 'an expired leaf', make: () => under({}, PAST), refusal: 'ERR_TLS_CERTIFICATE_EXPIRED' },
  { name: 'a leaf of the future', make: () => under({}, FUTURE), refusal: 'ERR_TLS_CERTIFICATE_EXPIRED' },
  { name: 'an expired intermediate', make: () => below(PAST), refusal: 'ERR_TLS_CERTIFICATE_EXPIRED' },
  { name: 'an expired root', make: () => under(PAST), refusal: 'ERR_TLS_CERTIFICATE_EXPIRED' },
  // Who
  {
    name: 'another CA of the same name',
    make: async () => {
      const [ours, theirs] = [await under({}), await under({})]
      return { chain: theirs.chain, ca: ours.ca }
    },
    refusal: 'ERR_TLS_UNKNOWN_CA',
  },
  {
    name: 'another CA of the same name, whose key nobody names',
    make: async () => {
      const [ours, theirs] = [await under({}), await under({}, { extensions: [NO_AUTHORITY] })]
      return { chain: theirs.chain, ca: ours.ca }
    },
    refusal: 'ERR_TLS_BAD_CERTIFICATE',
  },
  {
    name: 'an intermediate that is not presented',
    make: async () => {
      const { chain, ca } = await below({})
      return { chain: certificatesOf(chain)[0] ?? '', ca }
    },
    refusal: 'ERR_TLS_UNKNOWN_CA',
  },
  {
    name: 'a self-signed certificate',
    make: async () => {
      const { ca } = await under({})
      return { chain: (await createSelfSigned({})).certificatePem, ca }
    },
    refusal: 'ERR_TLS_UNKNOWN_CA',
  },
  // What for
  {
    name: 'a certificate for servers',
    make: () => under({}, { extendedKeyUsages: ['serverAuth'] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  },
  {
    name: 'a CA for servers',
    make: () => below({ extendedKeyUsages: ['serverAuth'] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  },
  {
    name: 'a CA that is none',
    make: () => below({ extensions: [{ oid: '2.5.29.19', critical: true, value: hex('3000') }] }),
    refusal: 'ERR_TLS_BAD_CERTIFICATE',
  },
  {
    name: 'a CA that may not sign certificates',
    make: () => below({ extensions: [{ oid: '2.5.29.15', critical: true, value: hex('03020780') }] }),
    refusal: 'ERR_TLS_UNKNOWN_CA',
  },
  { name: 'a CA too many', make: () => below({}, { pathLength: 0 }), refusal: 'ERR_TLS_BAD_CERTIFICATE' },
  {
    name: 'a critical extension of the leaf that is not known',
    make: () => under({}, { extensions: [{ ...UNKNOWN, critical: true }] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  },
  {
    name: 'a critical extension of a CA that is not known',
    make: () => below({ extensions: [{ ...UNKNOWN, critical: true }] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  },
  {
    name: 'name constraints',
    make: () => below({ extensions: [{ ...NAME_CONSTRAINTS, critical: true }] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
    openssl: 'it understands them',
  },
  {
    name: 'name constraints that a CA did not call critical',
    make: () => below({ extensions: [NAME_CONSTRAINTS] }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
    openssl: 'it understands them',
  },
  {
    name: 'an extension twice',
    make: () => under({}, { extensions: [UNKNOWN, UNKNOWN] }),
    refusal: 'ERR_TLS_BAD_CERTIFICATE',
    openssl: 'it counts only the extensions it knows',
  },
  // How
  {
    name: 'a CA with RSA of 1024 bits',
    make: () => under({ keyAlgorithm: 'rsa-1024' }),
    refusal: 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  },
  { name: 'SHA-1', make: () => under({ keyAlgorithm: 'rsa-2048-sha1' }), refusal: 'ERR_TLS_BAD_CERTIFICATE' },
]

function read(pem: string): X509Certificate[] {
  return certificatesOf(pem).map((each) => new X509Certificate(each))
}

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
const folder = mkdtempSync(join(tmpdir(), 'latchkey-paths-'))
after(() => rmSync(folder, { recursive: true }))

/** Whether OpenSSL takes it, at the security level that asks for what we ask for. */
function opensslTakes({ chain, ca }: Chain): boolean {
  const [leaf = '', ...rest] = certificatesOf(chain)
  const file = (name: string, content: string): string => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  const untrusted = rest.length > 0 ? ['-untrusted', file('rest.pem', rest.join(''))] : []
  const options = ['-purpose', 'sslclient', '-auth_level', '2', '-no-CApath', '-no-CAstore']
  const trusted = ['-CAfile', file('ca.pem', ca)]
  try {
    execFileSync('openssl', ['verify', ...options, ...trusted, ...untrusted, file('leaf.pem', leaf)], {
      stdio: 'ignore',
    })
    return true
  } catch {
    return false
  }
}

for (const { name, make, refusal, openssl } of ROWS) {
  test(`${refusal === undefined ? 'taken' : 'refused'}: ${name}`, async () => {
    const made = await make()
    const found = validatePath(read(made.chain), readTrustAnchors(made.ca), NOW)
    assert.equal(found?.code, refusal, String(found))
    if (!hasOpenssl) return
    assert.equal(opensslTakes(made), (refusal === undefined) !== (openssl !== undefined), 'openssl verify')
  })
}

test('the clock that is passed in decides, to the second', async () => {
  const { chain, ca } = await under({}, { notAfter: new Date(Math.floor(NOW / 1000) * 1000 + 10_000) })
  const [leaf] = read(chain)
  const end = leaf?.validToDate.getTime() ?? 0
  const anchors = readTrustAnchors(ca)
  assert.equal(validatePath(read(chain), anchors, end), undefined)
  assert.equal(validatePath(read(chain), anchors, end + 1)?.code, 'ERR_TLS_CERTIFICATE_EXPIRED')
})

test('where one path is wrong, another is found: a CA that two roots have certified', async () => {
  // Two intermediates of one name, either of which could be the issuer by what the leaf says: the first is expired.
  const root = await createThrowawayCa()
  const wrong = await root.issueIntermediate({ commonName: 'one name', ...PAST })
  const right = await root.issueIntermediate({ commonName: 'one name' })
  const { chainPem } = await right.issue({ extensions: [NO_AUTHORITY] })
  const [leaf = '', issuer = ''] = certificatesOf(chainPem)
  const anchors = readTrustAnchors(root.certificatePem)
  assert.equal(validatePath(read(leaf + wrong.certificatePem + issuer), anchors, NOW), undefined)
})

test('CAs that could all have certified each other are not tried in every order', async () => {
  const knot = await Promise.all(
    Array.from({ length: 9 }, () => createThrowawayCa({ commonName: 'knot', extensions: [NO_AUTHORITY] })),
  )
  const [first] = knot
  const { certificatePem } = await (first as (typeof knot)[0]).issue({ extensions: [NO_AUTHORITY] })
  const chain = read(certificatePem + knot.map((each) => each.certificatePem).join(''))
  let comparisons = 0
  for (const certificate of chain) {
    Object.defineProperty(certificate, 'checkIssued', {
      value: (issuer: X509Certificate) => {
        comparisons++
        return X509Certificate.prototype.checkIssued.call(certificate, issuer)
      },
    })
  }
  const { ca } = await under({})
  assert.equal(validatePath(chain, readTrustAnchors(ca), NOW)?.code, 'ERR_TLS_UNKNOWN_CA')
  assert.ok(comparisons < 500, `${comparisons} comparisons`)
})

test('no more than ten certificates to a root', async () => {
  for (const [count, refusal] of [
    [8, undefined],
    [9, 'ERR_TLS_UNKNOWN_CA'],
  ] as const) {
    const root = await createThrowawayCa()
    let ca = root
    for (let index = 0; index < count; index++) ca = await ca.issueIntermediate({ commonName: `CA ${index}` })
    const { chainPem } = await ca.issue({})
    assert.equal(validatePath(read(chainPem), readTrustAnchors(root.certificatePem), NOW)?.code, refusal)
  }
})

test('ca that lets nobody in, or everybody, is a mistake', async () => {
  const root = await createThrowawayCa()
  const intermediate = await root.issueIntermediate()
  assert.throws(() => createClientCaPolicy({}), TypeError)
  assert.throws(() => createClientCaPolicy({ ca: [] }), TypeError)
  assert.throws(() => createClientCaPolicy({ ca: intermediate.certificatePem }), TypeError)
  assert.throws(() => createClientCaPolicy({ ca: root.certificatePem.replace(/M/, 'N') }), TypeError)
  const { authorities } = createClientCaPolicy({
    ca: [root.certificatePem, Buffer.from(intermediate.certificatePem)],
  })
  assert.equal(authorities.length, 2)
  const anonymous = createClientCaPolicy({ rejectUnauthorized: false })
  assert.equal(anonymous.isRequired, false)
  const { chain } = await under({})
  assert.equal(anonymous.verify(read(chain), NOW)?.code, 'ERR_TLS_UNKNOWN_CA')
})
