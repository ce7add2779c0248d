// Fuzz entry points: each takes bytes and returns; an exception is a bug.
import { DecodeError } from '@latchkey/core'
import { certificateSubject, hasSoundSignatureAlgorithm } from './client-certificate/certificate-fields.ts'
import { createClientCaPolicy } from './client-certificate/client-ca-policy.ts'
import { authorizeClient, readClientCertificate } from './client-certificate/client-certificate.ts'
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

const policy = createClientCaPolicy({ rejectUnauthorized: false })

/** A client's Certificate of TLS 1.3, its body, is read and judged, or refused with a TlsError. */
export function fuzzClientCertificate(body: Uint8Array): void {
  try {
    const chain = readClientCertificate(body)
    if (chain.length > 0) authorizeClient(chain, policy, 0)
    for (const der of chain) {
      certificateSubject(der)
      hasSoundSignatureAlgorithm(der)
    }
  } catch (error) {
    if (!(error instanceof TlsError || error instanceof DecodeError)) throw error
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
