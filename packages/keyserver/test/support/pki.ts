// One CA and the usual certificates for all tests of this package; made once.
import { createThrowawayCa, type Issued, type ThrowawayCa } from '@latchkey/throwaway-pki'

export interface Pki {
  readonly ca: ThrowawayCa
  readonly server: Issued
  readonly client: Issued
}

let made: Promise<Pki> | undefined

export function pki(): Promise<Pki> {
  made ??= makePki()
  return made
}

async function makePki(): Promise<Pki> {
  const ca = await createThrowawayCa({ commonName: 'Test CA' })
  const server = await ca.issue({
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
    extendedKeyUsages: ['serverAuth'],
  })
  const client = await ca.issue({ commonName: 'edge one', extendedKeyUsages: ['clientAuth'] })
  return { ca, server, client }
}
