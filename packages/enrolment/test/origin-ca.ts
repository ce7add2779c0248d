// An Origin CA on loopback: issues what it is asked for, or whatever else a test wants to have happen.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createThrowawayCa, type IssueOptions } from '@latchkey/throwaway-pki'

export const ca = await createThrowawayCa()

export interface Asked {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: { readonly csr: string; readonly hostnames: string[]; readonly [name: string]: unknown }
}

export type Answer = (response: ServerResponse, asked: Asked) => Promise<void> | void

export interface OriginCa extends AsyncDisposable {
  readonly endpoint: URL
  readonly asked: Asked[]
  answer: Answer
}

export async function startOriginCa(answer: Answer = issues()): Promise<OriginCa> {
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    request.on('end', () => {
      const { url = '', headers } = request
      const asked: Asked = { url, headers, body: JSON.parse(text) as Asked['body'] }
      originCa.asked.push(asked)
      void originCa.answer(response, asked)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const originCa: OriginCa = {
    endpoint: new URL(`http://127.0.0.1:${port}/client/v4/certificates/`),
    asked: [],
    answer,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return originCa
}

/** As the API does for a key server: every member of the result is a text; `members` replaces some. */
export function issues(
  options: IssueOptions = {},
  members: Readonly<Record<string, unknown>> = {},
  status = 200,
): Answer {
  return async (response, { body }) => {
    const { certificatePem } = await ca.issueForRequest(body.csr, { dnsNames: body.hostnames, ...options })
    const result = { id: '1', certificate: certificatePem, csr: body.csr, ...members }
    says(status, JSON.stringify({ success: true, errors: [], messages: [], result }))(response)
  }
}

export function says(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): (response: ServerResponse) => void {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(text)
  }
}

export function refuses(
  status: number,
  code: number,
  message: string,
  headers?: Readonly<Record<string, string>>,
): (response: ServerResponse) => void {
  const envelope = { success: false, errors: [{ code, message }], messages: [], result: null }
  return says(status, JSON.stringify(envelope), headers)
}
