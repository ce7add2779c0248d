// Decides by a policy, forty thousand times a second: who a client is, is found out once for its connection, and what it may do
// with a key once for each operation and server name.
import type { PrivateKey } from '@latchkey/keys'
import type { Denial, KeyUseQuestion } from '../answer.ts'
import type { Client } from '../client.ts'
import { hex } from '../key-request.ts'
import { type ClientIdentity, readClientIdentity } from './client-identity.ts'
import type { ClientPattern, KeyPattern, Policy, PolicyOperation, PolicyRule } from './policy.ts'
import { type TokenBucket, TokenBuckets } from './token-buckets.ts'

/** Hashes of SHA-2 from 256 bits on; RFC 9155 has done away with the others. */
const LEGACY_HASH = /_(?:md5_sha1|sha1|sha224)$/
/** Kept for one connection: names and keys of a fleet's, not of a flood. */
const MAX_DECISIONS = 4096
/** RFC 1035 §2.3.4; what is longer is no name, and is not kept either. */
const MAX_NAME_CHARS = 255

export interface PolicyEngineOptions {
  /** 1/n where n processes do the same: each holds its share of every rate. Default: 1. */
  readonly share?: number
  /** A clock that never goes back. Default: performance.now. */
  readonly nowMs?: () => number
}

/** A decision that holds until the policy changes, rates aside. */
type Decision =
  | { readonly isAllowed: false; readonly reason: string }
  | { readonly isAllowed: true; readonly rule: string; readonly buckets: readonly TokenBucket[] }

interface ClientView {
  readonly identity: ClientIdentity | undefined
  readonly rules: readonly PolicyRule[]
  byKey: WeakMap<PrivateKey, KeyView>
  /** Of operations without a key. */
  withoutKey: KeyView
  decisionCount: number
}

interface KeyView {
  readonly rules: readonly PolicyRule[]
  /** Whether any of them looks at the server name. */
  readonly usesServerName: boolean
  readonly decisions: Map<string, Decision>
}

export class PolicyEngine {
  readonly #policy: Policy
  readonly #buckets: TokenBuckets
  readonly #clients = new WeakMap<Client, ClientView>()

  constructor(policy: Policy, { share = 1, nowMs = () => performance.now() }: PolicyEngineOptions = {}) {
    this.#policy = policy
    this.#buckets = new TokenBuckets(nowMs, share)
  }

  /** Why this may not be done; undefined: it may. */
  readonly denial: Denial = (question) => {
    const decision = this.#decide(question)
    if (!decision.isAllowed) return decision.reason
    if (decision.buckets.length === 0 || this.#buckets.take(...decision.buckets)) return undefined
    return `too many requests for ${decision.rule}`
  }

  /** Rules that none of `keys` fits: most likely a typing error. */
  unusedRules(keys: Iterable<PrivateKey>): string[] {
    const loaded = [...keys]
    return this.#policy.rules
      .filter(({ keys: pattern }) => pattern !== undefined && !loaded.some((key) => fitsKey(pattern, key)))
      .map(({ name }) => name)
  }

  /** Those of `keys` that no rule lets anyone use. */
  unreachable(keys: Iterable<PrivateKey>): PrivateKey[] {
    return [...keys].filter((key) => !this.#policy.rules.some(({ keys: pattern }) => fitsKey(pattern, key)))
  }

  #decide({ request, operation, key }: KeyUseQuestion): Decision {
    const client = this.#viewOf(request.client)
    const view = key === undefined ? client.withoutKey : this.#keyViewOf(client, key)
    const serverName = view.usesServerName ? request.serverName.toLowerCase() : ''
    if (serverName.length > MAX_NAME_CHARS) return { isAllowed: false, reason: 'the server name is too long' }
    const { isScoped } = request
    const name = `${operation.code}${isScoped ? ' s ' : ' '}${serverName}`
    const known = view.decisions.get(name)
    if (known !== undefined) return known
    const kind =
      operation.kind === 'sign'
        ? operation.signatureAlgorithm
        : operation.kind === 'decrypt'
          ? 'rsa_decrypt'
          : (operation.kind as PolicyOperation)
    const decision = this.#judge(client, view, { kind, isScoped, serverName, key })
    if (++client.decisionCount > MAX_DECISIONS) forget(client)
    else view.decisions.set(name, decision)
    return decision
  }

  /** The first rule that fits in everything allows; else the reason is what the best of them failed at. */
  #judge(
    client: ClientView,
    view: KeyView,
    use: {
      readonly kind: PolicyOperation
      readonly isScoped: boolean
      readonly serverName: string
      readonly key: PrivateKey | undefined
    },
  ): Decision {
    const { kind, isScoped, serverName, key } = use
    const denied = (reason: string): Decision => ({ isAllowed: false, reason })
    if (client.rules.length === 0) return denied('no rule is for this client')
    if (view.rules.length === 0) return denied('no rule lets this client use this key')
    const named = view.rules.filter(
      ({ sni }) => sni === undefined || sni.some((each) => fitsName(each, serverName)),
    )
    if (named.length === 0) {
      return denied(serverName === '' ? 'a server name is needed' : `not for the server name ${serverName}`)
    }
    const able = named.filter(({ operations }) => operations.some((each) => covers(each, kind)))
    if (able.length === 0) return denied(`${kind} is not among the operations`)
    const rule = able.find(({ scopedOnly }) => !scopedOnly || isScoped || !isSignature(kind))
    if (rule === undefined) return denied('digests are refused, only scoped signing is allowed')
    const buckets: TokenBucket[] = []
    if (rule.clientRate !== undefined) {
      const spki = client.identity?.spki ?? ''
      buckets.push(this.#buckets.get(`client ${rule.name} ${spki}`, rule.clientRate))
    }
    if (rule.keyRate !== undefined) {
      buckets.push(this.#buckets.get(`key ${rule.name} ${hex(key?.ski)}`, rule.keyRate))
    }
    return { isAllowed: true, rule: rule.name, buckets }
  }

  #viewOf(client: Client): ClientView {
    const known = this.#clients.get(client)
    if (known !== undefined) return known
    const [leaf] = client.chain
    const identity = leaf === undefined ? undefined : readClientIdentity(leaf)
    const rules = this.#policy.rules.filter(({ clients }) => fitsClient(clients, identity))
    const withoutKey = keyView(rules.filter(({ keys }) => keys === undefined))
    const view = { identity, rules, byKey: new WeakMap<PrivateKey, KeyView>(), withoutKey, decisionCount: 0 }
    this.#clients.set(client, view)
    return view
  }

  #keyViewOf(client: ClientView, key: PrivateKey): KeyView {
    const known = client.byKey.get(key)
    if (known !== undefined) return known
    const view = keyView(client.rules.filter(({ keys }) => fitsKey(keys, key)))
    client.byKey.set(key, view)
    return view
  }
}

/** Whoever asks for more than can be kept is judged anew each time round. */
function forget(client: ClientView): void {
  client.byKey = new WeakMap()
  client.withoutKey = keyView(client.withoutKey.rules)
  client.decisionCount = 0
}

function keyView(rules: readonly PolicyRule[]): KeyView {
  return { rules, usesServerName: rules.some(({ sni }) => sni !== undefined), decisions: new Map() }
}

function fitsClient(pattern: ClientPattern | undefined, identity: ClientIdentity | undefined): boolean {
  if (pattern === undefined) return true
  if (identity === undefined) return false
  const { cn, ou, san, spki } = pattern
  return (
    (cn === undefined || identity.cn.some((name) => cn.includes(name))) &&
    (ou === undefined || identity.ou.some((name) => ou.includes(name))) &&
    (san === undefined || identity.san.some((name) => san.includes(name))) &&
    (spki === undefined || spki.includes(identity.spki))
  )
}

function fitsKey(pattern: KeyPattern | undefined, key: PrivateKey): boolean {
  if (pattern === undefined) return true
  const { ski, label } = pattern
  return (
    (ski?.includes(hex(key.ski)) ?? false) || (label?.some((each) => fitsLabel(each, key.source)) ?? false)
  )
}

/** A pattern without a slash is for the last part of the source. */
function fitsLabel(pattern: string, source: string): boolean {
  const text = pattern.includes('/') ? source : source.slice(source.lastIndexOf('/') + 1)
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^/]*')}$`, 's').test(text)
}

/** RFC 9525 §6.3: `*` stands for exactly one label, the first. */
function fitsName(pattern: string, name: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === name
  const dot = name.indexOf('.')
  return dot > 0 && name.slice(dot) === pattern.slice(1)
}

function covers(allowed: PolicyOperation, kind: PolicyOperation): boolean {
  if (allowed === kind) return true
  if (!isSignature(kind)) return false
  return allowed === (LEGACY_HASH.test(kind) ? 'legacy_sign' : 'sign')
}

function isSignature(kind: PolicyOperation): boolean {
  return kind !== 'rsa_decrypt' && kind !== 'seal' && kind !== 'unseal'
}
