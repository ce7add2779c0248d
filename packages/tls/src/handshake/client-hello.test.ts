import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { TlsError } from '../errors.ts'
import { readClientHello } from './client-hello.ts'
import { TLS13 } from './protocol-version.ts'

const path = new URL('../../test/vectors/client-hellos.json', import.meta.url)
const recorded = JSON.parse(readFileSync(path, 'utf8')) as {
  hellos: { client: string; recordsHex: string }[]
}
const HEADERS = 5 + 4 // record, handshake

for (const { client, recordsHex } of recorded.hellos) {
  const body = new Uint8Array(Buffer.from(recordsHex, 'hex')).subarray(HEADERS)

  test(`reads the hello of ${client}`, () => {
    const hello = readClientHello(body)
    assert.equal(hello.serverName, client.includes('P-521') ? '' : 'recorded.example')
    assert.equal(hello.supportedVersions?.includes(TLS13) ?? false, !client.includes('tls1_2'))
    assert.ok(hello.signatureAlgorithms?.includes(0x0403))
  })

  test(`refuses every strict prefix of the hello of ${client}`, () => {
    for (let length = 0; length < body.length; length++) {
      const read = (): unknown => readClientHello(body.subarray(0, length))
      // One prefix is a hello of its own: the one that ends before the extensions, as TLS 1.2 allows.
      if (length === extensionsAt(body))
        assert.deepEqual(readClientHello(body.subarray(0, length)).extensions, [])
      else
        assert.throws(
          read,
          (error) => error instanceof TlsError && error.code === 'ERR_TLS_DECODE',
          `${length} bytes`,
        )
    }
  })
}

/** Where the extension block of a hello begins: behind version, random, session id, suites and compression methods. */
function extensionsAt(body: Uint8Array): number {
  const suites = 34 + 1 + (body[34] as number)
  const compression = suites + 2 + (((body[suites] as number) << 8) | (body[suites + 1] as number))
  return compression + 1 + (body[compression] as number)
}
