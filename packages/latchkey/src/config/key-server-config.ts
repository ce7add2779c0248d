// `gokeyless.yaml`, the environment and the flags, as typed options of a key server.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { type LogLevel, parseLogLevel } from '@latchkey/core'
import type { KeyStoreEntry } from '@latchkey/keys'
import type { Limits, Policy } from '@latchkey/keyserver'
import { parse as parseYamlText } from 'yaml'
import { z } from 'zod'
import { AUDIT_DEFAULTS, AUDIT_SCHEMA, type AuditConfig, auditConfig } from './audit-settings.ts'
import { firstCertificate } from './certificate-checks.ts'
import { ConfigError } from './config-error.ts'
import { certificateHint, ENROLMENT_DEFAULTS, ENROLMENT_SCHEMA } from './enrolment-settings.ts'
import { readReferenced } from './file-content.ts'
import {
  environmentNameOf,
  flagOf,
  KEY_SERVER_ROWS,
  type KeyServerSettingName,
} from './key-server-settings.ts'
import { privateKeyStores } from './key-stores.ts'
import { readPolicyFile } from './policy-file.ts'
import { readSealSecrets } from './seal-secrets.ts'
import { nearestName } from './nearest-name.ts'
import { readConfigFile } from './read-config-file.ts'
import { readServerPair } from './server-pair.ts'
import {
  duration,
  filePath,
  onOff,
  parseSettings,
  type Place,
  port,
  setting,
  share,
  text,
  wholeNumber,
} from './settings.ts'
import type { SettingPath, YamlFile } from './yaml-file.ts'

/** Where gokeyless looks, in this order; only the first that exists is read. */
const SEARCH_PATH = ['gokeyless.yaml', '/etc/keyless/gokeyless.yaml']

const DAY_MS = 24 * 3_600_000

export interface KeyServerConfig {
  /** The file that was read, if any. */
  readonly file: string | undefined
  /** For the validity of certificates, milliseconds since the epoch. */
  readonly now: () => number
  readonly logLevel: LogLevel
  readonly listen: { readonly host: string; readonly port: number }
  /** A Unix socket besides. */
  readonly listenSocket: string | undefined
  /** Whether somebody chose the address: gokeyless listens on all, which we do only when told. */
  readonly isAddressSaid: boolean
  /** PEM. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string }
  /** Where two of them are, as the configuration says it. */
  readonly files: { readonly cert: string; readonly ca: string }
  readonly stores: readonly KeyStoreEntry[]
  /** Processes. */
  readonly workers: number
  readonly limits: Partial<Limits>
  /** How often a signature that failed is tried again. */
  readonly signRetries: number
  readonly metrics: { readonly host: string; readonly port: number; readonly totalTwins: boolean }
  /** Undefined: off. */
  readonly tracing: { readonly endpoint: string | undefined; readonly sampleRate: number } | undefined
  /** Undefined: every client may use every key. */
  readonly policy: Policy | undefined
  /** Undefined: seal and unseal are not offered. */
  readonly sealing: SealingSettings | undefined
  /** Undefined: off. */
  readonly audit: AuditConfig | undefined
  readonly pidFile: string | undefined
  /** What an operator should know though it is no error. */
  readonly warnings: readonly string[]
}

export interface SealingSettings {
  /** The secrets themselves are nowhere in the settings: whoever makes keys of them reads them, and wipes them. */
  readonly readSecrets: () => readonly Uint8Array[]
  readonly rotationSeconds: number
}

export interface KeyServerSources {
  /** `-c`: must exist. */
  readonly configFile?: string | undefined
  /** By setting name, as given on the command line. */
  readonly flags?: Readonly<Partial<Record<KeyServerSettingName, string | boolean>>>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Relative paths, also those in the file, start here, as with gokeyless. */
  readonly cwd: string
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** Nobody waits longer for a handshake. */
const MAX_SIGN_TIMEOUT_MS = 600_000

export const KEY_SERVER_SCHEMA = z.object({
  loglevel: setting('debug, info, warning, error, critical, or 0 to 5', (value) =>
    typeof value === 'string' || typeof value === 'number'
      ? parseLogLevel(String(value).toLowerCase())
      : undefined,
  ),
  listen_address: text('an address such as 127.0.0.1, or :: for all'),
  port,
  listen_socket: filePath.optional(),
  workers: wholeNumber('a number of processes, 1 to 256', 1, 256),
  metrics_address: text('an address such as 127.0.0.1, or :: for all'),
  metrics_port: port,
  metrics_total_twins: onOff,
  tracing_enabled: onOff,
  tracing_address: text('the URL of a collector, such as http://localhost:4318').optional(),
  tracing_sample_rate: share,
  auth_cert: filePath,
  auth_key: filePath,
  cloudflare_ca_cert: filePath,
  private_key_stores: privateKeyStores,
  policy_file: filePath.optional(),
  seal_secret_file: filePath.optional(),
  seal_rotation: duration('a duration of a minute to a month, such as 24h', 31 * DAY_MS, 60_000),
  pid_file: filePath.optional(),
  sign_timeout: duration('a duration such as 250ms or 2s; 0 for the usual one', MAX_SIGN_TIMEOUT_MS),
  sign_retry_count: wholeNumber('a number of tries, 0 to 10', 0, 10),
  ...AUDIT_SCHEMA,
  ...ENROLMENT_SCHEMA,
})

/** Each takes some 80 MB, and RSA uses all cores whatever their number; who wants more says so. */
const MAX_DEFAULT_WORKERS = 8

const DEFAULTS = {
  loglevel: 'info',
  listen_address: '127.0.0.1',
  port: 2407,
  workers: Math.min(availableParallelism(), MAX_DEFAULT_WORKERS),
  metrics_address: '127.0.0.1',
  metrics_port: 2406,
  metrics_total_twins: false,
  tracing_enabled: false,
  tracing_sample_rate: 0,
  auth_cert: 'server.pem',
  auth_key: 'server-key.pem',
  cloudflare_ca_cert: 'keyless_cacert.pem',
  private_key_stores: [],
  seal_rotation: '24h',
  sign_timeout: '0',
  sign_retry_count: 0,
  ...AUDIT_DEFAULTS,
  ...ENROLMENT_DEFAULTS,
}

/**
 * Reads the configuration and the certificates it names. Flag before environment before file before default.
 *
 * @throws {ConfigError}
 */
export function loadKeyServerConfig(sources: KeyServerSources): KeyServerConfig {
  const { cwd, now = Date.now } = sources
  const file = findFile(sources)
  const merged = mergeSources(file, sources)
  const placeOf = (path: SettingPath): Place => merged.placeOf(path)
  const settings = parseSettings(KEY_SERVER_SCHEMA, merged.values, placeOf)
  const sealFile = settings.seal_secret_file
  const clock = settings.current_time === undefined ? now : () => settings.current_time ?? 0
  const hint = certificateHint(settings)
  const { cert, key } = readServerPair(settings, { cwd, placeOf, now: clock(), hint })
  const ca = readCa(settings.cloudflare_ca_cert, cwd, placeOf)
  return {
    file: file?.file,
    now: clock,
    logLevel: settings.loglevel,
    listen: { host: settings.listen_address, port: settings.port },
    workers: settings.workers,
    listenSocket: settings.listen_socket === undefined ? undefined : resolve(cwd, settings.listen_socket),
    isAddressSaid: merged.isSaid('listen_address'),
    tls: { cert, key, ca },
    files: { cert: settings.auth_cert, ca: settings.cloudflare_ca_cert },
    metrics: {
      host: settings.metrics_address,
      port: settings.metrics_port,
      totalTwins: settings.metrics_total_twins,
    },
    limits: settings.sign_timeout === 0 ? {} : { operationTimeoutMs: settings.sign_timeout },
    signRetries: settings.sign_retry_count,
    stores: settings.private_key_stores.map((store) => absolute(store, cwd)),
    tracing: settings.tracing_enabled
      ? { endpoint: collectorUrl(settings.tracing_address), sampleRate: settings.tracing_sample_rate }
      : undefined,
    policy:
      settings.policy_file === undefined ? undefined : readPolicyFile(resolve(cwd, settings.policy_file)),
    sealing:
      sealFile === undefined
        ? undefined
        : {
            readSecrets: () => readSealSecrets(sealFile, cwd, placeOf(['seal_secret_file'])),
            rotationSeconds: settings.seal_rotation / 1000,
          },
    audit: auditConfig(settings, cwd),
    pidFile: settings.pid_file === undefined ? undefined : resolve(cwd, settings.pid_file),
    warnings: [
      ...merged.warnings,
      ...(settings.tracing_enabled ? jaegerWarning(settings.tracing_address) : []),
    ],
  }
}

/** A base URL gets the path that OTLP has; undefined if it is no URL. */
function collectorUrl(address: string | undefined): string | undefined {
  if (address === undefined || !/^https?:\/\//i.test(address) || !URL.canParse(address)) return undefined
  const url = new URL(address)
  if (url.pathname === '/') url.pathname = '/v1/traces'
  return url.href
}

/** gokeyless sends to a Jaeger agent, `localhost:6831`, which is at its end of life. */
function jaegerWarning(address: string | undefined): string[] {
  if (address === undefined || collectorUrl(address) !== undefined) return []
  return [
    'tracing_address is not the URL of a collector for OTLP over HTTP and is ignored; spans are not sent to Jaeger agents',
  ]
}

/**
 * What file, environment, flags and defaults come to, by setting name, before anything is checked. Secrets are
 * in it.
 *
 * @throws {ConfigError} of a file that cannot be read.
 */
export function mergedKeyServerSettings(sources: KeyServerSources): Readonly<Record<string, unknown>> {
  return mergeSources(findFile(sources), sources).values
}

/**
 * The key stores alone, for whoever looks at keys only: certificates need not be there.
 *
 * @throws {ConfigError}
 */
export function loadKeyServerStores(sources: KeyServerSources): readonly KeyStoreEntry[] {
  const { settings } = readKeyServerSettings(KEY_SERVER_SCHEMA.pick({ private_key_stores: true }), sources)
  return settings.private_key_stores.map((store) => absolute(store, sources.cwd))
}

/**
 * Some of the settings, and where each was said.
 *
 * @throws {ConfigError}
 */
export function readKeyServerSettings<T>(
  schema: z.ZodType<T>,
  sources: KeyServerSources,
): { readonly settings: T; readonly placeOf: (path: SettingPath) => Place } {
  const merged = mergeSources(findFile(sources), sources)
  const placeOf = (path: SettingPath): Place => merged.placeOf(path)
  return { settings: parseSettings(schema, merged.values, placeOf), placeOf }
}

function absolute(store: KeyStoreEntry, cwd: string): KeyStoreEntry {
  if (store.uri !== undefined) return store
  return store.dir === undefined ? { file: resolve(cwd, store.file) } : { dir: resolve(cwd, store.dir) }
}

function findFile({ configFile, cwd }: KeyServerSources): YamlFile | undefined {
  if (configFile !== undefined) return readConfigFile(resolve(cwd, configFile))
  const found = SEARCH_PATH.map((path) => resolve(cwd, path)).find((path) => existsSync(path))
  return found === undefined ? undefined : readConfigFile(found)
}

interface Merged {
  readonly values: Readonly<Record<string, unknown>>
  readonly warnings: readonly string[]
  placeOf(path: SettingPath): Place
  /** Whether anyone but the defaults said it. */
  isSaid(name: KeyServerSettingName): boolean
}

/** One value a setting, and who said it. Empty values in the file are as good as none: the shipped file has many. */
function mergeSources(file: YamlFile | undefined, { flags = {}, env = {} }: KeyServerSources): Merged {
  const values: Record<string, unknown> = {}
  const places = new Map<string, (path: SettingPath) => Place>()
  const fromFile = fileValues(file)
  for (const [name, row] of KEY_SERVER_ROWS) {
    const flag = row.only === 'file' ? undefined : flags[name]
    const variable = environmentNameOf(name)
    const environment = env[variable]
    let value: unknown
    if (flag !== undefined) {
      value = flag
      places.set(name, () => ({ file: `flag ${flagOf(name)}` }))
    } else if (environment !== undefined && environment !== '') {
      value = environment
      places.set(name, () => ({ file: `environment ${variable}` }))
    } else if (row.only !== 'flag-and-environment' && isSaid(fromFile[name])) {
      value = fromFile[name]
      places.set(name, (path) => ({ file: file?.file ?? '', ...file?.locate(path) }))
    }
    if (value !== undefined) values[name] = value
  }
  const said = mergeStores(values, places, flags, env)
  const warnings = unknownKeys(file, fromFile)
  return {
    values: { ...DEFAULTS, ...said },
    warnings,
    isSaid: (name) => name in said,
    placeOf: (path) => places.get(String(path[0]))?.(path) ?? { file: file?.file ?? 'default' },
  }
}

/** Lists of directories and files replace the stores of what stands below them: flags those of the environment and file. */
function mergeStores(
  values: Readonly<Record<string, unknown>>,
  places: Map<string, (path: SettingPath) => Place>,
  flags: NonNullable<KeyServerSources['flags']>,
  env: NonNullable<KeyServerSources['env']>,
): Record<string, unknown> {
  const { private_key_dirs: _dirs, private_key_files: _files, ...rest } = values
  const levels = [
    {
      dirs: flags.private_key_dirs,
      files: flags.private_key_files,
      said: 'flag --private-key-dirs/--private-key-files',
    },
    {
      dirs: env['KEYLESS_PRIVATE_KEY_DIRS'],
      files: env['KEYLESS_PRIVATE_KEY_FILES'],
      said: 'environment KEYLESS_PRIVATE_KEY_DIRS/_FILES',
    },
  ]
  for (const { dirs, files, said } of levels) {
    const stores = [
      ...commaList(dirs).map((dir) => ({ dir })),
      ...commaList(files).map((name) => ({ file: name })),
    ]
    if (stores.length === 0) continue
    places.set('private_key_stores', () => ({ file: said }))
    return { ...rest, private_key_stores: stores }
  }
  if (typeof rest['private_key_stores'] !== 'string') return rest
  return { ...rest, private_key_stores: storesOfEnvironment(rest['private_key_stores']) }
}

/** A list in one line, as YAML and JSON write it: `[{dir: /keys}]`. */
function storesOfEnvironment(value: string): unknown {
  try {
    return parseYamlText(value)
  } catch {
    return value
  }
}

function commaList(value: unknown): string[] {
  if (typeof value !== 'string') return []
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function fileValues(file: YamlFile | undefined): Readonly<Record<string, unknown>> {
  if (file?.value === undefined) return {}
  if (typeof file.value === 'object' && file.value !== null && !Array.isArray(file.value)) {
    return file.value as Record<string, unknown>
  }
  throw new ConfigError('ERR_CONFIG_VALUE', {
    file: file.file,
    expected: 'settings by name, such as "port: 2407"',
  })
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** gokeyless ignores them without a word; a typo in `auth_cert` deserves one. */
function unknownKeys(file: YamlFile | undefined, values: Readonly<Record<string, unknown>>): string[] {
  const known = KEY_SERVER_ROWS.filter(([, row]) => row.only !== 'flag-and-environment').map(([name]) => name)
  return Object.keys(values)
    .filter((key) => !known.some((name) => name === key))
    .map((key) => {
      const { line } = file?.locate([key]) ?? {}
      const near = nearestName(key, known)
      const hint = near === undefined ? '' : `; did you mean ${near}?`
      return `${file?.file}:${line}: ${key} is not a setting and is ignored${hint}`
    })
}

function readCa(path: string, cwd: string, placeOf: (path: SettingPath) => Place): string {
  const name = 'cloudflare_ca_cert'
  const detail = { ...placeOf([name]), path: name, expected: 'certificates in PEM' }
  const hint = 'the CA that signed the client certificates of your edges'
  const pem = readReferenced(path, cwd, { ...detail, hint })
  firstCertificate(pem, { ...detail, found: path })
  return pem
}
