// The peer of the edge: node:https in front of the same origin, with the key in the process and nothing but a pipe.
import { once } from 'node:events'
import { request } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { answerParent } from '../../test/support/child-side.ts'

interface Start {
  readonly certificatePem: string
  readonly privateKeyPem: string
  readonly originPort: number
}

answerParent(async ({ certificatePem, privateKeyPem, originPort }: Start) => {
  const server = createServer(
    { cert: certificatePem, key: privateKeyPem, minVersion: 'TLSv1.3' },
    (incoming, response) => {
      const outgoing = request(
        { host: '127.0.0.1', port: originPort, path: incoming.url, method: incoming.method },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.pipe(response)
        },
      )
      incoming.pipe(outgoing)
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
})
