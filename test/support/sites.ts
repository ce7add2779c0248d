// Sites with throw-away certificates, one for each kind of key, for a server without a key server.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'

export interface ServedSite {
  readonly name: string
  readonly chainPem: string
  readonly privateKeyPem: string
}

export interface Sites extends Disposable {
  readonly caPem: string
  readonly caFile: string
  readonly sites: readonly ServedSite[]
}

export function siteName(keyAlgorithm: KeyAlgorithm): string {
  return `${keyAlgorithm}.site.test`
}

export async function issueSites(keyAlgorithms: readonly KeyAlgorithm[]): Promise<Sites> {
  const ca = await createThrowawayCa({ commonName: 'test CA' })
  const sites: ServedSite[] = []
  for (const keyAlgorithm of keyAlgorithms) {
    const name = siteName(keyAlgorithm)
    const { chainPem, privateKeyPem } = await ca.issue({ dnsNames: [name], keyAlgorithm })
    sites.push({ name, chainPem, privateKeyPem })
  }
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-sites-'))
  const caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, ca.certificatePem)
  return {
    caPem: ca.certificatePem,
    caFile,
    sites,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  }
}
