// Throw-away certificate authorities and keys for demos and tests.
export { KEY_ALGORITHMS, type KeyAlgorithm } from './key-algorithm.ts'
export {
  type CaOptions,
  createThrowawayCa,
  EXTENDED_KEY_USAGES,
  type ExtendedKeyUsageName,
  type Issued,
  type IssueOptions,
  type ThrowawayCa,
} from './throwaway-ca.ts'
