// Who the client of a resumed session is. What was once true of it is not enough: the policy of today decides, about the
// certificate that the client showed in the handshake which the session began with.
import { reauthorizeClient } from '../client-certificate/client-certificate.ts'
import {
  type ClientAuthentication,
  type ClientCertificatePolicy,
  notShown,
} from '../client-certificate/policy.ts'
import type { ServerContext } from '../server-context.ts'
import { TicketFlag, type TicketState } from '../ticket/ticket-state.ts'

/**
 * Asks the policy. Signatures are verified for that, as many as in a full handshake: not before the client is admitted.
 *
 * @returns undefined: a full handshake follows, in which the client may show what it has now.
 */
export type AuthorizeAgain = () => ClientAuthentication | undefined

/** What is free to know. @returns undefined: the session cannot go on. */
export function resumedClient(
  { tickets, clock }: ServerContext,
  policy: ClientCertificatePolicy | undefined,
  { flags, clientChainHash }: TicketState,
): AuthorizeAgain | undefined {
  if (clientChainHash === undefined) {
    return policy?.isRequired === true ? undefined : () => notShown(policy)
  }
  const chain = tickets?.clientChains.find(clientChainHash)
  if (policy === undefined || chain === undefined) return undefined
  const wasAuthorized = (flags & TicketFlag.clientAuthorized) !== 0
  return () => reauthorizeClient({ chain, wasAuthorized }, policy, clock())
}
