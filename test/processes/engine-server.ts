// The engine alone, for clients to judge: an HTTPS server whose every page says what it thinks was negotiated.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import {
  createCertificateStore,
  createLocalSigner,
  createServer,
  type GroupName,
  loadCredential,
  type Session,
  type TlsSocket,
} from '@latchkey/tls'
import { answerParent } from '../support/child-side.ts'

export interface EngineServer {
  /** The first is for clients that ask for no name. */
  readonly sites: readonly {
    readonly name: string
    readonly chainPem: string
    readonly privateKeyPem: string
  }[]
  /** Default: the engine's own. */
  readonly groups?: readonly GroupName[]
}

/** What the server's page holds. */
export type Page = Pick<Session, 'protocol' | 'cipherSuite' | 'group' | 'isResumed' | 'usedHelloRetryRequest'>

answerParent(async ({ sites, groups }: EngineServer) => {
  const hosts = sites.map(({ name, chainPem }) => ({
    serverNames: [name],
    credentials: [loadCredential({ chain: chainPem })],
  }))
  const keys = sites.map(({ privateKeyPem }) => ({
    privateKey: createPrivateKey(privateKeyPem),
    publicKey: createPublicKey(privateKeyPem),
  }))
  const options = {
    certificates: createCertificateStore({ hosts, default: hosts[0]?.credentials ?? [] }),
    signer: createLocalSigner(keys),
    ...(groups && { groups }),
  }
  const server = createServer(options, ({ socket }, response) => {
    const { protocol, cipherSuite, group, isResumed, usedHelloRetryRequest } = (
      socket as unknown as TlsSocket
    ).session
    response.end(
      JSON.stringify({ protocol, cipherSuite, group, isResumed, usedHelloRetryRequest } satisfies Page),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
})
