// An edge and a key server in bench-like processes: the edge tells about itself, the key server may be slow.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { Child } from './child.ts'

export interface Link extends AsyncDisposable {
  readonly serverName: string
  readonly caPem: string
  readonly caFile: string
  /** The site's own chain and key: for a peer that is measured beside. */
  readonly chainPem: string
  readonly privateKeyPem: string
  readonly edge: Child
  readonly edgePort: number
  readonly keyServer: Child
}

const SERVER_NAME = 'measured.test'

/** @param options `origin`: URL behind the edge; a closed port where only handshakes matter. */
export async function startLink({ delayMs, origin }: { delayMs: number; origin: string }): Promise<Link> {
  const stack = new AsyncDisposableStack()
  try {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-link-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    const publicCa = await createThrowawayCa({})
    const { chainPem, privateKeyPem } = await publicCa.issue({ dnsNames: [SERVER_NAME] })
    const keyFile = join(folder, 'site.key')
    writeFileSync(keyFile, privateKeyPem, { mode: 0o600 })
    const caFile = join(folder, 'ca.pem')
    writeFileSync(caFile, publicCa.certificatePem)
    const linkCa = await createThrowawayCa({})
    const ca = linkCa.certificatePem
    const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
    const client = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })

    const keyServer = await Child.start<{ port: number }>(process('delayed-key-server.ts'), {
      keyFile,
      delayMs,
      cert: server.chainPem,
      key: server.privateKeyPem,
      ca,
    })
    stack.use(keyServer.child)
    const host = {
      serverNames: [SERVER_NAME],
      certificateChains: [chainPem],
      keyServers: [{ host: '127.0.0.1', port: keyServer.answer.port }],
      origin,
    }
    const keyServerTls = { ca, cert: client.chainPem, key: client.privateKeyPem }
    const edge = await Child.start<{ port: number }>(process('watched-edge.ts'), {
      start: { host, keyServerTls },
    })
    stack.use(edge.child)
    return {
      serverName: SERVER_NAME,
      caPem: publicCa.certificatePem,
      caFile,
      chainPem,
      privateKeyPem,
      edge: edge.child,
      edgePort: edge.answer.port,
      keyServer: keyServer.child,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

function process(name: string): URL {
  return new URL(`../processes/${name}`, import.meta.url)
}
