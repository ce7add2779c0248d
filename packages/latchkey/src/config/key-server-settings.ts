// The settings of the key server: one row each, the names of gokeyless.

interface SettingRow {
  /** What stands after the flag in the help; undefined: a switch. */
  readonly argument: string | undefined
  readonly help: string
  /** Undefined: everywhere. */
  readonly only?: 'file' | 'flag-and-environment'
  readonly short?: string
  /** Never shown unless asked for. */
  readonly isSecret?: true
}

export const KEY_SERVER_SETTINGS = {
  loglevel: {
    argument: 'level',
    short: 'l',
    help: 'debug, info, warning, error, critical; or 0 to 5 (default info)',
  },
  listen_address: { argument: 'address', help: 'address to listen on (default 127.0.0.1; :: for all)' },
  port: { argument: 'port', help: 'port to listen on (default 2407; 0: any)' },
  listen_socket: { argument: 'path', help: 'Unix socket to listen on as well (default: none)' },
  workers: {
    argument: 'count',
    help: 'processes that do the work (default: one a core, at most 8; 1: no others)',
  },
  metrics_address: {
    argument: 'address',
    help: 'address of /metrics, /healthz and /readyz (default 127.0.0.1; :: for all)',
  },
  metrics_port: { argument: 'port', help: 'its port (default 2406; 0: any)' },
  metrics_total_twins: {
    argument: undefined,
    help: 'show counters of gokeyless also under names that end in _total',
  },
  auth_cert: { argument: 'file', help: 'certificate chain of this server, PEM (default server.pem)' },
  auth_key: { argument: 'file', help: 'its private key, PEM (default server-key.pem)' },
  cloudflare_ca_cert: { argument: 'file', help: 'CA of the clients, PEM (default keyless_cacert.pem)' },
  private_key_stores: { argument: 'list', help: 'where the private keys are', only: 'file' },
  private_key_dirs: {
    argument: 'dirs',
    help: 'directories of *.key files, comma list; replaces the stores of the file',
    only: 'flag-and-environment',
  },
  private_key_files: {
    argument: 'files',
    help: 'key files, comma list; replaces the stores of the file',
    only: 'flag-and-environment',
  },
  policy_file: { argument: 'file', help: 'which client may use which key for what (default: all may)' },
  seal_secret_file: { argument: 'file', help: 'secrets for seal and unseal, base64 (default: none)' },
  seal_rotation: { argument: 'duration', help: 'how long one sealing key seals (default 24h)' },
  pid_file: { argument: 'file', help: 'where the process id is written' },
  hostname: { argument: 'name', help: 'to enrol: host name of this server, in its certificate' },
  zone_id: { argument: 'id', help: 'to enrol: the zone at Cloudflare' },
  api_token: {
    argument: 'token',
    help: 'to enrol: API token with Zone > SSL and Certificates > Edit',
    isSecret: true,
  },
  api_token_file: { argument: 'file', help: 'to enrol: file with the token, in place of api-token' },
  origin_ca_api_key: {
    argument: 'key',
    help: 'to enrol: Origin CA key, which Cloudflare no longer takes',
    isSecret: true,
  },
  init_endpoint: { argument: 'url', help: 'where to enrol (default the API of Cloudflare)' },
  auth_csr: { argument: 'file', help: 'where the request for a certificate is kept (default server.csr)' },
  current_time: { argument: 'time', help: 'for tests: the time that certificates are checked by, RFC 3339' },
  tracing_enabled: { argument: undefined, help: 'send traces by OpenTelemetry, which has to be installed' },
  tracing_address: {
    argument: 'url',
    help: 'where OTLP over HTTP is taken (default http://localhost:4318/v1/traces)',
  },
  tracing_sample_rate: {
    argument: 'rate',
    help: 'share of the traces begun here that is sent, 0 to 1 (default 0: those of callers only)',
  },
  sign_timeout: { argument: 'duration', help: 'time for one key operation, such as 2s (default 10s)' },
  sign_retry_count: { argument: 'count', help: 'how often a failed signature is tried again (default 0)' },
  audit_dir: { argument: 'dir', help: 'record each key use in files of this directory (default: no record)' },
  audit_max_file_bytes: { argument: 'bytes', help: 'size at which the next file begins (default 67108864)' },
  audit_max_files: { argument: 'count', help: 'files a process; the oldest are removed (default 64)' },
  audit_fsync: {
    argument: 'when',
    help: 'never, or commit: brought to the disk before a reply (default never)',
  },
  audit_on_failure: {
    argument: 'what',
    help: 'key uses that cannot be recorded: refuse or continue (default refuse)',
  },
} as const satisfies Record<string, SettingRow>

export type KeyServerSettingName = keyof typeof KEY_SERVER_SETTINGS

/** The rows with their optional columns, in the order of the table. */
export const KEY_SERVER_ROWS: readonly (readonly [KeyServerSettingName, SettingRow])[] = Object.entries(
  KEY_SERVER_SETTINGS,
) as [KeyServerSettingName, SettingRow][]

/** `--auth-cert` */
export function flagOf(name: string): string {
  return `--${name.replaceAll('_', '-')}`
}

/** `KEYLESS_AUTH_CERT` */
export function environmentNameOf(name: string): string {
  return `KEYLESS_${name.toUpperCase()}`
}
