import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createEdge, type Edge } from '@latchkey/edge'

/** An edge for `www.example.test`, from the PEM files in `folder`. */
export async function startEdge(folder: string, keyServerPort: number, origin: URL): Promise<Edge> {
  const pem = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const edge = createEdge({
    hosts: [
      {
        serverNames: ['www.example.test'],
        certificateChains: [pem('site.pem')], // several: order is preference, say ECDSA before RSA
        keyServers: [{ host: '127.0.0.1', port: keyServerPort }], // several: the nearest that answers is asked
        origin,
      },
    ],
    keyServerTls: { ca: pem('key-server-ca.pem'), cert: pem('client.pem'), key: pem('client-key.pem') },
    listen: { host: '127.0.0.1', port: 0 },
  })
  await edge.listen() // dials the key servers first; one that does not answer is a warning, not a failure
  return edge // later: edge.reconfigure(hosts), edge.close({ drainMs: 20_000 })
}
