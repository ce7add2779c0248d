import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { Reader } from '@latchkey/core'
import { CREDENTIALS } from '../test/scripted-key-server.ts'
import { Dialler } from './dial.ts'

const X25519MLKEM768 = 0x11ec
const X25519 = 0x001d

test('the hello offers a post-quantum group first, with key shares for it and for X25519', async () => {
  const { groups, keyShares } = await offeredGroups()
  assert.deepEqual(groups.slice(0, 2), [X25519MLKEM768, X25519])
  assert.deepEqual(keyShares, [X25519MLKEM768, X25519])
})

/** What a dial offers, from its ClientHello (RFC 8446 §4.1.2). */
async function offeredGroups(): Promise<{ groups: number[]; keyShares: number[] }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hangUp = new Dialler({ host: '127.0.0.1', port, ...CREDENTIALS }).dial(1000, {
    onOpen: () => assert.fail('nobody answers'),
    onFailed: (error) => assert.fail(error),
  })
  const [socket] = (await once(server, 'connection')) as [Socket]
  let bytes = Buffer.alloc(0)
  while (bytes.length < 5 || bytes.length < 5 + bytes.readUInt16BE(3)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    bytes = Buffer.concat([bytes, chunk])
  }
  hangUp()
  socket.destroy()
  server.close()
  await once(server, 'close')
  return readGroups(new Reader(bytes.subarray(5)))
}

function readGroups(hello: Reader): { groups: number[]; keyShares: number[] } {
  hello.opaque(4 + 2 + 32) // handshake header, legacy_version, random
  hello.opaque8() // legacy_session_id
  hello.opaque16() // cipher_suites
  hello.opaque8() // legacy_compression_methods
  const extensions = hello.vector16()
  const found = { groups: [] as number[], keyShares: [] as number[] }
  while (extensions.left > 0) {
    const type = extensions.u16()
    const body = extensions.vector16()
    if (type === 10) for (const list = body.vector16(); list.left > 0; ) found.groups.push(list.u16())
    if (type !== 51) continue
    for (const list = body.vector16(); list.left > 0; list.opaque16()) found.keyShares.push(list.u16())
  }
  return found
}

test('given up, a dial calls nobody', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hangUp = new Dialler({ host: '127.0.0.1', port, ...CREDENTIALS }).dial(20, {
    onOpen: () => assert.fail('opened'),
    onFailed: () => assert.fail('failed'),
  })
  hangUp()
  server.close()
  await once(server, 'close')
  await new Promise((resolve) => setTimeout(resolve, 40))
})
