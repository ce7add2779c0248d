// Fuzz entry points: each takes bytes and returns; an exception is a bug.
import { DecodeError, Reader } from '@latchkey/core'
import { certificateSubject, hasSoundSignatureAlgorithm } from './client-certificate/certificate-fields.ts'
import { createClientCaPolicy } from './client-certificate/client-ca-policy.ts'
import { authorizeClient, readClientCertificate } from './client-certificate/client-certificate.ts'
import { readCompressCertificate } from './credential/certificate-compression.ts'
import { createCertificateStore } from './credential/certificate-store.ts'
import { checkOcspResponse, readSctList, readStatusRequest } from './credential/stapling.ts'
import { TlsError } from './errors.ts'
import { type ClientHello, readClientHello } from './handshake/client-hello.ts'
import { ExtensionType } from './handshake/extension-type.ts'
import { ja3, ja4 } from './handshake/fingerprint.ts'
import { HandshakeType } from './handshake/handshake-type.ts'
import { TLS12, TLS13 } from './handshake/protocol-version.ts'
import { readHelloExtensions12 } from './handshake12/hello-extensions12.ts'
import { readClientKeyExchange } from './handshake12/messages12.ts'
import { ContentType } from './record/content-type.ts'
import { HandshakeReassembler } from './record/handshake-reassembler.ts'
import { RecordDeframer } from './record/record-deframer.ts'
import type { ConnectionHandlers } from './connection-handlers.ts'
import { ServerConnection } from './server-connection.ts'
import { createServerContext } from './server-context.ts'
import { TicketSealer } from './ticket/ticket-sealer.ts'
import { readTicketState, TicketFlag, writeTicketState } from './ticket/ticket-state.ts'

/** The value, or undefined if the bytes were refused as they should be. */
function valueOrOurError<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof TlsError && error.code !== 'ERR_TLS_INTERNAL') return undefined
    throw error
  }
}

/** A ClientHello's body gives a value or a TlsError; what can be read has fingerprints, and extensions of TLS 1.2 or none. */
export function fuzzClientHello(body: Uint8Array): void {
  const hello = valueOrOurError(() => readClientHello(body))
  if (hello === undefined) return
  ja3(hello)
  ja4(hello)
  valueOrOurError(() => readHelloExtensions12(hello))
  readOptionalExtensions(hello)
}

/** Those that are read only where they are asked for. */
function readOptionalExtensions({ extensions }: ClientHello): void {
  for (const { type, body } of extensions) {
    if (type === ExtensionType.status_request) orDecodeError(() => readStatusRequest(new Reader(body)))
    if (type === COMPRESS_CERTIFICATE) orDecodeError(() => readCompressCertificate(new Reader(body)))
  }
}

/** RFC 8879 §3. */
const COMPRESS_CERTIFICATE = 27

function orDecodeError(read: () => unknown): void {
  try {
    valueOrOurError(read)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
}

/** The body of a status_request or compress_certificate extension, a file of timestamps or an OCSP response. */
export function fuzzCredentialParts(bytes: Uint8Array): void {
  orDecodeError(() => readStatusRequest(new Reader(bytes)))
  orDecodeError(() => readCompressCertificate(new Reader(bytes)))
  valueOrOurError(() => readSctList(bytes))
  valueOrOurError(() => checkOcspResponse(bytes))
}

const policy = createClientCaPolicy({ rejectUnauthorized: false })

/** A client's Certificate of TLS 1.3, its body, is read and judged, or refused with a TlsError. */
export function fuzzClientCertificate(body: Uint8Array): void {
  orDecodeError(() => {
    const chain = readClientCertificate(body)
    if (chain.length > 0) authorizeClient(chain, policy, 0)
    for (const der of chain) {
      certificateSubject(der)
      hasSoundSignatureAlgorithm(der)
    }
  })
}

/** Records and the messages in them are cut the same, whole and in pieces. The first byte says which message is due. */
export function fuzzRecords(bytes: Uint8Array): void {
  const type = MESSAGES[(bytes[0] ?? 0) % MESSAGES.length] as number
  const stream = bytes.subarray(1)
  const whole = messagesOf([stream], type).join()
  const pieces: Uint8Array[] = []
  for (let at = 0; at < stream.length; at += PIECE_BYTES) pieces.push(stream.subarray(at, at + PIECE_BYTES))
  const again = messagesOf(pieces, type).join()
  if (whole !== again) throw new Error(`pieces are cut differently: ${whole} and ${again}`)
}

const MESSAGES = [HandshakeType.client_hello, HandshakeType.client_key_exchange, HandshakeType.finished]
const PIECE_BYTES = 7

/** What comes out, as text, up to the error that ends it. */
function messagesOf(pieces: readonly Uint8Array[], type: number): string[] {
  const deframer = new RecordDeframer()
  const reassembler = new HandshakeReassembler()
  const expected = { type, maxBytes: 1024, isExact: false }
  const seen: string[] = []
  try {
    for (const piece of pieces) {
      deframer.push(piece)
      for (let record = deframer.next(); record !== undefined; record = deframer.next()) {
        seen.push(`record ${record.type} ${record.fragment.length}`)
        if (record.type !== ContentType.handshake || record.fragment.length === 0) continue
        reassembler.push(record.fragment)
        for (let message = reassembler.next(expected); message; message = reassembler.next(expected)) {
          seen.push(`message ${message.type} ${message.body.length}`)
          const { body } = message
          if (type === HandshakeType.client_key_exchange) valueOrOurError(() => readClientKeyExchange(body))
        }
      }
    }
  } catch (error) {
    if (!(error instanceof TlsError)) throw error
    seen.push(error.code)
  }
  return seen
}

// ── tickets ───────────────────────────────────────────────────────────────────────────────────────────────────────

const NOW_MS = 1_800_000_000_000
const root = {
  id: new Uint8Array(4),
  secret: new Uint8Array(32),
  activeFromMs: 0,
  decryptUntilMs: 2 * NOW_MS,
}
let counter = 0
const sealer = new TicketSealer({
  keyring: {
    current: () => root,
    find: (id) => (id.every((byte) => byte === 0) ? root : undefined),
  },
  // Not random, so that a run can be repeated; salts and nonces must only differ.
  random: (count) => new Uint8Array(count).fill(++counter),
  clock: () => NOW_MS,
})

/** Tickets that {@link fuzzTicket} opens, and states that it reads: sound inputs to start from. */
export function sampleTickets(): Uint8Array[] {
  const sizes = [32, 48].flatMap((secretBytes) => [0, 32].map((hashBytes) => ({ secretBytes, hashBytes })))
  const states = sizes.map(({ secretBytes, hashBytes }) => ({
    protocolVersion: secretBytes === 32 ? TLS13 : TLS12,
    cipherSuite: secretBytes === 32 ? 0x1301 : 0xc02b,
    flags: hashBytes === 0 ? 0 : TicketFlag.clientAuthenticated,
    issuedAtMs: NOW_MS,
    fullHandshakeAtMs: NOW_MS,
    ageAdd: 7,
    tenantId: new Uint8Array(16),
    serverNameHash: new Uint8Array(16),
    credentialKeyId: new Uint8Array(16),
    secret: new Uint8Array(secretBytes).fill(1),
    clientChainHash: hashBytes === 0 ? undefined : new Uint8Array(hashBytes).fill(2),
  }))
  return states.flatMap((state) => [sealer.seal(state) ?? new Uint8Array(0), writeTicketState(state)])
}

/** Bytes are a ticket or none, a state that writes back as them or none, and never an exception. */
export function fuzzTicket(bytes: Uint8Array): void {
  sealer.open(bytes)
  const state = readTicketState(new Uint8Array(bytes))
  if (state === undefined) return
  const again = writeTicketState(state)
  if (Buffer.compare(again, bytes) !== 0) throw new Error('a ticket state does not write back as it was read')
}

// ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────

const context = createServerContext({ certificates: createCertificateStore({ hosts: [] }) })

/** Bytes from the network end a connection that has no certificate with a TlsError that is not our own bug. */
export function fuzzServerConnection(bytes: Uint8Array): void {
  let closedWith: TlsError | undefined
  const ignore = (): void => {}
  const handlers: ConnectionHandlers = {
    write: ignore,
    data: ignore,
    privateKeyOperation: ignore,
    cancelPrivateKeyOperation: ignore,
    established: ignore,
    ended: ignore,
    closed: (error) => {
      closedWith = error
    },
  }
  const connection = new ServerConnection(context, handlers)
  connection.receive(bytes)
  connection.transportEnded()
  if (closedWith?.code === 'ERR_TLS_INTERNAL') throw closedWith
  if (!connection.isClosed) throw new Error('a connection outlived its transport')
}
