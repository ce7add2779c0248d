// One POST with a deadline and a bound on what comes back; redirects are not followed: a credential goes with it.
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { EnrolmentError } from './errors.ts'

/** A certificate chain and its envelope are a few kilobytes. */
const MAX_RESPONSE_BYTES = 256 * 1024

export interface Post {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** From the first packet to the last. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** HTTPS_PROXY and NO_PROXY are taken from here; they are for https alone. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

export interface Response {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** @throws {EnrolmentError} ERR_ENROLMENT_UNREACHABLE, _TIMEOUT, _RESPONSE; what `signal` is aborted with. */
export async function post({ url, headers, body, timeoutMs, signal, env }: Post): Promise<Response> {
  const deadline = AbortSignal.timeout(timeoutMs)
  const isHttps = url.protocol === 'https:'
  const agent = isHttps ? new HttpsAgent(env === undefined ? {} : { proxyEnv: env }) : new HttpAgent()
  try {
    return await new Promise<Response>((resolve, reject) => {
      const request = (isHttps ? httpsRequest : httpRequest)(url, {
        method: 'POST',
        agent,
        headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
        signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
      })
      request.on('error', reject)
      request.on('response', (response) => void collect(response).then(resolve, reject))
      request.end(body)
    })
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof EnrolmentError) throw cause
    if (deadline.aborted) {
      throw new EnrolmentError('ERR_ENROLMENT_TIMEOUT', { detail: `${url.host}, ${timeoutMs} ms` })
    }
    const { code, message } = cause as NodeJS.ErrnoException
    const isTrust = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code ?? '')
    const hint = isTrust ? '; a CA of your own is trusted through NODE_EXTRA_CA_CERTS' : ''
    throw new EnrolmentError('ERR_ENROLMENT_UNREACHABLE', {
      detail: `${url.host}: ${code ?? message}${hint}`,
      cause,
    })
  } finally {
    agent.destroy()
  }
}

async function collect(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_RESPONSE_BYTES) {
      response.destroy()
      throw new EnrolmentError('ERR_ENROLMENT_RESPONSE', { detail: `more than ${MAX_RESPONSE_BYTES} bytes` })
    }
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks).toString('utf8')
  return { status: response.statusCode ?? 0, headers: response.headers, body }
}
