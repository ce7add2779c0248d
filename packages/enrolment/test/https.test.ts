// The endpoint over HTTPS: nobody who is not trusted gets the credential.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ca } from './origin-ca.ts'

test('an endpoint that is not trusted is not asked; one of a CA that NODE_EXTRA_CA_CERTS names is', async () => {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-https-'))
  const { chainPem, privateKeyPem } = await ca.issue({ ipAddresses: ['127.0.0.1'] })
  let asked = 0
  const server = createServer({ cert: chainPem, key: privateKeyPem }, (request, response) => {
    asked++
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => void issue(text).then((answer) => response.end(answer)))
  })
  async function issue(text: string): Promise<string> {
    const { csr, hostnames } = JSON.parse(text) as { csr: string; hostnames: string[] }
    const { certificatePem } = await ca.issueForRequest(csr, { dnsNames: hostnames })
    return JSON.stringify({ success: true, result: { certificate: certificatePem } })
  }
  try {
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const { port } = server.address() as AddressInfo
    const caFile = join(path, 'ca.pem')
    writeFileSync(caFile, ca.certificatePem)
    const enrolOnce = async (env: Record<string, string>): Promise<string> => {
      const module = fileURLToPath(new URL('enrol-once.ts', import.meta.url))
      const args = [module, `https://127.0.0.1:${port}/`, path]
      return (await promisify(execFile)(process.execPath, args, { env })).stdout
    }
    assert.match(await enrolOnce({}), /^ERR_ENROLMENT_UNREACHABLE .*NODE_EXTRA_CA_CERTS\n$/)
    assert.equal(asked, 0)
    assert.equal(await enrolOnce({ NODE_EXTRA_CA_CERTS: caFile }), 'enrolled\n')
    assert.equal(asked, 1)
    assert.match(readFileSync(join(path, 'server.pem'), 'utf8'), /BEGIN CERTIFICATE/)
    // A proxy that nobody runs: it is tried in place of the endpoint.
    const proxied = { NODE_EXTRA_CA_CERTS: caFile, HTTPS_PROXY: 'http://127.0.0.1:9' }
    assert.match(await enrolOnce(proxied), /^ERR_ENROLMENT_UNREACHABLE/)
    assert.equal(await enrolOnce({ ...proxied, NO_PROXY: '127.0.0.1' }), 'enrolled\n')
  } finally {
    server.close()
    server.closeAllConnections()
    rmSync(path, { recursive: true, force: true })
  }
})
