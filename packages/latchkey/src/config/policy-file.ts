// The policy file: which client may use which key for what. docs/policy.md describes it for operators.
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { SIGNATURE_ALGORITHMS } from '@latchkey/keys'
import { type Policy, POLICY_OPERATIONS, type PolicyOperation, type PolicyRule } from '@latchkey/keyserver'
import { z } from 'zod'
import { ConfigError } from './config-error.ts'
import { readConfigFile } from './read-config-file.ts'
import { onOff, parseSettings, type Place, setting } from './settings.ts'
import type { SettingPath } from './yaml-file.ts'

const VERSION = 1
const MAX_NAME_CHARS = 100
/** More than any key server can do. */
const MAX_PER_SECOND = 10_000_000
const OPERATIONS: ReadonlySet<string> = new Set([...POLICY_OPERATIONS, ...Object.keys(SIGNATURE_ALGORITHMS)])
const HOST_NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** One of something or a list of them, at least one. */
function some<T extends string>(expected: string, read: (text: string) => T | undefined) {
  return setting(`${expected}, or a list of them`, (value): readonly T[] | undefined => {
    const items = (Array.isArray(value) ? value : [value]).map((item) =>
      typeof item === 'string' && item !== '' ? read(item) : undefined,
    )
    return items.length > 0 && items.every((item) => item !== undefined) ? items : undefined
  }).optional()
}

const anyText = (text: string): string => text

function pinOf(text: string): string | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  return /^[A-Za-z0-9+/]{43}=$/.test(text) ? Buffer.from(text, 'base64').toString('hex') : undefined
}

function skiOf(text: string): string | undefined {
  const digits = text.replaceAll(':', '').toLowerCase()
  return /^[0-9a-f]{40}$/.test(digits) ? digits : undefined
}

/** A DNS name by its A-labels, in lower case. */
function hostOf(text: string): string | undefined {
  const name = domainToASCII(text.toLowerCase())
  return name.length <= 253 && HOST_NAME.test(name) ? name : undefined
}

function serverNameOf(text: string): string | undefined {
  if (!text.startsWith('*.')) return hostOf(text)
  const parent = hostOf(text.slice(2))
  return parent === undefined ? undefined : `*.${parent}`
}

function alternativeNameOf(text: string): string | undefined {
  if (isIP(text) === 4) return Buffer.from(text.split('.').map(Number)).toString('hex')
  if (isIP(text) === 6) return undefined // names and pins say the same more plainly
  if (text.includes('://')) return text
  return text.includes('@') ? text.toLowerCase() : hostOf(text)
}

/** `100` or `100/s` */
const rate = setting('a number of requests a second, such as 100/s', (value) => {
  const number = typeof value === 'string' ? Number(/^(\d+(?:\.\d+)?)(?:\/s)?$/.exec(value)?.[1]) : value
  return typeof number === 'number' && number > 0 && number <= MAX_PER_SECOND ? number : undefined
}).optional()

const burst = setting('a number of requests at once, 1 or more', (value) =>
  typeof value === 'number' && value >= 1 && value <= MAX_PER_SECOND ? value : undefined,
).optional()

const RULE = z.strictObject(
  {
    name: setting('a short text', (value) =>
      typeof value === 'string' && value.length <= MAX_NAME_CHARS && /^[^\p{Cc}]+$/u.test(value)
        ? value
        : undefined,
    ).optional(),
    clients: z
      .strictObject(
        {
          cn: some('a common name', anyText),
          ou: some('an organizational unit', anyText),
          san: some('a DNS name, e-mail address, URI or IPv4 address', alternativeNameOf),
          spki: some('the SHA-256 of a public key, in hex or base64', pinOf),
        },
        { error: 'cn, ou, san or spki' },
      )
      .optional(),
    keys: z
      .strictObject(
        {
          ski: some('an SKI of 40 hex digits', skiOf),
          label: some('a file name, * for any part of it', anyText),
        },
        { error: 'ski or label' },
      )
      .optional(),
    sni: some('a host name, or *. in front of one', serverNameOf),
    operations: some(
      `an operation (${POLICY_OPERATIONS.join(', ')}) or an algorithm such as ecdsa_sha256`,
      (text): PolicyOperation | undefined => (OPERATIONS.has(text) ? (text as PolicyOperation) : undefined),
    ),
    scoped_only: onOff.optional(),
    client_rate: rate,
    client_burst: burst,
    key_rate: rate,
    key_burst: burst,
  },
  { error: 'a rule with clients, keys, sni, operations' },
)

const SCHEMA = z.strictObject({
  version: setting(`${VERSION}`, (value) => (value === VERSION ? value : undefined)),
  scoped_only: onOff.optional(),
  rules: z.array(RULE, { error: 'a list of rules; an empty one denies everything' }),
})

/**
 * Reads a policy file.
 *
 * @param file absolute.
 * @throws {ConfigError} that names the place.
 */
export function readPolicyFile(file: string): Policy {
  const yaml = readConfigFile(file)
  const { value } = yaml
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError('ERR_CONFIG_VALUE', { file, expected: `version: ${VERSION} and a list of rules` })
  }
  const placeOf = (path: SettingPath): Place => ({ file, ...yaml.locate(path) })
  const settings = parseSettings(SCHEMA, value, placeOf)
  const names = new Set<string>()
  const rules = settings.rules.map((rule, index) => {
    const made = ruleOf(rule, index, settings.scoped_only ?? false)
    checkNotEmpty(rule, index, placeOf)
    checkScope(made, index, placeOf)
    if (names.has(made.name)) {
      throw new ConfigError('ERR_CONFIG_VALUE', {
        ...placeOf(['rules', index, 'name']),
        path: `rules[${index}].name`,
        found: `${made.name}, which another rule has`,
        expected: 'a name of its own: log lines tell rules apart by it',
      })
    }
    names.add(made.name)
    return made
  })
  return { rules }
}

type RuleSettings = z.infer<typeof RULE>

function ruleOf(rule: RuleSettings, index: number, scopedOnly: boolean): PolicyRule {
  const { client_rate, client_burst, key_rate, key_burst } = rule
  return {
    name: rule.name ?? `rule ${index + 1}`,
    clients: rule.clients,
    keys: rule.keys,
    sni: rule.sni,
    operations: rule.operations ?? ['sign'],
    scopedOnly: rule.scoped_only ?? scopedOnly,
    clientRate: rateOf(client_rate, client_burst),
    keyRate: rateOf(key_rate, key_burst),
  }
}

/** As much at once as in a second, unless said otherwise. */
function rateOf(perSecond: number | undefined, burst: number | undefined): PolicyRule['clientRate'] {
  return perSecond === undefined ? undefined : { perSecond, burst: burst ?? Math.max(1, perSecond) }
}

/** Raw RSA turns any block that somebody chose into a signature: it cannot stand beside "only what I was shown". */
function checkScope(
  { scopedOnly, operations }: PolicyRule,
  index: number,
  placeOf: (path: SettingPath) => Place,
): void {
  if (!scopedOnly || !operations.includes('rsa_decrypt')) return
  throw new ConfigError('ERR_CONFIG_VALUE', {
    ...placeOf(['rules', index, 'operations']),
    path: `rules[${index}].operations`,
    found: 'rsa_decrypt in a rule that is scoped_only',
    expected: 'operations without rsa_decrypt, or scoped_only: false',
    hint: 'raw RSA decryption makes a signature of anything: give it a rule of its own, for as few keys as can be',
  })
}

/** `clients: {}` reads as "nobody in particular" and would be anybody. */
function checkNotEmpty(rule: RuleSettings, index: number, placeOf: (path: SettingPath) => Place): void {
  for (const part of ['clients', 'keys'] as const) {
    const said = rule[part]
    if (said === undefined || Object.values(said).some((each) => each !== undefined)) continue
    throw new ConfigError('ERR_CONFIG_VALUE', {
      ...placeOf(['rules', index, part]),
      path: `rules[${index}].${part}`,
      found: 'nothing in it',
      expected: part === 'clients' ? 'cn, ou, san or spki' : 'ski or label',
      hint: `leave ${part} out for all of them`,
    })
  }
}
