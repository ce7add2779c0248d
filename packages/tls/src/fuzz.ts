// Fuzz entry points: each takes bytes and returns; an exception is a bug.
import { createCertificateStore } from './credential/certificate-store.ts'
import { TlsError } from './errors.ts'
import { readClientHello } from './handshake/client-hello.ts'
import { type ConnectionHandlers, ServerConnection } from './server-connection.ts'
import { createServerContext } from './server-context.ts'

/** A ClientHello's body gives a value or a TlsError, nothing else. */
export function fuzzClientHello(body: Uint8Array): void {
  try {
    readClientHello(body)
  } catch (error) {
    if (!(error instanceof TlsError)) throw error
  }
}

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
