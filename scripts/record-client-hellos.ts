// Records the ClientHellos of the TLS clients on this machine into packages/tls/test/vectors/client-hellos.json.
// Run it to add a client or to refresh one; the fuzzer and the parser's tests start from these bytes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'

const CLIENTS: Readonly<Record<string, (port: number) => readonly string[]>> = {
  curl: (port) => [
    'curl',
    '-sk',
    '--connect-to',
    `recorded.example:443:127.0.0.1:${port}`,
    'https://recorded.example/',
  ],
  'curl with http/2': (port) => [
    'curl',
    '-sk',
    '--http2',
    '--connect-to',
    `recorded.example:443:127.0.0.1:${port}`,
    'https://recorded.example/',
  ],
  'openssl s_client -tls1_3': (port) => [
    'openssl',
    's_client',
    '-connect',
    `127.0.0.1:${port}`,
    '-servername',
    'recorded.example',
    '-tls1_3',
    '-alpn',
    'h2,http/1.1',
  ],
  'openssl s_client -tls1_2': (port) => [
    'openssl',
    's_client',
    '-connect',
    `127.0.0.1:${port}`,
    '-servername',
    'recorded.example',
    '-tls1_2',
  ],
  'openssl s_client with status and P-521': (port) => [
    'openssl',
    's_client',
    '-connect',
    `127.0.0.1:${port}`,
    '-noservername',
    '-status',
    '-groups',
    'P-521:X25519',
  ],
  'gnutls-cli': (port) => [
    'gnutls-cli',
    '--insecure',
    '--sni-hostname',
    'recorded.example',
    '-p',
    String(port),
    '127.0.0.1',
  ],
  'node:tls': (port) => [
    process.execPath,
    '-e',
    `require('tls').connect({ port: ${port}, servername: 'recorded.example', rejectUnauthorized: false }).on('error', () => {})`,
  ],
}

const hellos = []
for (const [client, command] of Object.entries(CLIENTS))
  hellos.push({ client, recordsHex: await record(command) })
const target = new URL('../packages/tls/test/vectors/client-hellos.json', import.meta.url)
writeFileSync(
  target,
  `${JSON.stringify({ source: 'node scripts/record-client-hellos.ts', hellos }, null, 2)}\n`,
)

/** The first bytes the client sends, until it waits. */
async function record(command: (port: number) => readonly string[]): Promise<string> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const [program = '', ...args] = command((server.address() as AddressInfo).port)
  const child = spawn(program, args, { stdio: 'ignore' })
  const [socket] = await once(server, 'connection')
  const [bytes] = await once(socket, 'data')
  socket.destroy()
  server.close()
  child.kill()
  return (bytes as Buffer).toString('hex')
}
