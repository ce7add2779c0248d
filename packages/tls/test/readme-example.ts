import type { Server } from 'node:http'
import { createCertificateStore, createServer, loadCredential, type Signer } from '@latchkey/tls'

/** A site from its certificate chain, which is public, and whoever can sign for it, wherever that is. */
export function createSite(chainPem: string, signer: Signer): Server {
  const credential = loadCredential({ chain: chainPem })
  const certificates = createCertificateStore({
    hosts: [{ serverNames: credential.names, credentials: [credential] }], // several: order is preference
  })
  const server = createServer({ certificates, signer }, (request, response) => {
    response.end(`hello, ${request.headers.host}`)
  })
  server.on('tlsClientError', (error: Error) => console.warn(error.message)) // a handshake that failed
  return server // an http.Server: server.listen(443)
}
