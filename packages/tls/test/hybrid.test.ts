// X25519MLKEM768: with node:tls as a client over a socket, and shares that must be refused.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import {
  createCertificateStore,
  createLocalSigner,
  createTlsServer,
  loadCredential,
  type TlsSocket,
} from '../src/index.ts'
import { hasMlKem } from '../src/crypto-provider.ts'
import { Wire } from './support/harness.ts'
import { assertRefused } from './support/outcome.ts'

const X25519MLKEM768 = 0x11ec
const options = { skip: hasMlKem ? false : 'this Node has no ML-KEM' }

test('a client that offers the hybrid gets it', options, async () => {
  const ca = await createThrowawayCa({})
  const { chainPem, privateKeyPem } = await ca.issue({ dnsNames: ['pq.test'] })
  const signer = createLocalSigner([
    { privateKey: createPrivateKey(privateKeyPem), publicKey: createPublicKey(chainPem) },
  ])
  const certificates = createCertificateStore({ hosts: [], default: [loadCredential({ chain: chainPem })] })
  const server = createTlsServer({ certificates, signer }, (socket) => void socket.end('hello'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    for (const [ecdhCurve, group] of [
      ['X25519MLKEM768', 'X25519MLKEM768'],
      ['X25519MLKEM768:X25519', 'X25519MLKEM768'],
      ['X25519', 'x25519'],
      ['P-384:X25519MLKEM768', 'X25519MLKEM768'], // through a HelloRetryRequest
    ] as const) {
      const served = once(server, 'secureConnection')
      const client = connect({
        host: '127.0.0.1',
        port,
        servername: 'pq.test',
        ca: ca.certificatePem,
        ecdhCurve,
      })
      assert.equal(String(Buffer.concat(await client.toArray())), 'hello')
      const [socket] = (await served) as [TlsSocket]
      assert.equal(socket.session.group, group)
    }
  } finally {
    server.close()
  }
})

/** An encapsulation key whose first coefficient is 0xfff, which is not below q = 3329 (FIPS 203 §7.2). */
function badKey(): Uint8Array {
  const share = new Uint8Array(1216)
  share.fill(0xff, 0, 2)
  return share
}

for (const [name, share] of [
  ['truncated by one', new Uint8Array(1215)],
  ['longer by one', new Uint8Array(1217)],
  ['only the ML-KEM key', new Uint8Array(1184)],
  ['a coefficient that is not below q', badKey()],
] as const) {
  test(`row 23: a hybrid share that is ${name} is refused before anything is signed`, options, () => {
    const hello = { groups: [X25519MLKEM768], keyShares: [{ group: X25519MLKEM768, share }] }
    assertRefused(new Wire({ hello }).start(), 'illegal_parameter')
  })
}

test('row 23: a hybrid share with a valid key and an X25519 point of low order is refused', options, () => {
  // All-zero coefficients are a valid encapsulation key; the all-zero point is of low order (RFC 7748 §6.1).
  const hello = {
    groups: [X25519MLKEM768],
    keyShares: [{ group: X25519MLKEM768, share: new Uint8Array(1216) }],
  }
  assertRefused(new Wire({ hello }).start(), 'illegal_parameter', { signCalls: 1 })
})
