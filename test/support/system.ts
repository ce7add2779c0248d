// The real thing for a test: an origin, a key server process and an edge process, with certificates of every kind.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
// The demo's way to start, watch and end a latchkey process: the same one here.
import { Child } from '../../packages/latchkey/src/demo/child.ts'

export interface Site {
  readonly name: string
  readonly keyAlgorithm: KeyAlgorithm
  readonly privateKeyPem: string
  readonly privateKeyFile: string
}

export interface System extends AsyncDisposable {
  /** Where all of them run. */
  readonly folder: string
  readonly caFile: string
  readonly caPem: string
  readonly sites: readonly Site[]
  readonly edge: Child
  readonly edgePort: number
  /** What the edge proves to the key server that it is, and whoever steals it. PEM. */
  readonly edgeIdentity: { readonly ca: string; readonly cert: string; readonly key: string }
  keyServer: Child
  readonly keyServerPort: number
  /** Ends the key server without a word, as a crash does. */
  killKeyServer(): Promise<void>
  /** Starts it again on its port. */
  restartKeyServer(): Promise<void>
}

export interface SystemOptions {
  readonly keyAlgorithms: readonly KeyAlgorithm[]
  readonly origin: RequestListener
  /** More lines of the key server's configuration. */
  readonly keyServerSettings?: string
  /** Sites whose keys are not in files: the certificate is issued for a request that somebody else signs. */
  readonly keysElsewhere?: readonly { readonly name: string; readonly csr: string }[]
  /** For the key server's process. */
  readonly keyServerEnv?: Readonly<Record<string, string>>
  /** More files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>
}

/** `<algorithm>.site.test` for each algorithm, all behind one edge, keys at one key server. */
export async function startSystem({
  keyAlgorithms,
  origin,
  keyServerSettings = '',
  keysElsewhere = [],
  keyServerEnv = {},
  files = {},
}: SystemOptions): Promise<System> {
  const stack = new AsyncDisposableStack()
  try {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    const keys = join(folder, 'keys')
    mkdirSync(keys, { mode: 0o700 })
    const file = (name: string, text: string): string => {
      const path = join(folder, name)
      writeFileSync(path, text, { mode: 0o600 })
      return path
    }

    const publicCa = await createThrowawayCa({ commonName: 'test CA' })
    const caFile = file('ca.pem', publicCa.certificatePem)
    const sites: Site[] = []
    for (const keyAlgorithm of keyAlgorithms) {
      const name = `${keyAlgorithm}.site.test`
      const { chainPem, privateKeyPem } = await publicCa.issue({ dnsNames: [name], keyAlgorithm })
      file(`${name}.pem`, chainPem)
      sites.push({
        name,
        keyAlgorithm,
        privateKeyPem,
        privateKeyFile: file(join('keys', `${name}.key`), privateKeyPem),
      })
    }

    for (const { name, csr } of keysElsewhere) {
      const { chainPem } = await publicCa.issueForRequest(csr, { dnsNames: [name] })
      file(`${name}.pem`, chainPem)
    }

    const linkCa = await createThrowawayCa({ commonName: 'link CA' })
    const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
    const client = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
    file('link-ca.pem', linkCa.certificatePem)
    file('server.pem', server.chainPem)
    file('server-key.pem', server.privateKeyPem)
    file('client.pem', client.chainPem)
    file('client-key.pem', client.privateKeyPem)

    for (const [name, text] of Object.entries(files)) file(name, text)

    const originServer = createServer(origin)
    originServer.listen(0, '127.0.0.1')
    await new Promise((resolve) => originServer.once('listening', resolve))
    stack.defer(() => {
      originServer.closeAllConnections()
      originServer.close()
    })

    const run = (name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child =>
      stack.use(new Child({ name, args, cwd: folder, env: { ...process.env, ...env } }))
    const runKeyServer = (port: number): Child => {
      file('gokeyless.yaml', keyServerYaml(port) + keyServerSettings)
      return run('key server', ['keyserver'], keyServerEnv)
    }
    const listening = async (child: Child): Promise<number> =>
      Number((await child.line(/Listening at \w+:\/\/127\.0\.0\.1:(\d+)/))[1])

    const keyServer = runKeyServer(0)
    const keyServerPort = await listening(keyServer)
    file(
      'latchkey-edge.yaml',
      edgeYaml([...sites, ...keysElsewhere], keyServerPort, (originServer.address() as AddressInfo).port),
    )
    const edge = run('edge', ['edge'])
    const system: System = {
      folder,
      caFile,
      caPem: publicCa.certificatePem,
      sites,
      edge,
      edgePort: await listening(edge),
      edgeIdentity: { ca: linkCa.certificatePem, cert: client.chainPem, key: client.privateKeyPem },
      keyServer,
      keyServerPort,
      async killKeyServer() {
        system.keyServer.killNow()
        await system.keyServer.ended
      },
      async restartKeyServer() {
        system.keyServer = runKeyServer(keyServerPort)
        await listening(system.keyServer)
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
    return system
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

function keyServerYaml(port: number): string {
  return `port: ${port}
metrics_port: 0
workers: 1
listen_address: 127.0.0.1
auth_cert: server.pem
auth_key: server-key.pem
cloudflare_ca_cert: link-ca.pem
private_key_stores:
- dir: keys
`
}

function edgeYaml(sites: readonly Pick<Site, 'name'>[], keyServerPort: number, originPort: number): string {
  const host = ({ name }: Pick<Site, 'name'>): string => `- names: [${name}]
  certificates: [${name}.pem]
  key_servers: ['127.0.0.1:${keyServerPort}']
  origin: http://127.0.0.1:${originPort}
`
  return `listen_address: 127.0.0.1
port: 0
warm_up: false
key_server_tls: { ca: link-ca.pem, cert: client.pem, key: client-key.pem }
hosts:
${sites.map(host).join('')}`
}
