// Private keys by SKI: the seam that drivers implement, and the keys in files.
export {
  type DriverEntry,
  type DriverObserver,
  type DriverOptions,
  type DriverStore,
  type KeyDriver,
  type KeyHomeHealth,
} from './driver/driver.ts'
export { blockingCalls, driverOf, URI_FORMS } from './driver/driver-names.ts'
export {
  importDriver,
  type KeyStoreEntry,
  KeyStores,
  type KeyStoresOptions,
  openKeyStores,
} from './driver/key-stores.ts'
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
