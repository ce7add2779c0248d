// `latchkey-edge.yaml` as typed options of an edge.
import { resolve } from 'node:path'
import { type LogLevel, parseLogLevel } from '@latchkey/core'
import { coversName, type EdgeHost, type KeyServerLocation, type KeyServerTls } from '@latchkey/edge'
import { loadCredential, TlsError } from '@latchkey/tls'
import { z } from 'zod'
import { checkPair, firstCertificate, notAfterWarning } from './certificate-checks.ts'
import { ConfigError } from './config-error.ts'
import { readReferenced } from './file-content.ts'
import { readConfigFile } from './read-config-file.ts'
import { filePath, parseSettings, type Place, port, setting, text } from './settings.ts'
import { pathText, type SettingPath } from './yaml-file.ts'

export const EDGE_CONFIG_FILE = 'latchkey-edge.yaml'

/** Two weeks: time to notice, ask, wait for a weekend, and renew. */
const EXPIRY_WARNING_DAYS = 14

export interface EdgeConfig {
  readonly file: string
  readonly logLevel: LogLevel
  readonly listen: { readonly host: string; readonly port: number }
  readonly keyServerTls: KeyServerTls
  readonly hosts: readonly EdgeHost[]
  /** `auto`: OpenSSL through node:ffi where this Node has it; `node`: node:crypto only. */
  readonly crypto: 'auto' | 'node'
  /** Whether to shake hands with itself before it listens. */
  readonly warmUp: boolean
  /** What an operator should know though it is no error. */
  readonly warnings: readonly string[]
}

export interface EdgeSources {
  readonly configFile?: string | undefined
  readonly flags?: { readonly loglevel?: string; readonly listen_address?: string; readonly port?: string }
  /** Relative paths, also those in the file, start here. */
  readonly cwd: string
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

const HOST_NAME =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i

const hostName = setting('a host name, or *. in front of one', (value) =>
  typeof value === 'string' && value.length <= 253 && HOST_NAME.test(value) ? value.toLowerCase() : undefined,
)

/** `keys.example.com:2407`, `192.0.2.1`, `[2001:db8::1]:2407` */
const keyServer = setting('a key server as host:port', (value): KeyServerLocation | undefined => {
  if (typeof value !== 'string') return undefined
  const parts = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(value)
  const host = parts?.[1] ?? parts?.[2]
  const number = Number(parts?.[3] ?? 2407)
  return host === undefined || number < 1 || number > 0xffff ? undefined : { host, port: number }
})

const originUrl = setting('an origin as http://host:port or https://host:port, without a path', (value) => {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const isBare =
    url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  return isBare && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined
})

function list<T>(expected: string, item: z.ZodType<T>) {
  return z.array(item, { error: expected }).min(1, expected)
}

const SCHEMA = z.strictObject({
  loglevel: setting('debug, info, warning, error, critical', (value) =>
    typeof value === 'string' || typeof value === 'number'
      ? parseLogLevel(String(value).toLowerCase())
      : undefined,
  ),
  listen_address: text('an address such as 127.0.0.1, or :: for all'),
  port,
  crypto: setting('auto or node', (value) => (value === 'auto' || value === 'node' ? value : undefined)),
  warm_up: setting('true or false', (value) => (typeof value === 'boolean' ? value : undefined)),
  key_server_tls: z.strictObject(
    { ca: filePath, cert: filePath, key: filePath },
    { error: 'the files ca, cert and key' },
  ),
  hosts: list(
    'a list of hosts, at least one',
    z.strictObject(
      {
        names: list('a list of host names, at least one', hostName),
        certificates: list('a list of certificate files, at least one', filePath),
        key_servers: list('a list of key servers as host:port, at least one', keyServer),
        origin: originUrl,
      },
      { error: 'names, certificates, key_servers and origin' },
    ),
  ),
})

type Settings = z.infer<typeof SCHEMA>

const DEFAULTS = { loglevel: 'info', listen_address: '127.0.0.1', port: 8443, crypto: 'auto', warm_up: true }

/**
 * Reads the configuration, and the certificates it names. Flags come before the file.
 *
 * @throws {ConfigError}
 */
export function loadEdgeConfig({
  configFile = EDGE_CONFIG_FILE,
  flags = {},
  cwd,
  now = Date.now,
}: EdgeSources): EdgeConfig {
  const yaml = readConfigFile(resolve(cwd, configFile))
  const { value } = yaml
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject) {
    throw new ConfigError('ERR_CONFIG_VALUE', {
      file: yaml.file,
      expected: 'settings by name, at least key_server_tls and hosts',
    })
  }
  const said = Object.fromEntries(Object.entries(flags).filter(([, flag]) => flag !== undefined))
  const placeOf = (path: SettingPath): Place =>
    path[0] !== undefined && path[0] in said
      ? { file: `flag --${String(path[0]).replaceAll('_', '-')}` }
      : { file: yaml.file, ...yaml.locate(path) }
  const settings = parseSettings(SCHEMA, { ...DEFAULTS, ...value, ...said }, placeOf)
  checkNames(settings.hosts, placeOf)
  const warnings: string[] = []
  return {
    file: yaml.file,
    logLevel: settings.loglevel,
    listen: { host: settings.listen_address, port: settings.port },
    crypto: settings.crypto,
    warmUp: settings.warm_up,
    keyServerTls: readKeyServerTls(settings.key_server_tls, cwd, placeOf),
    hosts: settings.hosts.map((host, index) => ({
      serverNames: host.names,
      keyServers: host.key_servers,
      origin: host.origin,
      certificateChains: host.certificates.map((file, at) =>
        readChain(file, host, {
          path: ['hosts', index, 'certificates', at],
          cwd,
          placeOf,
          now: now(),
          warnings,
        }),
      ),
    })),
    warnings,
  }
}

/** A name leads to one host, or requests would depend on the order of the file. */
function checkNames(hosts: Settings['hosts'], placeOf: (path: SettingPath) => Place): void {
  const seen = new Map<string, SettingPath>()
  for (const [index, { names }] of hosts.entries()) {
    for (const [at, name] of names.entries()) {
      const path = ['hosts', index, 'names', at]
      const earlier = seen.get(name)
      if (earlier !== undefined) {
        throw new ConfigError('ERR_CONFIG_VALUE', {
          ...placeOf(path),
          path: pathText(path),
          found: `${name}, which ${pathText(earlier)} has too`,
          expected: 'each name once',
        })
      }
      seen.set(name, path)
    }
  }
}

function readKeyServerTls(
  files: Settings['key_server_tls'],
  cwd: string,
  placeOf: (path: SettingPath) => Place,
): KeyServerTls {
  const read = (name: 'ca' | 'cert' | 'key', expected: string): string => {
    const path = ['key_server_tls', name]
    const detail = { ...placeOf(path), path: pathText(path), expected }
    const pem = readReferenced(files[name], cwd, detail)
    if (name !== 'key') firstCertificate(pem, { ...detail, found: files[name] })
    return pem
  }
  const ca = read('ca', 'the CA of the key servers, PEM')
  const cert = read('cert', 'the certificate with which this edge asks key servers, PEM')
  const key = read('key', 'the private key of key_server_tls.cert, PEM')
  const path = ['key_server_tls', 'key']
  checkPair(cert, key, { ...placeOf(path), path: pathText(path), certFile: files.cert, keyFile: files.key })
  return { ca, cert, key }
}

interface ChainContext {
  readonly path: SettingPath
  readonly cwd: string
  readonly placeOf: (path: SettingPath) => Place
  readonly now: number
  readonly warnings: string[]
}

function readChain(
  file: string,
  { names }: { names: readonly string[] },
  { path, cwd, placeOf, now, warnings }: ChainContext,
): string {
  const place = placeOf(path)
  const detail = { ...place, path: pathText(path), expected: 'a certificate chain in PEM, leaf first' }
  const pem = readReferenced(file, cwd, detail)
  firstCertificate(pem, { ...detail, found: file })
  if (pem.includes('PRIVATE KEY')) {
    throw new ConfigError('ERR_CONFIG_REFERENCE', {
      ...detail,
      found: `${file}: a private key beside the certificate`,
      hint: 'the private key belongs on the key server, not on an edge',
    })
  }
  let covered: readonly string[]
  try {
    covered = loadCredential({ chain: pem }).names
  } catch (cause) {
    const reason = cause instanceof TlsError ? cause.detail : (cause as Error).message
    throw new ConfigError('ERR_CONFIG_CERTIFICATE', { ...detail, found: `${file}: ${reason}`, cause })
  }
  const missing = names.filter((name) => !coversName(covered, name))
  if (missing.length > 0) {
    throw new ConfigError('ERR_CONFIG_CERTIFICATE', {
      ...detail,
      found: `${file}, a certificate for ${covered.join(', ') || 'no host name'}`,
      expected: `a certificate for ${missing.join(', ')}`,
    })
  }
  const warning = notAfterWarning(pem, { path: pathText(path), place, file, days: EXPIRY_WARNING_DAYS, now })
  if (warning !== undefined) warnings.push(warning)
  return pem
}
