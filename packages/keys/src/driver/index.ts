// What a driver is made of: the parts that those who ask a home outside this process have in common.
export { CallBudget, type CallLimits } from './call-budget.ts'
export type {
  DriverCall,
  DriverEntry,
  DriverObserver,
  DriverOperation,
  DriverOptions,
  DriverStore,
  KeyDriver,
  KeyHomeHealth,
} from './driver.ts'
export { ecdsaInput } from './ecdsa-input.ts'
export { ecdsaFromDer, ecdsaToDer, ORDER_BYTES } from './ecdsa-signature.ts'
export { isSignature, proveKey } from './key-proof.ts'
export { KeyTable } from './key-table.ts'
export { checkOperation } from './operation-input.ts'
export { RemoteCalls, type RemoteCallsOptions } from './remote-calls.ts'
export { type RemoteHome, RemoteKey, shortcoming } from './remote-key.ts'
export { logSigner, RemoteKeyStore, type RemoteService } from './remote-key-store.ts'
export { retryAfterMs } from './retry-after.ts'
export { checkSignatureShape } from './signature-shape.ts'
export { algorithmsOf, isPss } from '../algorithms.ts'
export { DIGEST_INFO, type DigestInfoHash } from '../digest-info.ts'
export { type SupportedHalf, supportedHalf } from '../supported-half.ts'
export { rsaBlock } from '../rsa-block.ts'
export { readSecretFile } from '../secret-file.ts'
export { rsaModulus } from '../ski.ts'
