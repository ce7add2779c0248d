// The same mutated hello to this engine and to node:tls, up to the first flight: what was chosen, or how it was refused.
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { Reader } from '@latchkey/core'
import { CIPHER_SUITES12, createCertificateStore, createServerContext, ServerConnection } from '@latchkey/tls'
import { concat, toHex } from './bytes.ts'
import { testCertificate } from './certificate.ts'
import { type ClientKey, clientKey } from './client-crypto.ts'
import { encodeHelloBody, message, plainRecord } from './client-hello.ts'
import { deriveSecret, handshakeSecret, hashOf, RecordKeys, suiteOf } from './client-keys.ts'
import { alertText, EXTENSION, GROUP, MESSAGE, RECORD, RETRY_RANDOM, SUITE, SUITE12 } from './code-points.ts'
import { signatureFor, testCredential } from './harness.ts'
import { bodyOf, mutatedHello, partsOf } from './mutate.ts'
import { offeredPsks } from './offered-psks.ts'
import type { Random } from './random.ts'
import { readEncryptedExtensions, readExtensions, readSelectedProtocol } from './server-messages.ts'
import { TestClient } from './test-client.ts'
import { defaultHello12 } from './test-client12.ts'

const PROTOCOLS = ['h2', 'http/1.1']
const GROUPS = ['x25519', 'secp256r1'] as const

// ── hellos ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The shares that go into the hellos: with their keys, what a server says in secret can be read. */
const KEYS: readonly ClientKey[] = [clientKey(GROUP.x25519), clientKey(GROUP.secp256r1)]
const [X25519, P256] = KEYS.map(({ group, share }) => ({ group, share })) as [
  { group: number; share: Uint8Array },
  { group: number; share: Uint8Array },
]

const alpn = ['http/1.1', 'h2']
const { hello } = new TestClient()
const SEEDS = [
  { ...hello, alpn, keyShares: [X25519] },
  {
    ...hello,
    keyShares: [P256, X25519],
    versions: [0x0304, 0x0303],
    suites: [...hello.suites, 0xc02b, 0xcca9],
  },
  { ...hello, keyShares: [], sessionId: new Uint8Array(0) },
  { ...hello, alpn: ['h2'], keyShares: [P256], ...offeredPsks() },
  { ...defaultHello12(), alpn },
  defaultHello12({ hasExtendedMasterSecret: false }),
]
  .map(encodeHelloBody)
  .map(partsOf)

// ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a server makes of a hello. */
interface Answer {
  readonly alert?: string
  readonly version?: number
  readonly suite?: number
  readonly group?: number | undefined
  readonly isRetry?: boolean
  /** undefined: none, or it cannot be read because the share is not ours any more. */
  readonly protocol?: string | undefined
}

interface TlsRecord {
  readonly type: number
  readonly bytes: Uint8Array
}

function recordsOf(bytes: Uint8Array): TlsRecord[] {
  const records: TlsRecord[] = []
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + (((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number))
    if (end > bytes.length) break
    records.push({ type: bytes[at] as number, bytes: bytes.subarray(at, end) })
    at = end
  }
  return records
}

/** Reads the first flight; undefined: it is not all there yet. */
function readAnswer(body: Uint8Array, flight: Uint8Array): Answer | undefined {
  const records = recordsOf(flight)
  const [first] = records
  if (first === undefined) return undefined
  if (first.type === RECORD.alert) return { alert: alertText(first.bytes[6] as number) }
  const content = concat(
    ...records.filter(({ type }) => type === RECORD.handshake).map(({ bytes }) => bytes.subarray(5)),
  )
  const reader = new Reader(content)
  if (reader.u8() !== MESSAGE.server_hello) throw new Error(`first message ${toHex(content.subarray(0, 20))}`)
  const hello = reader.vector24()
  const serverHello = content.subarray(0, reader.offset)
  hello.u16()
  const isRetry = toHex(hello.opaque(32)) === RETRY_RANDOM
  hello.opaque8()
  const suite = hello.u16()
  hello.u8()
  const extensions = hello.left === 0 ? new Map<number, Uint8Array>() : readExtensions(hello.vector16())
  if (!extensions.has(EXTENSION.supported_versions)) {
    return readAnswer12(content, suite, extensions)
  }
  const keyShare = new Reader(extensions.get(EXTENSION.key_share) ?? new Uint8Array(2))
  const group = keyShare.u16()
  const choice = { version: 0x0304, suite, group, isRetry }
  if (isRetry) return choice
  const sealed = records.find(({ type }) => type === RECORD.data)
  if (sealed === undefined) return undefined
  const share = keyShare.opaque16()
  return { ...choice, protocol: protocolOf(choice, { body, serverHello, share }, sealed.bytes) }
}

function readAnswer12(
  flight: Uint8Array,
  suite: number,
  extensions: ReadonlyMap<number, Uint8Array>,
): Answer | undefined {
  let group: number | undefined
  for (let at = 0; at + 4 <= flight.length; ) {
    const reader = new Reader(flight.subarray(at))
    const type = reader.u8()
    const length = reader.u24()
    if (type === MESSAGE.server_key_exchange && reader.left >= 3) group = (reader.u8(), reader.u16())
    if (type === MESSAGE.server_hello_done) {
      const protocol = extensions.get(EXTENSION.alpn)
      return {
        version: 0x0303,
        suite,
        group,
        isRetry: false,
        protocol: protocol && readSelectedProtocol(protocol),
      }
    }
    at += 4 + length
  }
  return undefined
}

/** ALPN's answer, in EncryptedExtensions. */
function protocolOf(
  { suite: code, group }: { suite: number; group: number },
  { body, serverHello, share }: { body: Uint8Array; serverHello: Uint8Array; share: Uint8Array },
  sealed: Uint8Array,
): string | undefined {
  const key = KEYS.find((own) => own.group === group)
  if (key === undefined || !toHex(body).includes(toHex(key.share))) return undefined
  const suite = suiteOf(code)
  const hash = hashOf(suite.hash, message(MESSAGE.client_hello, body), serverHello)
  const secret = handshakeSecret(suite.hash, key.derive(share))
  const keys = new RecordKeys(suite, deriveSecret(suite.hash, secret, 's hs traffic', hash))
  let inner: Uint8Array
  try {
    inner = keys.open(sealed)
  } catch {
    // The share that counted is another, and ours is somewhere else in the hello: then neither server can be read.
    return 'unreadable'
  }
  const length = ((inner[1] as number) << 16) | ((inner[2] as number) << 8) | (inner[3] as number)
  const answer = readEncryptedExtensions(inner.subarray(4, 4 + length)).get(EXTENSION.alpn)
  return answer && readSelectedProtocol(answer)
}

// ── the two servers ───────────────────────────────────────────────────────────────────────────────────────────────

const credential = testCredential('p256')
const context = createServerContext({
  certificates: createCertificateStore({ hosts: [], default: [credential] }),
  alpnProtocols: PROTOCOLS,
  groups: GROUPS,
})

function answerOfEngine(body: Uint8Array): Answer | undefined {
  const flight: Uint8Array[] = []
  const ignore = (): void => {}
  const connection: ServerConnection = new ServerConnection(context, {
    write: (chunks) => void flight.push(...chunks),
    privateKeyOperation: (id, operation) => {
      if (operation.kind === 'sign') connection.privateKeyAnswered(id, signatureFor(operation.request))
    },
    data: ignore,
    cancelPrivateKeyOperation: ignore,
    established: ignore,
    ended: ignore,
    closed: ignore,
  })
  connection.receive(recordOf(body))
  connection.transportEnded()
  return readAnswer(body, concat(...flight))
}

function recordOf(body: Uint8Array): Uint8Array {
  return plainRecord(RECORD.handshake, message(MESSAGE.client_hello, body), 0x0301)
}

export class NodeServer implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async listen(): Promise<NodeServer> {
    const { chainPem, privateKey } = testCertificate('p256')
    const suites12 = Object.values(CIPHER_SUITES12).map(({ openSslName }) => openSslName)
    const server = createServer({
      cert: chainPem,
      key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
      minVersion: 'TLSv1.2',
      ciphers: [...Object.keys(SUITE), ...suites12].join(':'),
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA | constants.SSL_OP_NO_TICKET,
      ecdhCurve: 'X25519:P-256',
      ALPNProtocols: PROTOCOLS,
    })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new NodeServer(server)
  }

  answer(body: Uint8Array): Promise<Answer | undefined> {
    const { port } = this.#server.address() as AddressInfo
    return new Promise((resolve, reject) => {
      const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
      let flight = new Uint8Array(0)
      let answer: Answer | undefined
      socket.on('data', (chunk: Buffer) => {
        flight = new Uint8Array(concat(flight, chunk))
        try {
          answer = readAnswer(body, flight)
        } catch (error) {
          reject(error)
        }
        if (answer !== undefined) socket.resetAndDestroy()
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(answer))
      socket.write(recordOf(body))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }
}

// ── the comparison ────────────────────────────────────────────────────────────────────────────────────────────────

/** Alerts that say that a hello breaks a rule. RFC 8446 §6.2. */
const MALFORMED: ReadonlySet<string | undefined> = new Set([
  'decode_error',
  'illegal_parameter',
  'missing_extension',
])
/** Alerts that say that client and server have nothing in common. */
const UNSERVABLE: ReadonlySet<string | undefined> = new Set([
  'handshake_failure',
  'protocol_version',
  'no_application_protocol',
  'inappropriate_fallback',
  'unrecognized_name',
])

export interface Comparison {
  hellos: number
  /** The same version, suite, group, protocol, or the same wish for a retry. */
  sameChoice: number
  sameAlert: number
  /** Both refuse, with two alerts of one class. */
  sameClass: number
  /**
   * Both refuse, one because of a rule, one because nothing is left to agree on. A hello with several faults has no first
   * one: OpenSSL chooses the version before it reads the rest, and drops what it cannot read from a list.
   */
  otherClass: number
  /**
   * We refuse as malformed what OpenSSL serves: names that are no host names, bytes behind the end of a field, point
   * formats without uncompressed, and what is malformed in extensions that the chosen version does not use.
   */
  stricter: number
  /** We serve what OpenSSL refuses for an extension that we do not read; without it the choice is the same. */
  passedOver: number
  /**
   * We ask a client with a PSK for a retry, and look at the rest when we have the share: only then it shows whether the
   * PSK is of use, and extensions that a resumption does without may be missing.
   */
  later: number
  /**
   * We take ChaCha20 if it comes before every AES-GCM suite of the client, OpenSSL only if it comes first of all: they
   * differ where suites stand in front that neither of us has.
   */
  chacha: number
}

/** Extensions whose bodies decide something here. */
const READ: ReadonlySet<number> = new Set([
  EXTENSION.server_name,
  EXTENSION.supported_groups,
  EXTENSION.ec_point_formats,
  EXTENSION.signature_algorithms,
  EXTENSION.alpn,
  EXTENSION.extended_master_secret,
  EXTENSION.pre_shared_key,
  EXTENSION.early_data,
  EXTENSION.supported_versions,
  EXTENSION.psk_key_exchange_modes,
  EXTENSION.key_share,
  EXTENSION.renegotiation_info,
])

/** Those among them that a server of TLS 1.2 does not know. */
const ONLY_TLS13: ReadonlySet<number> = new Set([
  EXTENSION.pre_shared_key,
  EXTENSION.early_data,
  EXTENSION.psk_key_exchange_modes,
  EXTENSION.key_share,
])

function withoutPassedOver(body: Uint8Array, version: number | undefined): Uint8Array {
  const parts = partsOf(body)
  const isRead = (type: number): boolean => READ.has(type) && (version !== 0x0303 || !ONLY_TLS13.has(type))
  return bodyOf({ ...parts, extensions: parts.extensions?.filter(({ type }) => isRead(type)) })
}

/** Compares `count` hellos. @throws at the first that the two servers answer differently without a reason that is known. */
export async function compareHellos(node: NodeServer, random: Random, count: number): Promise<Comparison> {
  const result: Comparison = {
    hellos: 0,
    sameChoice: 0,
    sameAlert: 0,
    sameClass: 0,
    otherClass: 0,
    stricter: 0,
    passedOver: 0,
    later: 0,
    chacha: 0,
  }
  const worker = async (): Promise<void> => {
    while (result.hellos < count) {
      result.hellos++
      const body = mutatedHello(SEEDS, random)
      const ours = answerOfEngine(body)
      const theirs = await node.answer(body)
      const outcome =
        ours && theirs && (relationOf(ours, theirs) ?? (await relationWithout(node, body, ours)))
      if (outcome === undefined) {
        const answers = `${JSON.stringify(ours)} and ${JSON.stringify(theirs)}`
        throw new Error(`engine and node:tls differ: ${answers} to ${toHex(body)}`)
      }
      result[outcome]++
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return result
}

const AT_ONCE = 16

const CHACHA: ReadonlySet<number | undefined> = new Set([
  SUITE.TLS_CHACHA20_POLY1305_SHA256,
  SUITE12.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
])

function relationOf(ours: Answer, theirs: Answer): Exclude<keyof Comparison, 'hellos'> | undefined {
  if (ours.alert === undefined && theirs.alert === undefined) {
    if (JSON.stringify(ours) === JSON.stringify(theirs)) return 'sameChoice'
    const isSameButSuite = JSON.stringify({ ...ours, suite: theirs.suite }) === JSON.stringify(theirs)
    return isSameButSuite && CHACHA.has(ours.suite) ? 'chacha' : undefined
  }
  if (theirs.alert === undefined) return MALFORMED.has(ours.alert) ? 'stricter' : undefined
  if (ours.alert === undefined) return undefined
  if (ours.alert === theirs.alert) return 'sameAlert'
  const classes = [MALFORMED, UNSERVABLE]
  if (classes.some((alerts) => alerts.has(ours.alert) && alerts.has(theirs.alert))) return 'sameClass'
  const areKnown = [ours, theirs].every(({ alert }) => classes.some((alerts) => alerts.has(alert)))
  return areKnown ? 'otherClass' : undefined
}

/** They refuse what we serve: for what we do not read, or read later. */
async function relationWithout(
  node: NodeServer,
  body: Uint8Array,
  { alert, isRetry, version }: Answer,
): Promise<'passedOver' | 'later' | undefined> {
  if (alert !== undefined) return undefined
  const rest = withoutPassedOver(body, version)
  const ours = answerOfEngine(rest)
  const again = await node.answer(rest)
  if (ours && again && relationOf(ours, again) === 'sameChoice') return 'passedOver'
  const hasPsk = partsOf(rest).extensions?.some(({ type }) => type === EXTENSION.pre_shared_key) === true
  return isRetry === true && hasPsk ? 'later' : undefined
}
