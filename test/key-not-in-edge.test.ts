// The reason for all of this: the edge serves HTTPS and its memory holds no site key.
import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { get } from 'node:https'
import { after, before, test } from 'node:test'
import type { KeyAlgorithm } from '@latchkey/throwaway-pki'
import { privateKeyNeedles, searchProcessMemory } from 'latchkey'
import { startSystem, type System } from './support/system.ts'

const KEY_ALGORITHMS: readonly KeyAlgorithm[] = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'ed25519']
const VISITS = 20

let system: System
before(async () => {
  system = await startSystem({
    keyAlgorithms: KEY_ALGORITHMS,
    origin: (_request, response) => response.end('page'),
  })
})
after(() => system[Symbol.asyncDispose]())

test('no secret number of a site key is in the memory of an edge that has served with it; each is in the key server', async () => {
  for (const { name } of system.sites) {
    for (let visit = 0; visit < VISITS; visit++) await fetchPage(name)
  }
  for (const { name, privateKeyPem } of system.sites) {
    const needles = privateKeyNeedles(createPrivateKey(privateKeyPem))
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
    assert.equal(sum(await searchProcessMemory(system.edge.pid, needles)), 0, `${name} in the edge`)
    assert.ok(
      sum(await searchProcessMemory(system.keyServer.pid, needles)) > 0,
      `${name} in the key server: the search works`,
    )
  }
})

function fetchPage(host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: system.edgePort,
      servername: host,
      headers: { host },
      ca: system.caPem,
      agent: false,
    }
    get(options, (response) => {
      response.resume()
      response.once('end', resolve)
    }).once('error', reject)
  })
}
