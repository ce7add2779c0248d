// Runs in a process of its own (memory.test.ts): what signing and loading leave behind, and where secrets can be found.
//   node --expose-gc memory-probe.ts <key file> <control file>
// Prints one line of JSON, a MemoryReport.
import { readFileSync } from 'node:fs'
import { getHeapSnapshot } from 'node:v8'
import { openFileStore } from '../src/index.ts'

export interface MemoryReport {
  /** Bytes of resident memory outside the JavaScript heap that were added. */
  readonly signing: number
  readonly reloading: number
  /** How many lines of each file's PEM text a heap snapshot holds. */
  readonly keyLinesInHeap: number
  readonly controlLinesInHeap: number
}

const [keyFile, controlFile] = process.argv.slice(2) as [string, string]
const store = await openFileStore([{ file: keyFile }])
const [key] = store.list()
if (key === undefined) throw new Error('no key')
const algorithm = key.keyType === 'rsa' ? 'rsa_pkcs1_sha256' : 'ecdsa_sha256'
const digest = new Uint8Array(32).fill(1)

const sign = (count: number): void => {
  for (let done = 0; done < count; done++) key.sign(algorithm, digest)
}
const reload = async (count: number): Promise<void> => {
  for (let done = 0; done < count; done++) await store.reload()
}

sign(2000)
await reload(200)
const start = nativeBytes()
sign(20_000)
const signed = nativeBytes()
await reload(3000)
const reloaded = nativeBytes()

// The control shows that the search finds what is there: the same kind of file, kept as text.
const control = { text: readFileSync(controlFile, 'utf8') }
const heap = await heapSnapshot()
const report: MemoryReport = {
  signing: signed - start,
  reloading: reloaded - signed,
  keyLinesInHeap: linesFound(heap, keyFile),
  controlLinesInHeap: control.text.length > 0 ? linesFound(heap, controlFile) : 0,
}
console.log(JSON.stringify(report))
await store[Symbol.asyncDispose]()

function nativeBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { rss, heapTotal, external } = process.memoryUsage()
  return rss - heapTotal - external
}

async function heapSnapshot(): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk as string | Uint8Array))
  return Buffer.concat(chunks)
}

/** Lines of the PEM body, looked for as bytes, so that the search leaves no text of its own. */
function linesFound(heap: Buffer, path: string): number {
  const bytes = readFileSync(path)
  let found = 0
  for (let at = bytes.indexOf('\n') + 1; at > 0; at = bytes.indexOf('\n', at) + 1) {
    const line = bytes.subarray(at, bytes.indexOf('\n', at))
    if (line.length >= 32 && line[0] !== 0x2d && heap.includes(line)) found++
  }
  return found
}
