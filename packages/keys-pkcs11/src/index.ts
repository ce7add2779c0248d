// Private keys on PKCS#11 tokens, as a driver of @latchkey/keys.
export { openKeyStore, type Pkcs11Store } from './store.ts'
export { type Pkcs11Uri, readPkcs11Uri, withoutPin } from './uri.ts'
