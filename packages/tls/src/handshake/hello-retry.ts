// What a second ClientHello may change. RFC 8446 §4.1.2.
import { refuse } from '../errors.ts'
import type { ClientHello, Extension } from './client-hello.ts'
import { ExtensionType } from './extension-type.ts'

/** Extensions that our HelloRetryRequest lets the client change, add or drop. A cookie is not among them: we give none. */
const MAY_CHANGE: ReadonlySet<number> = new Set([
  ExtensionType.key_share,
  ExtensionType.early_data,
  ExtensionType.pre_shared_key,
  ExtensionType.padding,
])

/**
 * @throws {TlsError} ERR_TLS_ILLEGAL_PARAMETER if anything else differs, or the share is not the one asked for;
 * ERR_TLS_MISSING_EXTENSION if there is none.
 */
export function checkSecondHello(first: ClientHello, second: ClientHello, group: number): void {
  const same =
    first.legacyVersion === second.legacyVersion &&
    equal(first.random, second.random) &&
    equal(first.legacySessionId, second.legacySessionId) &&
    equalLists(first.cipherSuites, second.cipherSuites) &&
    equal(first.legacyCompressionMethods, second.legacyCompressionMethods)
  if (!same) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'second ClientHello changes a field')
  checkExtensions(first.extensions.filter(isFixed), second.extensions.filter(isFixed))
  // §4.2.10: early data must not be sent after a HelloRetryRequest.
  if (second.hasEarlyData) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'early_data in the second ClientHello')
  // RFC 8446 §9.2: supported_groups, which has not changed, never comes without it.
  if (second.keyShares === undefined)
    refuse('ERR_TLS_MISSING_EXTENSION', 'key_share in the second ClientHello')
  if (second.keyShares.length !== 1 || second.keyShares[0]?.group !== group) {
    refuse('ERR_TLS_ILLEGAL_PARAMETER', 'second ClientHello does not carry exactly the share asked for')
  }
}

function checkExtensions(first: readonly Extension[], second: readonly Extension[]): void {
  const same =
    first.length === second.length &&
    first.every((extension, index) => {
      const other = second[index]
      return other !== undefined && other.type === extension.type && equal(other.body, extension.body)
    })
  if (!same) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'second ClientHello changes an extension')
}

function isFixed({ type }: Extension): boolean {
  return !MAY_CHANGE.has(type)
}

/** Public bytes: no need for constant time. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

function equalLists(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}
