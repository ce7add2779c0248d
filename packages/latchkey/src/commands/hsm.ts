// `latchkey hsm`: keys that are elsewhere, looked at, tried, made and asked a certificate for, by the URI that the key
// server's configuration would have. What it prints has nothing secret in it.
import { createHash, randomBytes } from 'node:crypto'
import type { Logger } from '@latchkey/core'
import {
  importDriver,
  KeysError,
  type KeyStores,
  openKeyStores,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '@latchkey/keys'
import { isPss, isSignature, shortcoming } from '@latchkey/keys/driver'
import type * as pkcs11 from '@latchkey/keys-pkcs11'
import { certificateRequest } from '../hsm/certificate-request.ts'
import type { Console } from '../process/console.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { logTo } from '../process/log-output.ts'

/** As many signatures as say something, and no token is kept busy by. */
const SIGNATURES = 20
const MAX_SECONDS = 2

export interface HsmListCommand {
  readonly uri: string
}

/** Tokens of a module, and the keys on them where the URI has a PIN. @throws {KeysError} */
export async function listHsm({ uri }: HsmListCommand, { env, out, err }: Console): Promise<ExitCode> {
  const { listTokens } = await pkcs11Driver(uri)
  const tokens = await listTokens(uri, { env, logger: warnings(err) })
  const lines = tokens.flatMap((token) => {
    const { keys, maxSessions } = token
    const head = [
      `token      "${token.label}"`,
      `slot       ${token.slotId}`,
      `serial     ${token.serial}`,
      `device     ${token.manufacturer} ${token.model}, firmware ${token.firmware}`,
      `sessions   ${maxSessions === undefined ? 'no limit stated' : `at most ${maxSessions}`}`,
      `PIN        ${token.pin}`,
    ]
    if (keys === undefined)
      return [...head, 'keys       not looked at: add &pin-source=<file> to the URI', '']
    return [...head, `keys       ${keys.length}`, ...keys.flatMap(keyLines), '']
  })
  out(tokens.length === 0 ? 'no token: is the device plugged in, and initialised?\n' : lines.join('\n'))
  return tokens.length === 0 ? EXIT.failed : EXIT.ok
}

export interface HsmTestCommand {
  readonly uri: string
}

/** Signs and verifies with every key that the URI names. @throws {KeysError} */
export async function testHsm({ uri }: HsmTestCommand, { env, out, err }: Console): Promise<ExitCode> {
  await using stores = await opened(uri, env, err)
  let isAllRight = true
  for (const key of stores.list()) {
    out(`${describe(key)}\n`)
    for (const algorithm of representative(key.algorithms)) {
      const { count, failed, p50, max } = await tryOut(key, algorithm)
      if (failed > 0) isAllRight = false
      const verdict = failed === 0 ? `${count} verified` : `${failed} of ${count} DO NOT VERIFY`
      out(`  ${algorithm.padEnd(18)} ${verdict}, p50 ${p50.toFixed(2)} ms, slowest ${max.toFixed(2)} ms\n`)
    }
    const missing = shortcoming(key)
    if (missing !== undefined) out(`  note: ${missing}\n`)
  }
  out(isAllRight ? 'All signatures verify.\n' : 'SOME SIGNATURES DO NOT VERIFY: do not use these keys.\n')
  return isAllRight ? EXIT.ok : EXIT.failed
}

export interface HsmGenerateCommand {
  readonly uri: string
  readonly algorithm: pkcs11.GeneratedAlgorithm
}

/** A key pair on the token of the URI. @throws {KeysError} */
export async function generateHsm(
  { uri, algorithm }: HsmGenerateCommand,
  { env, out, err }: Console,
): Promise<ExitCode> {
  const { generateKey, withoutPin } = await pkcs11Driver(uri)
  const note = setTimeout(() => err('the token makes the key: RSA may take a minute …\n'), 2000)
  let id: Uint8Array
  try {
    id = await generateKey(uri, algorithm, { env })
  } finally {
    clearTimeout(note)
  }
  const own = withId(uri, id)
  await using stores = await opened(own, env, err)
  const [key] = stores.list()
  if (key === undefined) throw new KeysError('ERR_KEYS_NOT_FOUND', { path: withoutPin(own) })
  const lines = [
    describe(key),
    '  made on the token; it cannot be taken out',
    '',
    'Ask a CA for a certificate:',
    `  latchkey hsm csr '${withoutPin(own)}' --name <host name>`,
    'In private_key_stores of the key server:',
    `  - uri: ${withoutPin(own)}`,
  ]
  out(`${lines.join('\n')}\n`)
  return EXIT.ok
}

export interface HsmCsrCommand {
  readonly uri: string
  readonly names: readonly string[]
}

/** A certification request, signed by the one key that the URI names. @throws {KeysError} */
export async function requestHsm(
  { uri, names }: HsmCsrCommand,
  { env, out, err }: Console,
): Promise<ExitCode> {
  await using stores = await opened(uri, env, err)
  const [key, ...others] = stores.list()
  if (key === undefined || others.length > 0) {
    throw new KeysError('ERR_KEYS_URI', {
      detail: `${others.length + 1} keys have this name`,
      hint: 'name one by its id, as "latchkey hsm list" shows it',
    })
  }
  out(await certificateRequest(key, { names }))
  return EXIT.ok
}

/** A person looks on: see {@link DriverOptions.isAttended}. */
function opened(uri: string, env: NodeJS.ProcessEnv, err: (text: string) => void): Promise<KeyStores> {
  return openKeyStores([{ uri }], { env, logger: warnings(err), isAttended: true })
}

function warnings(err: (text: string) => void): Logger {
  return logTo(err, 'text', 'warning')
}

async function pkcs11Driver(uri: string): Promise<typeof pkcs11> {
  if (!/^pkcs11:/i.test(uri)) {
    throw new KeysError('ERR_KEYS_URI', {
      detail: 'only PKCS#11 modules can be asked for this',
      hint: 'keys of cloud services are made with the tools of the service; "hsm test" and "hsm csr" take any URI',
    })
  }
  return (await importDriver('@latchkey/keys-pkcs11')) as unknown as typeof pkcs11
}

/** One for each way to sign: the hashes of one way go the same path. */
function representative(algorithms: ReadonlySet<SignatureAlgorithm>): SignatureAlgorithm[] {
  const ways = new Map<string, SignatureAlgorithm>()
  for (const name of algorithms) {
    const { keyType, hash } = SIGNATURE_ALGORITHMS[name]
    if (hash === 'md5-sha1' || hash === 'sha1' || hash === 'sha224') continue
    const way = keyType === 'rsa' && isPss(name) ? 'pss' : keyType
    if (!ways.has(way)) ways.set(way, name)
  }
  return [...ways.values()]
}

interface Trial {
  readonly count: number
  readonly failed: number
  /** Milliseconds. */
  readonly p50: number
  readonly max: number
}

async function tryOut(key: PrivateKey, algorithm: SignatureAlgorithm): Promise<Trial> {
  const { hash } = SIGNATURE_ALGORITHMS[algorithm]
  const times: number[] = []
  let failed = 0
  const until = performance.now() + MAX_SECONDS * 1000
  while (times.length < SIGNATURES && (times.length === 0 || performance.now() < until)) {
    const message = randomBytes(64)
    const input = hash === undefined ? message : createHash(hash).update(message).digest()
    const startedAt = performance.now()
    const signature = await key.sign(algorithm, input)
    times.push(performance.now() - startedAt)
    if (!isSignature(key, algorithm, message, signature)) failed++
  }
  const sorted = times.toSorted((a, b) => a - b)
  return { count: times.length, failed, p50: sorted[sorted.length >> 1] ?? 0, max: sorted.at(-1) ?? 0 }
}

function keyLines({ source, ski, keyType, size, algorithms }: pkcs11.ListedKey): string[] {
  const able = representative(algorithms).map((name) => (isPss(name) ? 'RSASSA-PSS' : wayName(name)))
  return [`  ${hex(ski)}  ${kind(keyType, size)}  signs ${able.join(', ')}`, `    ${source}`]
}

function wayName(name: SignatureAlgorithm): string {
  const { keyType } = SIGNATURE_ALGORITHMS[name]
  return { rsa: 'RSASSA-PKCS1-v1_5', ec: 'ECDSA', ed25519: 'Ed25519' }[keyType]
}

function describe({ ski, keyType, publicKey, source }: PrivateKey): string {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {}
  return `${hex(ski)}  ${kind(keyType, String(modulusLength ?? namedCurve ?? ''))}  ${source}`
}

function kind(keyType: string, size: string): string {
  return size === '' ? keyType : `${keyType} ${size}`
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** The URI with the CKA_ID that it has now. */
function withId(uri: string, id: Uint8Array): string {
  const [path = '', query] = uri.split('?')
  const own = path.replaceAll(/;?id=[^;]*/g, '')
  const text = hex(id).replaceAll(/../g, '%$&')
  return `${own};id=${text}${query === undefined ? '' : `?${query}`}`
}
