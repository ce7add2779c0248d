// A Signer whose private keys are on a key server.
import { hash, randomUUID } from 'node:crypto'
import { type ClockMs, type Logger, silentLogger } from '@latchkey/core'
import { type DecryptRequest, premasterOfBlock, type Signer, type SignRequest } from '@latchkey/tls'
import { KeylessError, OPCODES, type Operation, SIGNING_SCOPES, type SignOpcodeRow } from '@latchkey/wire'
import type { KeyServerClient } from './client.ts'
import { ClientError } from './errors.ts'
import { ipAddressBytes } from './ip-address.ts'

/** Code points of TLS (RFC 8446 §4.2.3, RFC 5246 §7.4.1.4.1) and the operation that makes such a signature. */
const OPCODE_BY_SCHEME = new Map<number, SignOpcodeRow>([
  [0x0201, OPCODES.OpRSASignSHA1],
  [0x0203, OPCODES.OpECDSASignSHA1],
  [0x0401, OPCODES.OpRSASignSHA256],
  [0x0501, OPCODES.OpRSASignSHA384],
  [0x0601, OPCODES.OpRSASignSHA512],
  [0x0403, OPCODES.OpECDSASignSHA256],
  [0x0503, OPCODES.OpECDSASignSHA384],
  [0x0603, OPCODES.OpECDSASignSHA512],
  [0x0804, OPCODES.OpRSAPSSSignSHA256],
  [0x0805, OPCODES.OpRSAPSSSignSHA384],
  [0x0806, OPCODES.OpRSAPSSSignSHA512],
  [0x0807, OPCODES.OpEd25519Sign],
  [0x0809, OPCODES.OpRSAPSSSignSHA256],
  [0x080a, OPCODES.OpRSAPSSSignSHA384],
  [0x080b, OPCODES.OpRSAPSSSignSHA512],
])

/** How a key server knows a key. */
export interface RemoteKey {
  /** SubjectKeyIdentifier, 20 bytes. */
  readonly ski: Uint8Array
}

/** Who is asked: one client, or a choice made anew for each signature. */
export type KeyServerChoice =
  | { readonly client: Requester }
  | { readonly pick: (ski: Uint8Array) => Requester }

/** The one thing a signer wants of a {@link KeyServerClient}. */
export type Requester = Pick<KeyServerClient, 'request'>

export type KeylessSignerOptions = KeyServerChoice & {
  /** By key id in lower-case hex: SHA-256 of the certificate's SubjectPublicKeyInfo. */
  readonly keys: ReadonlyMap<string, RemoteKey> | ((keyIdHex: string) => RemoteKey | undefined)
  /**
   * Sends a random request id with each signature and logs it, so that both sides' log lines can be brought together.
   * Off unless told: key servers older than September 2020 refuse a packet with an item they do not know.
   */
  readonly sendRequestId?: boolean
  readonly logger?: Logger
  /** The wall clock that deadlines are told by; default `Date.now`. */
  readonly clock?: ClockMs
}

/**
 * Signs by asking a key server: a digest of the content, or the content itself where the scheme has no digest
 * (Ed25519). Decrypts by asking it for the padded block, and takes the premaster secret out here, whatever is in it. The
 * name and address of the TLS client go along, for the key server's log and rules.
 *
 * Both reject with {@link ClientError}, also ERR_CLIENT_UNKNOWN_KEY and ERR_CLIENT_SCHEME, or {@link KeylessError}; none
 * of it depends on the padding.
 *
 * @example
 * const signer = createKeylessSigner({ client, keys: new Map([[keyIdHex, { ski }]]) })
 */
export function createKeylessSigner(options: KeylessSignerOptions): Required<Signer> {
  const { keys, sendRequestId = false, logger = silentLogger, clock = Date.now } = options
  const keyOf = typeof keys === 'function' ? keys : (keyIdHex: string) => keys.get(keyIdHex)
  const ask = async (
    request: SignRequest | DecryptRequest,
    question: () => Question,
    signal: AbortSignal,
  ): Promise<Uint8Array> => {
    const keyId = Buffer.from(request.keyId).toString('hex')
    const key = keyOf(keyId)
    if (key === undefined) throw new ClientError('ERR_CLIENT_UNKNOWN_KEY', { detail: keyId })
    const timeoutMs = request.deadlineMs - clock()
    if (timeoutMs <= 0) throw new ClientError('ERR_CLIENT_TIMEOUT', { detail: 'the deadline has passed' })
    const visit = { ski: key.ski, ...visitorOf(request), ...(sendRequestId ? logged(request) : undefined) }
    const operation = { ...question(), ...visit }
    const scoped = scopedQuestion(request)
    const client = 'pick' in options ? options.pick(key.ski) : options.client
    return payloadOf(
      await client.request(operation, {
        signal,
        timeoutMs,
        scoped: scoped && { opcode: operation.opcode, ...scoped, ...visit },
      }),
    )
  }
  const logged = ({ serverName }: SignRequest | DecryptRequest): Pick<Operation, 'requestContext'> => {
    const requestId = randomUUID()
    logger.debug('asking for a private-key operation', { requestId, sni: serverName })
    return { requestContext: textBytes(JSON.stringify({ request_id: requestId })) }
  }
  return {
    // A copy: the reply is a view of everything that came in one read.
    sign: async (request, signal) => (await ask(request, () => signQuestion(request), signal)).slice(),
    decryptPremaster: async (request, signal) => {
      const { ciphertext } = request
      const block = await ask(
        request,
        () => ({ opcode: OPCODES.OpRSADecrypt.code, payload: ciphertext }),
        signal,
      )
      // As long as the modulus, as the ciphertext is: a shorter one has lost its padding, and with it its meaning.
      if (block.length === ciphertext.length) return premasterOfBlock(block)
      block.fill(0)
      throw new KeylessError('ERR_KEYLESS_REPLY', { detail: 'no block as long as the modulus in it' })
    },
  }
}

type Question = Pick<Operation, 'opcode' | 'payload'>

function signQuestion({ scheme, content }: SignRequest): Question {
  const row = OPCODE_BY_SCHEME.get(scheme)
  if (row === undefined) {
    throw new ClientError('ERR_CLIENT_SCHEME', { detail: `0x${scheme.toString(16).padStart(4, '0')}` })
  }
  return {
    opcode: row.code,
    payload: row.hash === undefined ? content : hash(row.hash, content, 'buffer'),
  }
}

/** The content itself, and what it is: undefined for what scoped signing has no scope for. */
function scopedQuestion(
  request: SignRequest | DecryptRequest,
): Pick<Operation, 'payload' | 'extra'> | undefined {
  if (!('purpose' in request) || request.purpose === 'delegated-credential') return undefined
  return { payload: request.content, extra: Uint8Array.of(SIGNING_SCOPES[request.purpose]) }
}

/** For whom. */
function visitorOf({
  serverName,
  clientAddress,
}: SignRequest | DecryptRequest): Pick<Operation, 'serverName' | 'clientIp'> {
  const clientIp = clientAddress === undefined ? undefined : ipAddressBytes(clientAddress)
  return {
    ...(serverName === '' ? undefined : { serverName: textBytes(serverName) }),
    ...(clientIp === undefined ? undefined : { clientIp }),
  }
}

/** A view. An empty success is none. */
function payloadOf({ opcode, payload }: Operation): Uint8Array {
  if (opcode !== OPCODES.OpResponse.code || payload === undefined || payload.length === 0) {
    throw new KeylessError('ERR_KEYLESS_REPLY', { detail: 'no answer in it' })
  }
  return payload
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
