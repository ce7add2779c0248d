// Node's http2 over a Duplex, made to survive what clients do.
//
// http2 speaks to a Duplex through a socket of its own (lib/internal/js_stream_socket.js), which asserts that nothing is
// written while it shuts down. http2 does write then: a client that half-closes with a request open has the socket shut
// down and the stream reset in one go. The assertion is an uncaught exception, and ends the process. A net.Socket in
// the same place answers EPIPE, which http2 expects: so does this.
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { constants } from 'node:os'

/** A negative errno, as libuv has it; 0: under way. */
type DoWrite = (request: object, buffers: readonly Uint8Array[]) => number

/** Lets what `session` still writes while its socket is shutting down fail like any write to a closed socket. */
export function failLateWrites(session: ServerHttp2Session): void {
  const socket = socketUnder(session) as Socket & { doWrite?: DoWrite }
  const doWrite = socket.doWrite
  if (doWrite === undefined) return // a socket with a handle of its own
  socket.doWrite = (request, buffers) =>
    socket.writableEnded ? -constants.errno.EPIPE : doWrite.call(socket, request, buffers)
}

/** `session.socket` is a proxy that lets nothing be defined; its methods return the socket itself. */
function socketUnder({ socket }: ServerHttp2Session): Socket {
  return socket.setMaxListeners(socket.getMaxListeners())
}
