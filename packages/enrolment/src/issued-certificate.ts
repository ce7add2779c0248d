// Whether the certificate that came is the one that was asked for.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { EnrolmentError } from './errors.ts'

/** RFC 5280 §4.2.1.12, serverAuth. */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

export interface Expected {
  readonly privateKeyPem: string
  readonly hostname: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

/**
 * The certificates of `text` and nothing else of it, leaf first.
 *
 * @throws {EnrolmentError} ERR_ENROLMENT_CERTIFICATE
 */
export function checkIssuedCertificate(text: string, { privateKeyPem, hostname, now }: Expected): string {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []
  const [leaf] = blocks.map(parse)
  if (leaf === undefined) throw wrong('no certificate is in it')
  if (!leaf.checkPrivateKey(createPrivateKey(privateKeyPem))) throw wrong('it is for another key')
  const isNamed =
    isIP(hostname) === 0 ? leaf.checkHost(hostname, { subject: 'never' }) : leaf.checkIP(hostname)
  if (isNamed === undefined) throw wrong(`it is not for ${hostname}`)
  const { validFromDate, validToDate, keyUsage } = leaf
  if (now < validFromDate.getTime()) {
    throw wrong(`it begins on ${validFromDate.toISOString()}: is the clock of this machine right?`)
  }
  if (now >= validToDate.getTime()) throw wrong(`it ended on ${validToDate.toISOString()}`)
  // node:crypto gives the extended key usages under that name; undefined: none are said, any is allowed.
  if (keyUsage !== undefined && !keyUsage.includes(SERVER_AUTH)) throw wrong('it is not for a server')
  return blocks.map((block) => `${block.replaceAll('\r', '')}\n`).join('')
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch {
    throw wrong('it cannot be parsed')
  }
}

function wrong(detail: string): EnrolmentError {
  return new EnrolmentError('ERR_ENROLMENT_CERTIFICATE', { detail })
}
