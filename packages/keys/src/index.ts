// Private keys by SKI: the seam that drivers implement, and the keys in files.
export { KEYS_ERRORS, KeysError, type KeysErrorCode, type KeysErrorDetail } from './errors.ts'
export {
  FileStore,
  type FileStoreEntry,
  type FileStoreOptions,
  openFileStore,
  type PreparedReload,
  type ReloadSummary,
  type Share,
} from './file-store.ts'
export { type LoadKeyOptions, loadPrivateKey, type NativePrivateKey } from './native-key.ts'
export {
  type BackgroundOperations,
  type KeyStore,
  type KeyType,
  type MaybePromise,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from './private-key.ts'
export { modulusDigest, SKI_BYTES, subjectKeyIdentifier } from './ski.ts'
