// Private keys on PKCS#11 tokens, as a driver of @latchkey/keys, and what it takes to put keys there.
export {
  GENERATED_ALGORITHMS,
  type GeneratedAlgorithm,
  generateKey,
} from './admin/generate-key.ts'
export { type ListedKey, type ListedToken, listTokens } from './admin/list-tokens.ts'
export { openKeyStore, type Pkcs11Store } from './store.ts'
export { type Pkcs11Uri, readPkcs11Uri, withoutPin } from './uri.ts'
