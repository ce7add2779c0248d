// The last question before a client costs us: everything that is free has been checked, nothing asymmetric has been done.
import type { Credential } from '../credential/credential.ts'
import { refuse } from '../errors.ts'
import type { GroupName } from './named-group.ts'
import type { Handshake } from './steps.ts'

export interface Cost {
  /** undefined: no key exchange. */
  readonly group: GroupName | undefined
  readonly isResumed: boolean
  /** Whose private key will be asked for; undefined: none. */
  readonly keyOf: Credential | undefined
}

/** @throws {TlsError} ERR_TLS_SIGNER_BUSY, ERR_TLS_NOT_ADMITTED */
export function admit({ context, clientAddress }: Handshake, { group, isResumed, keyOf }: Cost): void {
  // First what takes no token.
  if (keyOf !== undefined && context.signerLoad.isFull(keyOf))
    refuse('ERR_TLS_SIGNER_BUSY', keyOf.names[0] ?? 'a certificate without names')
  const refusal = context.admission.refusal({ isResumed, group, clientAddress })
  if (refusal !== undefined) refuse('ERR_TLS_NOT_ADMITTED', refusal)
}
