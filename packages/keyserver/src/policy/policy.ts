// Who may use which key for what: the rules, as an operator thinks of them. Where there are rules, what none of them allows is
// denied.
import type { SignatureAlgorithm } from '@latchkey/keys'

/** `sign`: with SHA-256 or longer, or Ed25519. `legacy_sign`: with MD5, SHA-1 or SHA-224. `rsa_decrypt`: raw RSA. */
export const POLICY_OPERATIONS = ['sign', 'legacy_sign', 'rsa_decrypt', 'seal', 'unseal'] as const
export type PolicyOperation = (typeof POLICY_OPERATIONS)[number] | SignatureAlgorithm

/** A token bucket: `perSecond` on average, `burst` at once. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** A client certificate that has, of each kind that is named here, one of what is listed. */
export interface ClientPattern {
  readonly cn?: readonly string[] | undefined
  readonly ou?: readonly string[] | undefined
  /** DNS names, e-mail addresses, URIs, IP addresses. */
  readonly san?: readonly string[] | undefined
  /** SHA-256 pins of the public key in hex. */
  readonly spki?: readonly string[] | undefined
}

/** A key with one of these SKIs or labels. */
export interface KeyPattern {
  /** 40 hex digits each. */
  readonly ski?: readonly string[] | undefined
  /** What its source ends with, `*` for anything but a slash: `*.example.com.key`, `/keys/eu/*.key`. */
  readonly label?: readonly string[] | undefined
}

export interface PolicyRule {
  /** For log lines. */
  readonly name: string
  /** Undefined: any client that was let in. */
  readonly clients?: ClientPattern | undefined
  /** Undefined: any key. */
  readonly keys?: KeyPattern | undefined
  /** Server names that requests must carry, `*.` for one label; undefined: any or none. */
  readonly sni?: readonly string[] | undefined
  readonly operations: readonly PolicyOperation[]
  /** Signatures of digests are refused: the client has to show what is signed (scoped signing). */
  readonly scopedOnly: boolean
  /** For each client certificate, over all keys of the rule. */
  readonly clientRate?: Rate | undefined
  /** For each key, over all clients of the rule. */
  readonly keyRate?: Rate | undefined
}

export interface Policy {
  readonly rules: readonly PolicyRule[]
}
