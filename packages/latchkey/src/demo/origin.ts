// The site behind the demo's edge: a page that says what reached it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ExitCode } from '../process/exit-code.ts'
import { EXIT } from '../process/exit-code.ts'
import { untilAskedToEnd } from '../process/lifecycle.ts'
import { logTo } from '../process/log-output.ts'
import type { Console } from '../process/console.ts'

/** Serves on a free port of 127.0.0.1 until asked to end. */
export async function runDemoOrigin(console: Console): Promise<ExitCode> {
  const logger = logTo(console.err, 'text', 'info')
  const server = createServer((request, response) => {
    const { host = '', forwarded = '' } = request.headers
    const body = `Hello from the origin.\nYou asked for ${request.method} ${request.url} of ${host}.\nForwarded: ${forwarded}\n`
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(body)
  })
  const askedToEnd = untilAskedToEnd({ logger, reload: () => Promise.resolve() })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { address, port } = server.address() as AddressInfo
  logger.info(`Listening at http://${address}:${port}`)
  await askedToEnd
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  return EXIT.ok
}
