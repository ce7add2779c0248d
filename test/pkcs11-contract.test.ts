// The contract of key stores on a real PKCS#11 module, SoftHSM2.
import { generateKeyPairSync } from 'node:crypto'
import { after, test } from 'node:test'
import { keyStoreContract } from '@latchkey/keys/contract'
import { openKeyStore } from '@latchkey/keys-pkcs11'
import { isSoftHsmInstalled, SoftHsm } from './support/softhsm.ts'

const TOKEN = 'contract'

if (isSoftHsmInstalled()) {
  const hsm = new SoftHsm()
  Object.assign(process.env, hsm.env)
  after(() => hsm[Symbol.dispose]())
  keyStoreContract('SoftHSM2', async () => {
    hsm.addToken(TOKEN)
    const pairs = {
      p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
      p521: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
      rsa2048: generateKeyPairSync('rsa', { modulusLength: 2048 }),
      rsa3072: generateKeyPairSync('rsa', { modulusLength: 3072 }),
      ed25519: generateKeyPairSync('ed25519'),
    }
    for (const [index, [name, { privateKey }]] of Object.entries(pairs).entries()) {
      hsm.importKey(TOKEN, privateKey, name, `a${index}`)
    }
    const store = await openKeyStore(
      Object.keys(pairs).map((name) => ({ uri: hsm.uri(TOKEN, name) })),
      {},
    )
    return { store, publicKeys: Object.values(pairs).map(({ publicKey }) => publicKey) }
  })
} else {
  test('key store contract: SoftHSM2', { skip: 'softhsm2 and opensc are not installed' }, () => {})
}
