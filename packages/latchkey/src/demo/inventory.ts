// What lies in a folder, by kind: found out by reading the files, not by their names.
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface FolderItem {
  readonly name: string
  /** `other`: no PEM in it. */
  readonly kind: 'certificate' | 'private key' | 'other'
  /** Of a private key: whether it is the site's. */
  readonly isSiteKey: boolean
  /** Of a private key: the certificate file beside it that it belongs to. */
  readonly belongsTo: string | undefined
}

/** @param sitePublicKey SubjectPublicKeyInfo of the site, DER. */
export function inventory(folder: string, sitePublicKey: Uint8Array): FolderItem[] {
  const texts = readdirSync(folder)
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }))
  const certificates = texts
    .filter(({ text }) => text.includes('-----BEGIN CERTIFICATE-----'))
    .map(({ name, text }) => ({ name, spki: spkiOf(new X509Certificate(text).publicKey) }))
  return texts.map(({ name, text }) => {
    if (!text.includes('PRIVATE KEY-----')) {
      const isCertificate = certificates.some((certificate) => certificate.name === name)
      return { name, kind: isCertificate ? 'certificate' : 'other', isSiteKey: false, belongsTo: undefined }
    }
    const spki = spkiOf(createPublicKey(createPrivateKey(text)))
    return {
      name,
      kind: 'private key',
      isSiteKey: spki.equals(sitePublicKey),
      belongsTo: certificates.find((certificate) => certificate.spki.equals(spki))?.name,
    }
  })
}

function spkiOf(key: ReturnType<typeof createPublicKey>): Buffer {
  return key.export({ format: 'der', type: 'spki' })
}
