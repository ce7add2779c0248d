// An HTTP origin that answers /<n> with n bytes.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerParent } from '../support/child-side.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'latchkey ')

answerParent(async () => {
  const server = createServer((request, response) => {
    let left = Number(request.url?.slice(1))
    response.writeHead(200, { 'content-length': left })
    const write = (): void => {
      while (left > 0) {
        const chunk = CHUNK.subarray(0, Math.min(left, CHUNK.length))
        left -= chunk.length
        if (!response.write(chunk)) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    write()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
})
