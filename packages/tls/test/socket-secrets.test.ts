import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { TlsError, TlsSocket } from '@latchkey/tls'
import { assertHidden, inspected } from './support/hidden.ts'
import { connectTls, startTls } from './support/socket-server.ts'

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  test(`row 48: a socket of ${version}, its server and its error show no secret`, async () => {
    const secrets: Uint8Array[] = []
    const keyLog = (line: string): void =>
      void secrets.push(Buffer.from(line.trim().split(' ')[2] ?? '', 'hex'))
    const sockets: TlsSocket[] = []
    await using server = await startTls((socket) => sockets.push(socket), { keyLog })
    const client = await connectTls(server.port, { maxVersion: version })
    client.write('ping')
    while (sockets.length === 0) await once(server.server, 'secureConnection')
    const [socket] = sockets as [TlsSocket]
    await once(socket, 'readable')
    socket.write('pong')
    await once(client, 'readable')
    assert.ok(secrets.length > 0)
    assertHidden(inspected(socket, server.raw, server.server), secrets, 'an open socket')
    const failed = once(socket, 'error')
    // Not a record: the connection ends with an error.
    const [raw] = server.raw
    raw?.emit('data', Buffer.from('this is no record of TLS'))
    const [error] = (await failed) as [TlsError]
    assertHidden(inspected(error, socket), secrets, 'a socket that failed')
    client.destroy()
  })
}
