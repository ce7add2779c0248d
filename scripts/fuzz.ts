// Fuzzes what parses bytes from strangers: the wire framer, the ClientHello, a connection, one million inputs each by
// default; and client certificates, a tenth of that, because OpenSSL parses each.
//   node scripts/fuzz.ts [count] [seed]
// A finding prints the seed and the input; the same seed gives the same inputs.
import { readFileSync } from 'node:fs'
import { fuzzClientCertificate, fuzzClientHello, fuzzServerConnection } from '@latchkey/tls/fuzz'
import { fuzzFramer, runFuzz } from '@latchkey/wire/fuzz'

const count = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31)

const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
const recorded = new URL('../packages/tls/test/vectors/client-hellos.json', import.meta.url)
const { hellos } = JSON.parse(readFileSync(recorded, 'utf8')) as { hellos: { recordsHex: string }[] }
const records = hellos.map(({ recordsHex }) => new Uint8Array(Buffer.from(recordsHex, 'hex')))
const bodies = records.map((bytes) => bytes.subarray(RECORD_HEADER + HANDSHAKE_HEADER))

const trace = new URL('../packages/tls/test/vectors/rfc8448-client-authentication.json', import.meta.url)
const { messages } = JSON.parse(readFileSync(trace, 'utf8')) as { messages: Record<string, string> }
const certificates = ['certificate', 'clientCertificate'].map((name) =>
  new Uint8Array(Buffer.from(messages[name] ?? '', 'hex')).subarray(HANDSHAKE_HEADER),
)

const targets = [
  { name: 'wire framer', run: { target: fuzzFramer } },
  { name: 'ClientHello parser', run: { target: fuzzClientHello, corpus: bodies } },
  { name: 'TLS server connection', run: { target: fuzzServerConnection, corpus: records } },
  {
    name: 'client certificate',
    run: { target: fuzzClientCertificate, corpus: certificates, count: Math.ceil(count / 10) },
  },
]
for (const { name, run } of targets) {
  const startedAt = performance.now()
  const options = { count, seed, ...run }
  const { bytes } = runFuzz(options)
  const seconds = (performance.now() - startedAt) / 1000
  console.log(
    `${name}: ${options.count} inputs, ${bytes} bytes, seed ${seed}, ${seconds.toFixed(1)} s: values and our errors only`,
  )
}
