// One signature of a real key server, over the real protocol, is a day of handshakes for clients that accept delegated
// credentials; they go on when the key server is gone.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createKeylessSigner, createKeyServerClient } from '@latchkey/client'
import { subjectPublicKey } from '@latchkey/core'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import {
  createCertificateStore,
  createTlsServer,
  DelegatedCredentials,
  loadCredential,
  type SignaturePurpose,
  type Signer,
} from '@latchkey/tls'
// The scripted client of the engine's own tests: it checks what it is shown, as RFC 9345 §4.1.3 asks.
import { SCHEME } from '../packages/tls/test/support/code-points.ts'
import { acceptsDelegated } from '../packages/tls/test/support/delegation.ts'
import { RawClient } from '../packages/tls/test/support/raw-client.ts'
import { listen, until } from '../packages/tls/test/support/socket-server.ts'
import { Child } from './support/child.ts'

const NAME = 'example.com'
const HANDSHAKES = 100
const KEY_SERVER = new URL('processes/delayed-key-server.ts', import.meta.url)

for (const keyAlgorithm of ['ecdsa-p256', 'rsa-2048', 'ed25519'] satisfies KeyAlgorithm[]) {
  test(`${HANDSHAKES} handshakes for one signature with a key of ${keyAlgorithm}, and more after its key server's death`, async () => {
    await using stack = new AsyncDisposableStack()
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-delegated-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    const publicCa = await createThrowawayCa()
    const site = await publicCa.issue({ dnsNames: [NAME], keyAlgorithm, isDelegation: true })
    const keyFile = join(folder, 'site.key')
    writeFileSync(keyFile, site.privateKeyPem, { mode: 0o600 })

    const linkCa = await createThrowawayCa()
    const ca = linkCa.certificatePem
    const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
    const identity = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
    const started = { keyFile, delayMs: 0, cert: server.chainPem, key: server.privateKeyPem, ca }
    const { child: keyServer, answer } = await Child.start<{ port: number }>(KEY_SERVER, started)
    stack.use(keyServer)

    const client = stack.use(
      createKeyServerClient({
        host: '127.0.0.1',
        port: answer.port,
        ca,
        cert: identity.chainPem,
        key: identity.privateKeyPem,
        drainTimeoutMs: 500,
      }),
    )
    const credential = loadCredential({ chain: site.chainPem })
    const ski = createHash('sha1').update(subjectPublicKey(credential.spki)).digest()
    const remote = createKeylessSigner({ client, keys: () => ({ ski }) })
    const asked: SignaturePurpose[] = []
    const signer: Signer = {
      sign: (request, signal) => {
        asked.push(request.purpose)
        return remote.sign(request, signal)
      },
    }
    const delegatedCredentials = stack.use(new DelegatedCredentials({ signer, allowRsa: true }))
    delegatedCredentials.add(credential)
    await until(() => delegatedCredentials.current(credential).length > 0)
    assert.deepEqual(asked, ['delegated-credential'])

    const certificates = createCertificateStore({
      hosts: [{ serverNames: [NAME], credentials: [credential] }],
    })
    const tlsServer = createTlsServer({ certificates, signer, delegatedCredentials }, (socket) => {
      socket.on('error', () => {}).end('hello')
    })
    const { port } = stack.use(await listen(tlsServer))
    const handshake = async (
      extra = [acceptsDelegated(SCHEME.ecdsa_secp256r1_sha256)],
    ): Promise<RawClient> => {
      using raw = new RawClient(port, { hello: { extra } })
      raw.hello()
      await until(() => raw.tls.state === 'connected' || raw.tls.alerts.length > 0)
      assert.equal(raw.fault, undefined)
      return raw
    }

    for (let count = 0; count < HANDSHAKES; count++) assert.equal((await handshake()).tls.state, 'connected')
    assert.deepEqual(asked, ['delegated-credential'], 'nobody was asked again')
    assert.equal((await handshake([])).tls.state, 'connected')
    assert.deepEqual(asked, ['delegated-credential', 'tls13-server-cv'], 'others are signed for')

    await keyServer[Symbol.asyncDispose]()
    for (let count = 0; count < 10; count++) assert.equal((await handshake()).tls.state, 'connected')
    assert.deepEqual((await handshake([])).alerts, ['internal_error'])
  })
}
