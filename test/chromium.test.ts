// A browser that people use: headless Chromium, HTTP/2, the post-quantum hybrid, and resumption.
import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { after, before, describe, test } from 'node:test'
import {
  createCertificateStore,
  createLocalSigner,
  createTlsServer,
  loadCredential,
  type Session,
  type TlsSocket,
} from '@latchkey/tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { failLateWrites } from '../packages/tls/src/socket/http2-late-writes.ts'
import { Browser } from './support/chromium.ts'
import { isInstalled } from './support/command.ts'

const HOST = 'browser.site.test'
const BODY_BYTES = 75_000
const BODIES = 40
/** More than the engine waits for a client that does not close. */
const CLOSE_MS = 10_000
/** `fetchAll()` asks for more at a time than one flow-control window or one record holds. */
const PAGE = `<!doctype html><title>a page</title><script>
async function fetchAll() {
  const answers = await Promise.all(Array.from({ length: ${BODIES} }, (_, nth) => fetch('/body?' + nth)))
  const texts = await Promise.all(answers.map((answer) => answer.text()))
  return texts.filter((text, nth) => text === String(nth).padStart(${BODY_BYTES}, 'x')).length
}</script>`

let server: Server
let trustedKey: string
let signatures = 0
/** Of each TLS connection, in the order they came. */
const sessions: Session[] = []
const open = new Map<TlsSocket, ServerHttp2Session>()

before(async () => {
  const ca = await createThrowawayCa()
  const { chainPem, privateKeyPem } = await ca.issue({ dnsNames: [HOST] })
  const privateKey = createPrivateKey(privateKeyPem)
  const publicKey = createPublicKey(privateKey)
  trustedKey = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64')
  const signer = createLocalSigner([{ privateKey, publicKey }])
  const credential = loadCredential({ chain: chainPem })
  const options = {
    certificates: createCertificateStore({ hosts: [{ serverNames: [HOST], credentials: [credential] }] }),
    signer: {
      sign: (...args: Parameters<typeof signer.sign>) => {
        signatures++
        return signer.sign(...args)
      },
    },
    alpnProtocols: ['h2'],
  }
  server = createTlsServer(options, serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
after(async () => {
  await closeConnections()
  server.close()
})

function serve(socket: TlsSocket): void {
  sessions.push(socket.session)
  const http2 = performServerHandshake(socket).on('error', () => {}) // the browser is killed in the end
  failLateWrites(http2)
  open.set(socket, http2)
  socket.once('close', () => open.delete(socket))
  http2.on('stream', (stream: ServerHttp2Stream, { ':path': path = '/' }) => {
    const nth = /^\/body\?(\d+)$/.exec(path)?.[1]
    stream.respond({ ':status': 200, 'content-type': 'text/html' })
    stream.end(nth === undefined ? PAGE : nth.padStart(BODY_BYTES, 'x'))
  })
}

/** As a server does that has heard nothing for a while: politely, but not without end. */
async function closeConnections(): Promise<void> {
  const closed = [...open].map(async ([socket, http2]) => {
    http2.close()
    const deadline = setTimeout(() => socket.destroy(), CLOSE_MS)
    await new Promise((resolve) => socket.once('close', resolve)) // also after an error
    clearTimeout(deadline)
  })
  await Promise.all(closed)
}

const ROWS = [
  { browserArguments: [], protocol: 'TLS 1.3', group: 'X25519MLKEM768', ours: 'TLSv1.3' },
  { browserArguments: ['--ssl-version-max=tls1.2'], protocol: 'TLS 1.2', group: 'X25519', ours: 'TLSv1.2' },
] as const

describe('headless Chromium', { skip: isInstalled('chromium') ? false : 'chromium is not installed' }, () => {
  for (const { browserArguments, protocol, group, ours } of ROWS) {
    test(`${protocol}: HTTP/2, ${group}, and a second connection`, { timeout: 120_000 }, async () => {
      await using browser = await Browser.start({ hosts: [HOST], trustedKey, browserArguments })
      const url = `https://${HOST}:${(server.address() as AddressInfo).port}/`
      const visit = async (): Promise<void> => {
        const { status, protocol: alpnProtocol, securityDetails } = await browser.visit(url)
        assert.deepEqual({ status, alpnProtocol }, { status: 200, alpnProtocol: 'h2' })
        assert.equal(securityDetails.protocol, protocol)
        assert.equal(securityDetails.keyExchangeGroup, group)
        assert.equal(securityDetails.subjectName, HOST)
        assert.equal(await browser.evaluate('fetchAll()'), BODIES)
      }

      sessions.length = 0
      await visit() // Chromium may open a second connection on speculation: full as well, and closed with the first
      assert.ok(sessions.every(({ isResumed }) => !isResumed))
      const { length: firstConnections } = sessions
      await closeConnections()
      const before = signatures
      await visit()
      const later = sessions.slice(firstConnections)
      assert.ok(later.length > 0)
      assert.ok(later.every(({ protocol: spoken, isResumed }) => spoken === ours && isResumed))
      assert.equal(signatures, before)
    })
  }
})
