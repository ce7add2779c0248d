// Throw-away certificate authorities and keys for demos and tests.
export { KEY_ALGORITHMS, type KeyAlgorithm } from './key-algorithm.ts'
export {
  type CaOptions,
  createSelfSigned,
  createThrowawayCa,
  EXTENDED_KEY_USAGES,
  type ExtendedKeyUsageName,
  type ExtensionOption,
  type Issued,
  type IssueOptions,
  type ThrowawayCa,
} from './throwaway-ca.ts'
