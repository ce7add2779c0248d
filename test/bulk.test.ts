// A gigabyte through the edge: every byte right, memory flat.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { get } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { startSystem } from './support/system.ts'

const BYTES = 1024 ** 3
const CHUNK_BYTES = 64 * 1024
const SITE = 'ecdsa-p256.site.test'
const MAX_RSS_MB = 150

test('a 1 GB download is byte-exact and the edge stays below 150 MB', async () => {
  const sent = createHash('sha256')
  await using system = await startSystem({
    keyAlgorithms: ['ecdsa-p256'],
    origin: (_request, response) => {
      response.writeHead(200, { 'content-length': BYTES })
      void pipeline(Readable.from(chunks(sent)), response)
    },
  })
  const received = createHash('sha256')
  let bytes = 0
  let peakMb = 0
  const watch = setInterval(() => {
    peakMb = Math.max(peakMb, rssMb(system.edge.pid))
  }, 100)
  const startedAt = performance.now()
  try {
    await new Promise<void>((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: system.edgePort,
        servername: SITE,
        headers: { host: SITE },
        ca: system.caPem,
        agent: false,
      }
      get(options, (response) => {
        response.on('data', (chunk: Buffer) => {
          received.update(chunk)
          bytes += chunk.length
        })
        response.once('error', reject)
        response.once('end', resolve)
      }).once('error', reject)
    })
  } finally {
    clearInterval(watch)
  }
  const seconds = (performance.now() - startedAt) / 1000
  assert.equal(bytes, BYTES)
  assert.equal(received.digest('hex'), sent.digest('hex'))
  assert.ok(peakMb < MAX_RSS_MB, `the edge took ${peakMb.toFixed(0)} MB`)
  console.log(`1 GB in ${seconds.toFixed(1)} s, edge at most ${peakMb.toFixed(0)} MB`)
})

/** Each chunk differs from every other, so that a lost, doubled or swapped one shows. */
function* chunks(hash: ReturnType<typeof createHash>): Generator<Buffer> {
  for (let at = 0; at < BYTES; at += CHUNK_BYTES) {
    const chunk = Buffer.alloc(CHUNK_BYTES, at & 0xff)
    chunk.writeUInt32BE(at / CHUNK_BYTES)
    hash.update(chunk)
    yield chunk
  }
}

/** Resident memory of a process, from /proc (Linux). */
function rssMb(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}
