// Certification path validation, RFC 5280 §6.1, as far as client certificates need it: from the client's certificate up
// by names, which costs little, then from a root of ours down by signatures, so that a chain which a stranger has made
// up fails at its first one. No revocation, no policies; name constraints are refused, because they are not understood.
import { DecodeError } from '@latchkey/core'
import type { X509Certificate } from '../crypto-provider.ts'
import { TlsError, type TlsErrorCode } from '../errors.ts'
import { hasSoundSignatureAlgorithm } from './certificate-fields.ts'
import { publicKeyOf } from './client-certificate.ts'
import { UNDERSTOOD } from './constraints.ts'
import { isAcceptableKey } from './client-key.ts'
import { type Certificate, type TrustAnchors, withConstraints } from './trust-anchors.ts'

/** From the client's certificate to the root, both counted. */
const MAX_PATH = 10
/** Certificates whose issuers are looked for: CAs that certify each other would make it exponential. */
const MAX_STEPS = 32
/** Paths whose signatures are checked. */
const MAX_PATHS = 4

/** RFC 5280 §4.2.1.12: clientAuth, anyExtendedKeyUsage. */
const USAGES_OF_A_CLIENT: readonly string[] = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0']
/** RFC 5280 §4.2: a critical extension that is not understood refuses the certificate. */
const MAY_BE_CRITICAL: readonly string[] = Object.values(UNDERSTOOD)
/** RFC 5280 §4.2.1.10. They are critical; where a CA forgot to say so, they are meant all the same. */
const NAME_CONSTRAINTS = '2.5.29.30'

/**
 * Whether a path leads from the client's certificate to a root.
 *
 * @param chain leaf first, as presented; the rest is a help, in any order.
 * @param nowMs milliseconds since the epoch.
 * @returns what is wrong with the first path, if every path has something wrong.
 */
export function validatePath(
  chain: readonly X509Certificate[],
  anchors: TrustAnchors,
  nowMs: number,
): TlsError | undefined {
  try {
    const [leaf, ...presented] = chain.map(withConstraints)
    let flaw: TlsError | undefined
    let left = MAX_PATHS
    for (const path of pathsToRoots([leaf as Certificate], new Search(presented, anchors))) {
      const found = flawOfPath(path, new Date(nowMs))
      if (found === undefined) return undefined
      flaw ??= found
      if (--left === 0) break
    }
    return flaw ?? new TlsError('ERR_TLS_UNKNOWN_CA', { detail: 'no path to a configured CA' })
  } catch (cause) {
    if (cause instanceof DecodeError)
      return new TlsError('ERR_TLS_BAD_CERTIFICATE', { detail: 'extensions that cannot be read', cause })
    throw cause
  }
}

/** Where issuers are looked for: our roots first, then what may lead to them. */
class Search {
  readonly #roots: ReadonlySet<string>
  readonly candidates: readonly Certificate[]
  stepsLeft = MAX_STEPS

  constructor(presented: readonly Certificate[], { roots, intermediates }: TrustAnchors) {
    this.#roots = new Set(roots.map(({ x509 }) => x509.fingerprint256))
    const all = [...roots, ...intermediates, ...presented]
    this.candidates = [...new Map(all.map((each) => [each.x509.fingerprint256, each])).values()]
  }

  /** By its bytes: a client may present the root itself. */
  isRoot({ x509 }: Certificate): boolean {
    return this.#roots.has(x509.fingerprint256)
  }
}

/** Depth first; `checkIssued` compares names, key identifiers and keyCertSign, and no signature. RFC 5280 §6.1.3 (a)(4). */
function* pathsToRoots(path: readonly Certificate[], search: Search): Generator<readonly Certificate[]> {
  const below = path.at(-1) as Certificate
  if (search.isRoot(below)) {
    yield path
    return
  }
  if (path.length === MAX_PATH) return
  for (const issuer of search.candidates) {
    if (path.includes(issuer) || !below.x509.checkIssued(issuer.x509)) continue
    if (search.stepsLeft-- <= 0) return
    yield* pathsToRoots([...path, issuer], search)
  }
}

function flawOfPath(path: readonly Certificate[], now: Date): TlsError | undefined {
  for (let at = path.length - 1; at >= 0; at--) {
    const certificate = path[at] as Certificate
    const issuer = path[at + 1]
    const flaw =
      flawOfAny(certificate, now) ??
      (at > 0 ? flawOfCa(certificate, path.slice(1, at)) : undefined) ??
      (issuer === undefined ? undefined : flawOfSignature(certificate.x509, issuer.x509))
    if (flaw !== undefined) return new TlsError(flaw.code, { detail: `${roleOf(at, path)}: ${flaw.detail}` })
  }
  return undefined
}

interface Flaw {
  readonly code: TlsErrorCode
  readonly detail: string
}

function roleOf(at: number, { length }: readonly Certificate[]): string {
  if (at === 0) return 'client certificate'
  return at === length - 1 ? 'root' : 'intermediate'
}

function flawOfAny({ x509, constraints }: Certificate, now: Date): Flaw | undefined {
  if (now < x509.validFromDate) return { code: 'ERR_TLS_CERTIFICATE_EXPIRED', detail: 'not valid yet' }
  if (now > x509.validToDate) return { code: 'ERR_TLS_CERTIFICATE_EXPIRED', detail: 'expired' }
  const { critical, all, extendedKeyUsages } = constraints
  const unknown = critical.find((oid) => !MAY_BE_CRITICAL.includes(oid))
  if (unknown !== undefined) return unsupported(`critical extension ${unknown} is not understood`)
  if (all.includes(NAME_CONSTRAINTS)) return unsupported('name constraints are not understood')
  if (extendedKeyUsages?.some((oid) => USAGES_OF_A_CLIENT.includes(oid)) === false)
    return unsupported('extended key usage is not for TLS clients')
  return undefined
}

function unsupported(detail: string): Flaw {
  return { code: 'ERR_TLS_UNSUPPORTED_CERTIFICATE', detail }
}

/** @param below the CAs between this one and the client. */
function flawOfCa({ x509, constraints }: Certificate, below: readonly Certificate[]): Flaw | undefined {
  const { isCa, pathLength = MAX_PATH } = constraints
  if (!isCa) return bad('not a CA')
  // RFC 5280 §6.1.4 (l): a CA that certifies a new key of its own is no further one.
  const further = below.filter((each) => each.x509.subject !== each.x509.issuer)
  if (further.length > pathLength) return bad('more CAs below it than it allows')
  const key = publicKeyOf(x509)
  if (key === undefined || !isAcceptableKey(key))
    return unsupported('a kind or size of key that is not taken')
  return undefined
}

function bad(detail: string): Flaw {
  return { code: 'ERR_TLS_BAD_CERTIFICATE', detail }
}

/** RFC 8446 §4.4.2.4: also a weak hash is bad_certificate. The issuer was looked at before. */
function flawOfSignature(x509: X509Certificate, issuer: X509Certificate): Flaw | undefined {
  if (!hasSoundSignatureAlgorithm(x509.raw)) return bad('signed in a way that is not taken')
  return x509.verify(issuer.publicKey) ? undefined : bad('the signature of its issuer does not verify')
}
