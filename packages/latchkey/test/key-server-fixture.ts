// A folder as an operator of gokeyless has it, and clients for the key server that runs in it.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createKeyServerClient, type KeyServerClient } from '@latchkey/client'
import { subjectKeyIdentifier } from '@latchkey/keys'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { OPCODES, type Operation } from '@latchkey/wire'
import { type Folder, temporaryFolder } from './config-fixture.ts'
import type { Running } from './daemon.ts'

export const linkCa = await createThrowawayCa({ commonName: 'link CA' })
const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
const edge = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })

/** What a client of these key servers connects with. */
export const linkIdentity = { ca: linkCa.certificatePem, cert: edge.chainPem, key: edge.privateKeyPem }

export interface SiteKey {
  readonly pem: string
  readonly ski: Uint8Array
  readonly publicKey: KeyObject
  /** A signature that this key can make. */
  readonly request: Operation
}

export function siteKey(kind: 'ec' | 'rsa' = 'ec'): SiteKey {
  const { privateKey, publicKey } =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ski = subjectKeyIdentifier(publicKey)
  const { code } = kind === 'ec' ? OPCODES.OpECDSASignSHA256 : OPCODES.OpRSASignSHA256
  return {
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    ski,
    publicKey,
    request: { opcode: code, ski, payload: new Uint8Array(32).fill(7) },
  }
}

/** @param keys by the base name of their files in `keys/`. */
export function keyServerFolder(keys: Readonly<Record<string, SiteKey>>, settings: string): Folder {
  const folder = temporaryFolder()
  mkdirSync(join(folder.path, 'keys'))
  for (const [name, { pem }] of Object.entries(keys)) folder.write(`keys/${name}.key`, pem)
  folder.write('server.pem', server.chainPem)
  folder.write('server-key.pem', server.privateKeyPem)
  folder.write('keyless_cacert.pem', linkCa.certificatePem)
  folder.write('gokeyless.yaml', `port: 0\nmetrics_port: 0\nprivate_key_stores:\n- dir: keys\n${settings}`)
  return folder
}

export async function portOf(daemon: Running): Promise<number> {
  return Number((await daemon.said(/Listening at tcp:\/\/127\.0\.0\.1:(\d+)/))[1])
}

/** A client with a connection of its own. */
export function clientAt(port: number): KeyServerClient {
  return createKeyServerClient({ host: '127.0.0.1', port, ...linkIdentity, drainTimeoutMs: 500 })
}
