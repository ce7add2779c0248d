// A folder with certificates and keys for configuration tests; made once for all of them.
import { createPrivateKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createThrowawayCa } from '@latchkey/throwaway-pki'

const DAY_MS = 24 * 3_600_000

export interface Folder extends Disposable {
  readonly path: string
  write(name: string, text: string | Buffer): string
}

export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-test-'))
  return {
    path,
    write(name, text) {
      const file = join(path, name)
      writeFileSync(file, text)
      return file
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

const ca = await createThrowawayCa()
const otherCa = await createThrowawayCa({ commonName: 'Another' })
const server = await ca.issue({ ipAddresses: ['127.0.0.1'], notAfter: new Date(Date.now() + 60 * DAY_MS) })
const soon = new Date(Date.now() + 5.5 * DAY_MS)
const past = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - 2 * DAY_MS) }
const site = await ca.issue({ dnsNames: ['example.com', '*.example.com'] })
const ending = await ca.issue({ dnsNames: ['example.com'], notAfter: soon })
const ended = await ca.issue({ dnsNames: ['example.com'], ...past })

const encryptedKey = createPrivateKey(server.privateKeyPem).export({
  format: 'pem',
  type: 'pkcs8',
  cipher: 'aes-128-cbc',
  passphrase: 'test',
})

/** Everything both kinds of configuration refer to. */
export function folderWithCertificates(): Folder {
  const folder = temporaryFolder()
  folder.write('server.pem', server.chainPem)
  folder.write('server-key.pem', server.privateKeyPem)
  folder.write('other-key.pem', site.privateKeyPem)
  folder.write('encrypted-key.pem', encryptedKey)
  folder.write('keyless_cacert.pem', otherCa.certificatePem)
  folder.write('site.pem', site.chainPem)
  folder.write('with-key.pem', site.chainPem + site.privateKeyPem)
  folder.write('ending.pem', ending.chainPem)
  folder.write('ended.pem', ended.chainPem)
  folder.write('unordered.pem', otherCa.certificatePem + site.chainPem + ca.certificatePem)
  folder.write('empty.pem', '')
  mkdirSync(join(folder.path, 'keys'))
  return folder
}
