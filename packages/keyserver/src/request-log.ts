// The lines that operators grep for, in the wording of the key server they know.
import type { Logger } from '@latchkey/core'
import type { Failure } from './answer.ts'
import type { KeyRequest } from './key-request.ts'

export function logArrival(logger: Logger, request: KeyRequest): void {
  if (request.contextFlaw !== undefined) {
    logger.error(
      `connection ${request.client.peer}: request context unreadable: ${request.contextFlaw}`,
      request.fields,
    )
  }
  if (!logger.isEnabled('debug')) return
  const { client, opcodeName, id, serverName, serverIp, skiHex, requestId } = request
  logger.debug(
    `connection ${client.peer}: limited=false opcode=${opcodeName} id=${id} sni=${serverName} ip=${serverIp} ski=${skiHex} request-id=${requestId}`,
    request.fields,
  )
}

export function logLookup(logger: Logger, request: KeyRequest, isFound: boolean): void {
  if (!logger.isEnabled('info')) return
  logger.info(`${isFound ? 'fetch' : 'no'} key with SKI: ${request.skiHex}`, request.fields)
}

export function logFailure(logger: Logger, request: KeyRequest, { stage, reason }: Failure): void {
  if (!logger.isEnabled('error')) return
  const { client, serverName, serverIp, skiHex, certId, requestId } = request
  logger.error(
    stage === 'operation'
      ? `operation from client ${client.names} client cert serial: ${client.serial} errored. sni ${serverName} ski ${skiHex} cert ${certId} request-id ${requestId}: ${reason}`
      : `failed to load key with sni= ${serverName} ip= ${serverIp} ski= ${skiHex} request-id= ${requestId}: ${reason}`,
    request.fields,
  )
}
