// RSA key exchange with the key at a key server: opcode 0x01, raw RSA, the padding taken off where TLS ends.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { createKeylessSigner, createKeyServerClient } from '@latchkey/client'
import { silentLogger } from '@latchkey/core'
import { openFileStore, subjectKeyIdentifier } from '@latchkey/keys'
import { createKeyServer, type KeyServerOptions, type KeyUseQuestion } from '@latchkey/keyserver'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import {
  CIPHER_SUITES12,
  type CipherSuite12Name,
  createCertificateStore,
  createTlsServer,
  loadCredential,
  type TlsError,
} from '@latchkey/tls'

interface Site extends AsyncDisposable {
  readonly port: number
  readonly caPem: string
  readonly failures: TlsError[]
  readonly decryptions: () => number
}

/** A site whose RSA key is at a key server only. */
async function startSite(options: Partial<KeyServerOptions> = {}): Promise<Site> {
  const stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-rsa-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const publicCa = await createThrowawayCa()
  const issued = await publicCa.issue({ dnsNames: ['site.test'], keyAlgorithm: 'rsa-2048' })
  writeFileSync(join(folder, 'site.key'), issued.privateKeyPem, { mode: 0o600 })
  const credential = loadCredential({ chain: issued.chainPem })

  const linkCa = await createThrowawayCa()
  const ca = linkCa.certificatePem
  const host = '127.0.0.1'
  const server = await linkCa.issue({ ipAddresses: [host], extendedKeyUsages: ['serverAuth'] })
  const edge = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
  const keyStore = stack.use(await openFileStore([{ dir: folder }]))
  let decryptions = 0
  const denial = ({ operation }: KeyUseQuestion): undefined => {
    if (operation.kind === 'decrypt') decryptions++
  }
  const keyServer = stack.use(
    createKeyServer({
      keyStore,
      cert: server.chainPem,
      key: server.privateKeyPem,
      ca,
      logger: silentLogger,
      denial,
      ...options,
    }),
  )
  const { port } = await keyServer.listen({ port: 0 })
  const client = stack.use(
    createKeyServerClient({ host, port, ca, cert: edge.chainPem, key: edge.privateKeyPem }),
  )
  const ski = subjectKeyIdentifier(new X509Certificate(issued.chainPem).publicKey)
  const signer = createKeylessSigner({
    client,
    keys: new Map([[Buffer.from(credential.keyId).toString('hex'), { ski }]]),
  })

  const failures: TlsError[] = []
  const certificates = createCertificateStore({ hosts: [], default: [credential] })
  const cipherSuites12 = Object.keys(CIPHER_SUITES12) as CipherSuite12Name[]
  const site = createTlsServer({ certificates, signer, cipherSuites12 }, (socket) => socket.end('served'))
  site.on('tlsClientError', (error: TlsError) => failures.push(error))
  site.listen(0, host)
  await once(site, 'listening')
  stack.defer(() => void site.close())
  return {
    port: (site.address() as AddressInfo).port,
    caPem: publicCa.certificatePem,
    failures,
    decryptions: () => decryptions,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

async function visit({ port, caPem }: Site, ciphers: string): Promise<string> {
  const place = { host: '127.0.0.1', port, servername: 'site.test', ca: caPem }
  const client = connect({ ...place, ciphers, maxVersion: 'TLSv1.2' })
  return String(Buffer.concat(await client.toArray()))
}

test('the premaster secret is decrypted at the key server, and the session speaks', async () => {
  await using site = await startSite()
  for (const ciphers of ['AES128-GCM-SHA256', 'AES256-GCM-SHA384'])
    assert.equal(await visit(site, ciphers), 'served')
  assert.equal(site.decryptions(), 2)
  assert.equal(await visit(site, 'ECDHE-RSA-AES128-GCM-SHA256'), 'served')
  assert.equal(site.decryptions(), 2)
  assert.deepEqual(site.failures, [])
})

test('a key server that does not decrypt ends it as any signer that fails', async () => {
  await using site = await startSite({
    denial: ({ operation }) => (operation.kind === 'decrypt' ? 'no RSA key exchange' : undefined),
  })
  await assert.rejects(visit(site, 'AES128-GCM-SHA256'), { code: 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR' })
  assert.deepEqual(
    site.failures.map(({ code }) => code),
    ['ERR_TLS_SIGNER'],
  )
  assert.equal(await visit(site, 'ECDHE-RSA-AES128-GCM-SHA256'), 'served')
})
