// What the demo needs on disk: two throw-away authorities, a site's certificate and key, and the two configurations.
// The key of the site is written into the key server's folder and nowhere else.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createThrowawayCa } from '@latchkey/throwaway-pki'

/** RFC 6761 §6.2: `.test` is nobody's. */
export const SITE_NAME = 'latchkey.test'

export interface Stage {
  readonly folder: string
  /** What a browser has to trust. */
  readonly caFile: string
  readonly keyServerFolder: string
  readonly siteKeyFile: string
  readonly edgeFolder: string
}

/**
 * The folder is for this user only, its files too.
 *
 * @param onFolder gets what removes the folder, before anything is in it.
 */
export async function buildStage(onFolder: (remove: () => void) => void): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-demo-')) // mode 0700
  onFolder(() => rmSync(folder, { recursive: true, force: true }))
  const keyServerFolder = join(folder, 'key-server')
  const edgeFolder = join(folder, 'edge')
  for (const path of [keyServerFolder, join(keyServerFolder, 'keys'), edgeFolder])
    mkdirSync(path, { mode: 0o700 })
  const write = (path: string, text: string): void => writeFileSync(path, text, { mode: 0o600 })

  const publicCa = await createThrowawayCa({ commonName: 'Latchkey demo: public CA' })
  const site = await publicCa.issue({ dnsNames: [SITE_NAME] })
  const caFile = join(folder, 'ca.pem')
  write(caFile, publicCa.certificatePem)

  const linkCa = await createThrowawayCa({ commonName: 'Latchkey demo: CA of the key-server link' })
  // Key servers warn of certificates that end within 30 days: this one lasts longer, the demo is not about that.
  const notAfter = new Date(Date.now() + 60 * 24 * 3_600_000)
  const server = await linkCa.issue({
    ipAddresses: ['127.0.0.1'],
    extendedKeyUsages: ['serverAuth'],
    notAfter,
  })
  const client = await linkCa.issue({ commonName: 'demo edge', extendedKeyUsages: ['clientAuth'] })

  const siteKeyFile = join(keyServerFolder, 'keys', 'site.key')
  write(siteKeyFile, site.privateKeyPem)
  write(join(keyServerFolder, 'server.pem'), server.chainPem)
  write(join(keyServerFolder, 'server-key.pem'), server.privateKeyPem)
  write(join(keyServerFolder, 'client-ca.pem'), linkCa.certificatePem)
  write(join(keyServerFolder, 'gokeyless.yaml'), KEY_SERVER_YAML)

  write(join(edgeFolder, 'site.pem'), site.chainPem)
  write(join(edgeFolder, 'client.pem'), client.chainPem)
  write(join(edgeFolder, 'client-key.pem'), client.privateKeyPem)
  write(join(edgeFolder, 'key-server-ca.pem'), linkCa.certificatePem)
  return {
    folder,
    caFile,
    keyServerFolder,
    siteKeyFile,
    edgeFolder,
  }
}

const KEY_SERVER_YAML = `loglevel: 1
port: 0
metrics_port: 0
workers: 1
listen_address: 127.0.0.1
auth_cert: server.pem
auth_key: server-key.pem
cloudflare_ca_cert: client-ca.pem
private_key_stores:
- dir: keys
`

/** Written when the ports of the others are known. */
export function writeEdgeConfig({ edgeFolder }: Stage, keyServerPort: number, originPort: number): void {
  const yaml = `listen_address: 127.0.0.1
port: 0
key_server_tls:
  ca: key-server-ca.pem
  cert: client.pem
  key: client-key.pem
hosts:
- names: [${SITE_NAME}]
  certificates: [site.pem]
  key_servers: ['127.0.0.1:${keyServerPort}']
  origin: http://127.0.0.1:${originPort}
`
  writeFileSync(join(edgeFolder, 'latchkey-edge.yaml'), yaml, { mode: 0o600 })
}
