// What another implementation recorded, against the real daemon: all 22 exchanges and every packet it wrote or was given,
// in one TLS record, and one byte a record.
import assert from 'node:assert/strict'
import { constants, createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, type Packet, PacketFramer, readPacket } from '@latchkey/wire'
import { Child } from '../packages/latchkey/src/demo/child.ts'
import recorded from '../packages/wire/test/vectors/keyless-protocol.json' with { type: 'json' }

/** What the recorded digests are digests of. */
const MESSAGE = Buffer.from('keyless golden vector')
const LAST_ID = 0xfffffff0
const PATIENCE_MS = 20_000

const stack = new AsyncDisposableStack()
let open: (maxVersion: 'TLSv1.2' | 'TLSv1.3') => Promise<Peer>

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const ca = await createThrowawayCa({})
  const server = await ca.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
  const client = await ca.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
  const file = (name: string, content: string | Buffer): void =>
    writeFileSync(join(folder, name), content, { mode: 0o600 })
  mkdirSync(join(folder, 'keys'))
  for (const { name, testOnlyPkcs8DerHex } of recorded.testKeys) {
    file(join('keys', `${name}.key`), Buffer.from(testOnlyPkcs8DerHex, 'hex'))
  }
  file('server.pem', server.chainPem)
  file('server-key.pem', server.privateKeyPem)
  file('keyless_cacert.pem', ca.certificatePem)
  file('gokeyless.yaml', 'port: 0\nmetrics_port: 0\nprivate_key_stores:\n- dir: keys\n')
  const daemon = stack.use(
    new Child({ name: 'key server', args: ['keyserver'], cwd: folder, env: process.env }),
  )
  const [, port] = await daemon.line(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)/)
  const identity = { ca: ca.certificatePem, cert: client.chainPem, key: client.privateKeyPem }
  open = async (maxVersion) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port), maxVersion, ...identity })
    await once(socket, 'secureConnect')
    return new Peer(socket)
  }
})
after(() => stack.disposeAsync())

/** One connection, and what came back on it. */
class Peer {
  readonly packets: Packet[] = []
  readonly bytes: Uint8Array[] = []
  isEnded = false
  readonly #socket: TLSSocket
  readonly #framer = new PacketFramer()

  constructor(socket: TLSSocket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Uint8Array) => {
      this.bytes.push(chunk)
      this.#framer.push(chunk)
      for (let framed = this.#framer.next(); framed !== undefined; framed = this.#framer.next()) {
        this.packets.push(readPacket(framed))
      }
    })
    socket.on('end', () => (this.isEnded = true))
    socket.on('error', () => (this.isEnded = true))
  }

  /** A byte is only written when the one before has left: else Node gathers them into one record. */
  async send(bytes: Uint8Array, isByteByByte: boolean): Promise<void> {
    const step = isByteByByte ? 1 : bytes.length
    for (let at = 0; at < bytes.length && !this.isEnded; at += step) {
      await new Promise<void>((resolve) => this.#socket.write(bytes.subarray(at, at + step), () => resolve()))
    }
  }

  /** Nothing more will be sent. */
  end(): void {
    this.#socket.end()
  }

  async until(isDone: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!isDone()) {
      assert.ok(performance.now() < deadline, `waited in vain: ${isDone.toString()}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

const errorOf = ({ operation }: Packet): number | undefined =>
  operation.opcode === 0xff ? operation.payload?.[0] : undefined

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const isByteByByte of [false, true]) {
    const how = `${maxVersion}, ${isByteByByte ? 'one byte a record' : 'all in one record'}`

    test(`the recorded exchanges: ${how}`, async () => {
      const peer = await open(maxVersion)
      const requests = recorded.exchanges.map(({ requestHex }) => Buffer.from(requestHex, 'hex'))
      await peer.send(Buffer.concat(requests), isByteByByte)
      await peer.until(() => peer.packets.length === recorded.exchanges.length)
      peer.destroy()
      for (const exchange of recorded.exchanges) {
        const reply = peer.packets.find(({ id }) => id === exchange.request.id) ?? assert.fail(exchange.name)
        checkReply(exchange, reply)
      }
    })

    test(`every packet that was written or could be read: ${how}`, async () => {
      for (const vector of recorded.vectors) {
        if (vector.kind === 'decode' && vector.accepted !== true) continue
        const peer = await open(maxVersion)
        // Of two packets in one vector the first is of interest; behind it comes a ping that shows that all is well.
        const packet = Buffer.from(vector.hex, 'hex').subarray(0, vector.decoded.bytesConsumed)
        const probe = encodePacket(LAST_ID, { opcode: 0xf1 })
        await peer.send(Buffer.concat([packet, probe]), isByteByByte)
        await peer.until(() => peer.packets.length === 2)
        peer.destroy()
        const reply = peer.packets.find(({ id }) => id !== LAST_ID) ?? assert.fail(vector.name)
        assert.equal(reply.id, vector.decoded.header.id, vector.name)
        assert.equal(outcomeOf(reply), expectedOutcome(vector), vector.name)
      }
    })

    test(`every packet that could not be read is answered, then the connection is closed: ${how}`, async () => {
      for (const vector of recorded.vectors) {
        if (vector.kind !== 'decode' || vector.accepted === true) continue
        const peer = await open(maxVersion)
        await peer.send(Buffer.from(vector.hex, 'hex'), isByteByByte)
        const isShort = vector.name.startsWith('decode-short')
        if (isShort) peer.end() // the rest never comes, and there is nothing to answer
        await peer.until(() => peer.isEnded)
        peer.destroy()
        const errors = peer.packets.map((packet) => [packet.id, errorOf(packet)])
        assert.deepEqual(errors, isShort ? [] : [[vector.decoded.header.id, 7]], vector.name)
      }
    })
  }
}

type Exchange = (typeof recorded.exchanges)[number]
type Vector = (typeof recorded.vectors)[number]

function checkReply(exchange: Exchange, { operation }: Packet): void {
  if (exchange.responseDeterministic) {
    const again = encodePacket(exchange.request.id, operation)
    assert.equal(Buffer.from(again).toString('hex'), exchange.responseHex, exchange.name)
    return
  }
  assert.equal(operation.opcode, 0xf0, exchange.name)
  const { spkiDerHex } = recorded.testKeys.find(({ name }) => name === exchange.key) ?? assert.fail()
  const key = createPublicKey({ key: Buffer.from(spkiDerHex, 'hex'), format: 'der', type: 'spki' })
  const options = exchange.name.includes('pss')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : key
  assert.ok(verify(exchange.name.slice(-6), MESSAGE, options, operation.payload ?? assert.fail()))
}

function outcomeOf(packet: Packet): string {
  const error = errorOf(packet)
  if (error !== undefined) return `error ${error}`
  const { opcode, payload } = packet.operation
  return opcode === 0xf2 ? `pong ${Buffer.from(payload ?? []).toString('hex')}` : 'signature'
}

/** Keys of the daemon are the recorded ones; it has no secret for sealing. */
function expectedOutcome({ name, decoded }: Vector): string {
  if (name === 'decode-version-2.9') return 'error 4' // the recorded peer does not look: ours says so
  const {
    opcode,
    payloadHex = '',
    skiHex,
  } = decoded.operation as {
    opcode: string
    payloadHex?: string
    skiHex?: string
  }
  switch (opcode) {
    case '0xf1':
      return `pong ${payloadHex}`
    case '0xf0':
    case '0xf2':
    case '0xff':
      return 'error 6'
    case '0x21':
      return 'error 8'
    case '0x00':
      return 'error 5'
    default: {
      if (skiHex === undefined) return 'error 8'
      return recorded.testKeys.some((key) => key.skiHex === skiHex) ? 'signature' : 'error 2'
    }
  }
}
