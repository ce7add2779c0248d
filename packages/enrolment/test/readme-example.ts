import { enrol, type EnrolOptions, type Renewal, startRenewal, type Validity } from '@latchkey/enrolment'
import type { Logger } from '@latchkey/core'

/** Enrols, and keeps the certificate fresh until the renewal is stopped. */
export async function enrolAndRenew(
  order: EnrolOptions, // endpoint, credential, hostname, zoneId, files, now
  validity: () => Validity,
  reload: () => void,
  logger: Logger,
): Promise<Renewal> {
  await enrol(order)
  return startRenewal({ validity, enrol: (signal) => enrol({ ...order, signal }), reload, logger })
}
