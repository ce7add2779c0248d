// The one question to Cloudflare's Origin CA, or to whoever speaks its API: a certificate for this key server.
import { boundedLine, type Envelope, errorsText, readEnvelope } from './envelope.ts'
import { EnrolmentError, type EnrolmentErrorCode } from './errors.ts'
import { post, type Response } from './post.ts'

/** An API token, or the older Origin CA key ("v1.0-…"). */
export interface Credential {
  readonly kind: 'api-token' | 'service-key'
  readonly secret: string
}

export interface CertificateOrder {
  readonly endpoint: URL
  readonly credential: Credential
  readonly hostname: string
  readonly zoneId: string
  readonly csrPem: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** For HTTPS_PROXY and NO_PROXY. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

/** The API's "not authorised" for an Origin CA certificate, and its general one. */
const NOT_AUTHORISED = [1016, 10000]
const PERMISSION_HINT = 'the token needs Zone > SSL and Certificates > Edit for this zone'

/**
 * Resolves with the text of `result.certificate`.
 *
 * @throws {EnrolmentError} with status, and the API's own code and words, in its detail; never the credential.
 */
export async function orderCertificate(order: CertificateOrder): Promise<string> {
  const { endpoint, credential, hostname, zoneId, csrPem, timeoutMs, signal, env } = order
  const response = await post({
    url: endpoint,
    timeoutMs,
    signal,
    env,
    headers: {
      ...(credential.kind === 'api-token'
        ? { authorization: `Bearer ${credential.secret}` }
        : { 'x-auth-user-service-key': credential.secret }),
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': 'latchkey',
    },
    body: JSON.stringify({
      request_type: 'keyless-certificate',
      hostnames: [hostname],
      zone_id: zoneId,
      csr: csrPem,
    }),
  })
  const envelope = readEnvelope(response.body)
  const isSuccess = response.status >= 200 && response.status < 300
  if (isSuccess && envelope?.isSuccess === true && envelope.certificate !== undefined) {
    return envelope.certificate
  }
  throw failureOf(response, envelope, order)
}

function failureOf(response: Response, envelope: Envelope | undefined, order: CertificateOrder): Error {
  const { status } = response
  const said = envelope === undefined ? '' : errorsText(envelope.errors, order.credential.secret)
  const fail = (code: EnrolmentErrorCode, ...parts: string[]): EnrolmentError =>
    new EnrolmentError(code, {
      detail: [`${order.endpoint.host} answered ${status}`, said, ...parts].filter(Boolean).join(': '),
      retryAfterMs: retryAfterMs(response.headers['retry-after']),
    })
  if (status >= 300 && status < 400) {
    const target = boundedLine(response.headers.location ?? '').replaceAll(order.credential.secret, '')
    return fail('ERR_ENROLMENT_RESPONSE', `a redirect to ${target}, not followed; set init_endpoint`)
  }
  if (status === 408 || status === 429 || status >= 500) return fail('ERR_ENROLMENT_UNAVAILABLE')
  if (envelope === undefined) {
    return fail(status >= 400 ? 'ERR_ENROLMENT_REFUSED' : 'ERR_ENROLMENT_RESPONSE', 'it is not JSON')
  }
  if (status < 300 && envelope.isSuccess) return fail('ERR_ENROLMENT_RESPONSE', 'no certificate is in it')
  const isNotAuthorised =
    status === 401 || status === 403 || envelope.errors.some(({ code }) => NOT_AUTHORISED.includes(code ?? 0))
  return fail('ERR_ENROLMENT_REFUSED', isNotAuthorised ? PERMISSION_HINT : '')
}

/** Seconds or a date, RFC 9110 §10.2.3. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}
