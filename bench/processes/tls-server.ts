// A TLS 1.3 server in a process of its own, ours or Node's, that reports the CPU time it used. Nothing is served: the
// handshake is all the work.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { createServer as createNodeServer } from 'node:tls'
import { createCertificateStore, createLocalSigner, createTlsServer, loadCredential } from '@latchkey/tls'
import { answerParent } from '../../test/support/child-side.ts'

interface Start {
  readonly engine: 'latchkey' | 'node'
  readonly certificatePem: string
  readonly privateKeyPem: string
}

answerParent(async ({ engine, certificatePem, privateKeyPem }: Start) => {
  const server =
    engine === 'node'
      ? nodeServer(certificatePem, privateKeyPem)
      : latchkeyServer(certificatePem, privateKeyPem)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
})

function latchkeyServer(certificatePem: string, privateKeyPem: string): Server {
  const signer = createLocalSigner([
    { privateKey: createPrivateKey(privateKeyPem), publicKey: createPublicKey(certificatePem) },
  ])
  const certificates = createCertificateStore({
    hosts: [],
    default: [loadCredential({ chain: certificatePem })],
  })
  return createTlsServer({ certificates, signer }, (socket) => {
    socket.on('error', () => {})
    socket.resume()
  })
}

/** The same group and suite. Node sends session tickets after each TLS 1.3 handshake, which cannot be switched off. */
function nodeServer(certificatePem: string, privateKeyPem: string): Server {
  const options = {
    cert: certificatePem,
    key: privateKeyPem,
    minVersion: 'TLSv1.3',
    ecdhCurve: 'X25519',
    ciphers: 'TLS_AES_128_GCM_SHA256',
  } as const
  return createNodeServer(options, (socket) => {
    socket.on('error', () => {})
    socket.resume()
  })
}
