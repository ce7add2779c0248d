// The example handshakes of RFC 8448, as files of hexadecimal values.
import assert from 'node:assert/strict'
import { createECDH, createPrivateKey, diffieHellman, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hex, toHex } from './bytes.ts'
import { x25519PublicKey } from './client-crypto.ts'
import { message } from './client-hello.ts'
import { hashOf, RecordKeys, suiteOf } from './client-keys.ts'
import { MESSAGE, SUITE } from './code-points.ts'

export const NONE = new Uint8Array(0)

interface KeyPairValues {
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
}

export interface Trace {
  readonly source: string
  readonly group: 'x25519' | 'secp256r1'
  readonly client: KeyPairValues
  readonly server: KeyPairValues
  /** Handshake messages, headers included. */
  readonly messages: Readonly<Record<string, Uint8Array>>
  /** Whole records. */
  readonly records: Readonly<Record<string, Uint8Array>>
  readonly secrets: Readonly<Record<string, Uint8Array>>
  readonly keys: Readonly<Record<string, { readonly key: Uint8Array; readonly iv: Uint8Array }>>
  /** Transcript-Hash over ClientHello..ServerHello, where the RFC's text lets it be read off. */
  readonly helloHash?: Uint8Array
  readonly binderHash?: Uint8Array
  /** Application data of both sides. */
  readonly data?: Uint8Array
}

export type TraceName = 'simple' | 'resumed' | 'retry' | 'compatibility'

function read(name: string): unknown {
  const text = readFileSync(new URL(`../vectors/rfc8448-${name}.json`, import.meta.url), 'utf8')
  return JSON.parse(text, (key, value: unknown) =>
    typeof value === 'string' && key !== 'source' && key !== 'group' ? hex(value) : value,
  )
}

export function readTrace(name: TraceName): Trace {
  return read(name) as Trace
}

/** A value that must be in the trace. */
export function of(values: Readonly<Record<string, Uint8Array>>, name: string): Uint8Array {
  const value = values[name]
  if (value === undefined) throw new Error(`the trace has no ${name}`)
  return value
}

/** The RSA key of RFC 8448 §2, 1024 bits: known to everyone. */
export function traceServerKey(): KeyObject {
  const values = read('server-key') as Readonly<Record<string, Uint8Array>>
  const value = (name: string): string => Buffer.from(of(values, name)).toString('base64url')
  return createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: value('modulus'),
      e: value('publicExponent'),
      d: value('privateExponent'),
      p: value('prime1'),
      q: value('prime2'),
      dp: value('exponent1'),
      dq: value('exponent2'),
      qi: value('coefficient'),
    },
  })
}

export function assertSame(actual: Uint8Array, expected: Uint8Array, name: string): void {
  assert.equal(toHex(actual), toHex(expected), name)
}

/** Transcript-Hash up to each message that matters. RFC 8446 §4.4.1. */
export function transcripts({ messages }: Trace) {
  const first = of(messages, 'clientHello')
  const retry = messages['helloRetryRequest']
  const second = messages['secondClientHello']
  const hellos =
    retry === undefined
      ? [first]
      : [message(MESSAGE.message_hash, hashOf('sha256', first)), retry, second ?? NONE]
  const flight = ['encryptedExtensions', 'certificate', 'certificateVerify']
  const upTo = [...hellos, of(messages, 'serverHello')]
  const hello = hashOf('sha256', ...upTo)
  const parts = flight.flatMap((name) => messages[name] ?? [])
  const certificate = hashOf('sha256', ...upTo, ...parts.slice(0, 2))
  const beforeFinished = hashOf('sha256', ...upTo, ...parts)
  upTo.push(...parts, of(messages, 'serverFinished'))
  const serverFinished = hashOf('sha256', ...upTo)
  if (messages['endOfEarlyData'] !== undefined) upTo.push(messages['endOfEarlyData'])
  const beforeClient = hashOf('sha256', ...upTo)
  const clientFinished = hashOf('sha256', ...upTo, of(messages, 'clientFinished'))
  return { hello, certificate, beforeFinished, serverFinished, beforeClient, clientFinished }
}

/** What both sides compute from the printed private key of the server and the public key of the client. */
export function sharedSecret({ group, client, server }: Trace): Uint8Array {
  if (group === 'secp256r1') return p256(server.privateKey).computeSecret(client.publicKey)
  return diffieHellman({
    privateKey: x25519PrivateKey(server.privateKey),
    publicKey: x25519PublicKey(client.publicKey),
  })
}

export function p256(privateKey: Uint8Array) {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(privateKey)
  return ecdh
}

/** RFC 8410 §7: PKCS#8 around 32 bytes. */
export function x25519PrivateKey(raw: Uint8Array) {
  const key = Buffer.concat([hex('302e020100300506032b656e04220420'), raw])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}

/** The keys of a traffic secret of the trace; all use AES-128-GCM. */
export function keysOf(trace: Trace, secret: string): RecordKeys {
  return new RecordKeys(suiteOf(SUITE.TLS_AES_128_GCM_SHA256), of(trace.secrets, secret))
}
