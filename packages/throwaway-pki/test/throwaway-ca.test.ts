import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'
import { promisify } from 'node:util'
import {
  createSelfSigned,
  createThrowawayCa,
  EXTENDED_KEY_USAGES,
  type ExtendedKeyUsageName,
  KEY_ALGORITHMS,
  type KeyAlgorithm,
} from '../src/index.ts'

const run = promisify(execFile)
const ALGORITHMS = Object.keys(KEY_ALGORITHMS) as KeyAlgorithm[]
const KEY_DETAILS: Readonly<Record<KeyAlgorithm, { type: string; size: string | number | undefined }>> = {
  'ecdsa-p256': { type: 'ec', size: 'prime256v1' },
  'ecdsa-p384': { type: 'ec', size: 'secp384r1' },
  'ecdsa-p521': { type: 'ec', size: 'secp521r1' },
  'rsa-2048': { type: 'rsa', size: 2048 },
  'rsa-3072': { type: 'rsa', size: 3072 },
  'rsa-4096': { type: 'rsa', size: 4096 },
  'rsa-1024': { type: 'rsa', size: 1024 },
  'rsa-2048-sha1': { type: 'rsa', size: 2048 },
  ed25519: { type: 'ed25519', size: undefined },
}

for (const keyAlgorithm of ALGORITHMS) {
  test(`a certificate with a key of ${keyAlgorithm} is signed by its CA and belongs to its key`, async () => {
    const ca = await createThrowawayCa()
    const issued = await ca.issue({
      keyAlgorithm,
      dnsNames: ['a.example', '*.b.example'],
      ipAddresses: ['::1'],
    })
    const root = new X509Certificate(ca.certificatePem)
    const leaf = new X509Certificate(issued.certificatePem)
    const key = createPrivateKey(issued.privateKeyPem)
    const details = key.asymmetricKeyDetails

    assert.ok(leaf.verify(root.publicKey))
    assert.ok(leaf.checkIssued(root))
    assert.ok(leaf.checkPrivateKey(key))
    assert.equal(key.asymmetricKeyType, KEY_DETAILS[keyAlgorithm].type)
    assert.equal(details?.namedCurve ?? details?.modulusLength, KEY_DETAILS[keyAlgorithm].size)
    assert.equal(leaf.ca, false)
    assert.equal(leaf.subject, 'CN=a.example')
    assert.equal(leaf.subjectAltName, 'DNS:a.example, DNS:*.b.example, IP Address:0:0:0:0:0:0:0:1')
    assert.equal(leaf.checkHost('x.b.example'), '*.b.example')
    assert.equal(issued.chainPem, issued.certificatePem)
  })

  test(`a CA with a key of ${keyAlgorithm} signs certificates that verify`, async () => {
    const ca = await createThrowawayCa({ keyAlgorithm, commonName: 'Some root' })
    const root = new X509Certificate(ca.certificatePem)
    const leaf = new X509Certificate((await ca.issue({ dnsNames: ['a.example'] })).certificatePem)

    assert.ok(root.ca)
    assert.equal(root.subject, 'CN=Some root')
    assert.ok(root.verify(root.publicKey))
    assert.ok(leaf.verify(root.publicKey))
  })
}

const USAGES: readonly { usages: ExtendedKeyUsageName[] | undefined; oids: string[] | undefined }[] = [
  { usages: undefined, oids: [EXTENDED_KEY_USAGES.serverAuth, EXTENDED_KEY_USAGES.clientAuth] },
  { usages: ['serverAuth'], oids: [EXTENDED_KEY_USAGES.serverAuth] },
  { usages: ['clientAuth'], oids: [EXTENDED_KEY_USAGES.clientAuth] },
  { usages: ['any'], oids: [EXTENDED_KEY_USAGES.any] },
  { usages: [], oids: undefined },
]
for (const { usages, oids } of USAGES) {
  test(`extendedKeyUsages ${JSON.stringify(usages)} are written as ${oids?.join(' ')}`, async () => {
    const ca = await createThrowawayCa()
    const options = usages === undefined ? {} : { extendedKeyUsages: usages }
    const leaf = new X509Certificate((await ca.issue(options)).certificatePem)
    assert.deepEqual(leaf.keyUsage, oids)
  })
}

test('serial numbers are positive, at most 20 bytes and differ', async () => {
  const ca = await createThrowawayCa()
  const serials = new Set<string>()
  for (let count = 0; count < 20; count++) {
    const { serialNumber } = new X509Certificate((await ca.issue({})).certificatePem)
    assert.match(serialNumber, /^[4-7][0-9A-F]{31}$/)
    serials.add(serialNumber)
  }
  assert.equal(serials.size, 20)
})

test('validity is the one asked for, also in the past', async () => {
  const ca = await createThrowawayCa()
  const notBefore = new Date('2020-01-02T03:04:05Z')
  const notAfter = new Date('2020-02-02T03:04:05Z')
  const leaf = new X509Certificate((await ca.issue({ notBefore, notAfter })).certificatePem)
  assert.deepEqual(leaf.validFromDate, notBefore)
  assert.deepEqual(leaf.validToDate, notAfter)
})

test('a common name is one name whatever characters it has', async () => {
  const ca = await createThrowawayCa()
  const commonName = 'a, O="b"+c=#d'
  const leaf = new X509Certificate((await ca.issue({ commonName })).certificatePem)
  assert.equal(leaf.toLegacyObject().subject.CN, commonName)
  assert.equal(leaf.toLegacyObject().subject.O, undefined)
})

test('a host name too long for a common name is in the SAN alone', async () => {
  const ca = await createThrowawayCa()
  const name = `${'a'.repeat(60)}.long.example`
  const leaf = new X509Certificate((await ca.issue({ dnsNames: [name] })).certificatePem)
  assert.ok(!leaf.subject)
  assert.equal(leaf.checkHost(name), name)
})

test('a self-signed certificate verifies with its own key and no CA', async () => {
  const leaf = new X509Certificate((await createSelfSigned({ dnsNames: ['a.example'] })).certificatePem)
  assert.equal(leaf.issuer, leaf.subject)
  assert.ok(leaf.verify(leaf.publicKey))
  assert.equal(leaf.ca, false)
})

test('an extension option replaces the usual extension of its OID', async () => {
  const ca = await createThrowawayCa()
  const notACa = { oid: '2.5.29.19', critical: true, value: Uint8Array.of(0x30, 0x00) }
  const intermediate = await ca.issueIntermediate({ extensions: [notACa], extendedKeyUsages: ['clientAuth'] })
  const certificate = new X509Certificate(intermediate.certificatePem)
  assert.equal(certificate.ca, false)
  assert.deepEqual(certificate.keyUsage, [EXTENDED_KEY_USAGES.clientAuth])
  assert.equal(certificate.raw.toHex().split('0603551d13').length, 2)
})

test('OpenSSL accepts every kind of certificate by its strict rules', async (t) => {
  const openssl = await run('openssl', ['version']).catch(() => undefined)
  if (openssl === undefined) return t.skip('no openssl command')
  const folder = await mkdtemp(join(tmpdir(), 'throwaway-pki-'))
  t.after(() => rm(folder, { recursive: true }))
  const at = (name: string): string => join(folder, name)
  const ca = await createThrowawayCa()
  await writeFile(at('ca.pem'), ca.certificatePem)
  const verify = ['verify', '-x509_strict', '-CAfile', at('ca.pem')]

  for (const keyAlgorithm of ALGORITHMS) {
    const { certificatePem } = await ca.issue({ keyAlgorithm, dnsNames: ['a.example'] })
    await writeFile(at('leaf.pem'), certificatePem)
    const purposes = ['-purpose', 'sslserver', '-verify_hostname', 'a.example']
    assert.match((await run('openssl', [...verify, ...purposes, at('leaf.pem')])).stdout, /OK/)
    assert.match((await run('openssl', [...verify, '-purpose', 'sslclient', at('leaf.pem')])).stdout, /OK/)
  }

  const narrow = await ca.issueIntermediate({ pathLength: 0 })
  const tooDeep = await (await narrow.issueIntermediate({ commonName: 'Deeper' })).issue({
    dnsNames: ['a.example'],
  })
  await writeFile(at('deep.pem'), tooDeep.chainPem)
  await assert.rejects(
    run('openssl', [...verify, '-untrusted', at('deep.pem'), at('deep.pem')]),
    /path length/,
  )

  const other = await (await createThrowawayCa()).issue({ dnsNames: ['a.example'] })
  await writeFile(at('other.pem'), other.certificatePem)
  await assert.rejects(
    run('openssl', [...verify, at('other.pem')]),
    /unable to get local issuer|signature failure/,
  )
})

test('a TLS server with a chain over an intermediate is trusted through the root alone', async (t) => {
  const ca = await createThrowawayCa()
  const intermediate = await ca.issueIntermediate({ commonName: 'Between' })
  const { chainPem, certificatePem, privateKeyPem } = await intermediate.issue({
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
  })
  assert.equal(chainPem, certificatePem + intermediate.certificatePem)

  const context = tls.createSecureContext({ cert: chainPem, key: privateKeyPem })
  const server = createServer((socket) => {
    new tls.TLSSocket(socket, { isServer: true, secureContext: context }).end('hello').resume()
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const client = tls.connect({ host: '127.0.0.1', port, ca: ca.certificatePem })
  const text: string[] = []
  for await (const chunk of client.setEncoding('utf8')) text.push(chunk as string)
  assert.equal(text.join(''), 'hello')
})

test('a certificate for delegation has the extension of RFC 9345 §4.2, not critical, and no other has it', async () => {
  // 1.3.6.1.4.1.44363.44, then at once the OCTET STRING with a NULL in it.
  const delegationUsage = Buffer.from('06092b0601040182da4b2c04020500', 'hex')
  const ca = await createThrowawayCa()
  for (const isDelegation of [true, false]) {
    const { certificatePem } = await ca.issue({ isDelegation })
    assert.equal(new X509Certificate(certificatePem).raw.includes(delegationUsage), isDelegation)
  }
})
