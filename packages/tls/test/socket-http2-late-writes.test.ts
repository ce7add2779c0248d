// HTTP/2 through Node's own http2: a client that half-closes with a request open, and then resets, must not end the process.
import { connect as connectHttp2, performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import { test } from 'node:test'
import { failLateWrites } from '../src/socket/http2-late-writes.ts'
import { connectTls, event, startTls, until } from './support/socket-server.ts'

test('http2: what is written while the socket shuts down fails like any other write', async () => {
  const streams: ServerHttp2Stream[] = []
  await using server = await startTls(
    (socket) => {
      const session = performServerHandshake(socket).on('error', () => {})
      failLateWrites(session)
      // The client's reset, as a write finds it, in the moment in which its FIN is answered.
      const reset = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
      const inner = session.socket.setMaxListeners(session.socket.getMaxListeners())
      inner.once('end', () => process.nextTick(() => socket.destroy(reset)))
      session.on('stream', (stream: ServerHttp2Stream) => {
        streams.push(stream.on('error', () => {}))
        stream.respond({ ':status': 200 })
        stream.write('the beginning')
        session.close() // waits for the stream
      })
    },
    { alpnProtocols: ['h2'] },
  )
  const socket = await connectTls(server.port, { ALPNProtocols: ['h2'] })
  const client = connectHttp2('https://example.com', { createConnection: () => socket })
  client.on('error', () => {})
  const request = client.request({ ':path': '/' }).on('error', () => {})
  await event(request, 'data')
  socket.end()
  // Without it: ERR_INTERNAL_ASSERTION, which nobody can catch.
  await until(() => streams[0]?.destroyed === true)
})
