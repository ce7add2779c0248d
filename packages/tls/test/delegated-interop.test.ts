// A client that somebody else wrote takes our delegated credentials: tstclnt of NSS, the library of Firefox
// (libnss3-tools on Debian).
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import {
  createCertificateStore,
  createLocalSigner,
  createTlsServer,
  type Credential,
  DelegatedCredentials,
  loadCredential,
  type Session,
  type SignaturePurpose,
  type Signer,
} from '@latchkey/tls'
import { isInstalled, runCommand } from './support/command.ts'
import { HOST, listen, until } from './support/socket-server.ts'

const NAME = 'www.example.com'
const skip = ['tstclnt', 'certutil'].every(isInstalled) ? false : 'NSS tools are not installed'

/** A database of NSS that trusts one authority; the caller removes the folder. */
async function trusting(caPem: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-nss-'))
  const caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, caPem)
  await runCommand('certutil', ['-N', '-d', folder, '--empty-password'])
  await runCommand('certutil', ['-A', '-d', folder, '-n', 'ca', '-t', 'C,,', '-a', '-i', caFile])
  return folder
}

interface Seen {
  readonly code: number | null
  readonly sessions: readonly Session[]
  readonly signed: readonly SignaturePurpose[]
}

/** Two connections of tstclnt to a server that delegates. */
async function connectTwice(keyAlgorithm: KeyAlgorithm, accepts: boolean): Promise<Seen> {
  const ca = await createThrowawayCa()
  const { chainPem, privateKeyPem } = await ca.issue({ dnsNames: [NAME], keyAlgorithm, isDelegation: true })
  const privateKey = createPrivateKey(privateKeyPem)
  const local = createLocalSigner([{ privateKey, publicKey: createPublicKey(privateKey) }])
  const signed: SignaturePurpose[] = []
  const signer: Signer = {
    sign: (request, signal) => {
      signed.push(request.purpose)
      return local.sign(request, signal)
    },
  }
  const credential: Credential = loadCredential({ chain: chainPem })
  await using delegatedCredentials = new DelegatedCredentials({ signer })
  delegatedCredentials.add(credential)
  await until(() => delegatedCredentials.current(credential).length > 0)
  const sessions: Session[] = []
  const certificates = createCertificateStore({ hosts: [], default: [credential] })
  const server = createTlsServer({ certificates, signer, delegatedCredentials, tickets: false }, (socket) => {
    sessions.push(socket.session)
    socket.on('error', () => {}).end('hello')
  })
  await using listening = await listen(server)
  const folder = await trusting(ca.certificatePem)
  try {
    let code: number | null = 0
    for (let count = 0; count < 2; count++) {
      const target = [
        '-h',
        HOST,
        '-a',
        NAME,
        '-p',
        String(listening.port),
        '-d',
        folder,
        '-V',
        'tls1.3:tls1.3',
        '-Q',
      ]
      const run = await runCommand('tstclnt', accepts ? [...target, '-B'] : target)
      code ||= run.code
    }
    await until(() => sessions.length === 2)
    return { code, sessions, signed }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

for (const keyAlgorithm of ['ecdsa-p256', 'ecdsa-p384'] as const) {
  test(`NSS takes a delegated credential of a ${keyAlgorithm} certificate`, { skip }, async () => {
    const { code, sessions, signed } = await connectTwice(keyAlgorithm, true)
    assert.equal(code, 0)
    for (const { usedDelegatedCredential, signatureScheme } of sessions)
      assert.deepEqual([usedDelegatedCredential, signatureScheme], [true, 'ecdsa_secp256r1_sha256'])
    assert.deepEqual(signed, ['delegated-credential'])
  })
}

test('NSS that does not accept delegated credentials gets none', { skip }, async () => {
  const { code, sessions, signed } = await connectTwice('ecdsa-p256', false)
  assert.equal(code, 0)
  assert.ok(sessions.every(({ usedDelegatedCredential }) => !usedDelegatedCredential))
  assert.deepEqual(signed, ['delegated-credential', 'tls13-server-cv', 'tls13-server-cv'])
})
