// The README says what is true: its example runs, its tables are those of the source.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { describe, it } from 'node:test'
import { CIPHER_SUITES, NAMED_GROUPS, type Signer, TLS_ERRORS } from '@latchkey/tls'
import { createSite } from './readme-example.ts'
import { testCertificate } from './support/certificate.ts'
import { signatureFor } from './support/harness.ts'
import { collect, event, HOST, listen } from './support/socket-server.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const readme = text('../README.md')

/** The rows of the table under a heading, cell by cell, without the head. */
function table(heading: string): string[][] {
  const section = readme.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const rows = section.match(/^\|.+\|$/gm) ?? []
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
}

/** The properties of an interface, as its source has them. */
function properties(path: string, name: string): string[] {
  const body = new RegExp(`interface ${name} [^{]*\\{\\n(.*?)\\n\\}`, 's').exec(text(path))?.[1] ?? ''
  return Array.from(body.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, property]) => property as string)
}

describe('the README of tls', () => {
  it('shows the example that is run here', async () => {
    assert.ok(readme.includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
    // A signer that is somewhere else: the answer takes its time.
    const signer: Signer = {
      sign: async (request) => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return signatureFor(request)
      },
    }
    const { chainPem } = testCertificate('p256')
    await using site = await listen(createSite(chainPem, signer))
    const asked = request({
      port: site.port,
      host: HOST,
      servername: 'www.example.com',
      headers: { host: 'www.example.com' },
      ca: chainPem,
      allowPartialTrustChain: true,
      agent: false,
    }).end()
    const [response] = (await event(asked, 'response')) as [NodeJS.ReadableStream]
    assert.equal((await collect(response)).toString(), 'hello, www.example.com')
  })

  it('lists every error code with its alert and text, and no other', () => {
    assert.deepEqual(
      table('Errors'),
      Object.entries(TLS_ERRORS).map(([code, { alert, text }]) => [
        `\`${code}\``,
        alert === undefined ? '–' : `\`${alert}\``,
        text,
      ]),
    )
    const mentioned = new Set(readme.match(/ERR_TLS_\w+/g))
    assert.deepEqual(mentioned, new Set(Object.keys(TLS_ERRORS)))
  })

  it('lists every option of a server, and no other', () => {
    const context = properties('../src/server-context.ts', 'ServerContextOptions')
    const server = properties('../src/socket/server.ts', 'TlsServerOptions')
    assert.ok(context.includes('certificates') && server.includes('signer'))
    const listed = table('Servers').map(([name]) => name?.replaceAll('`', ''))
    assert.deepEqual(new Set(listed), new Set([...context, ...server]))
    assert.equal(listed.length, new Set(listed).size)
  })

  it('names the cipher suites of TLS 1.3 in their order, and groups that there are', () => {
    const suites = readme.match(/TLS_(?:AES|CHACHA20)\w+/g) ?? []
    assert.deepEqual(suites.slice(0, 3), Object.keys(CIPHER_SUITES))
    const groups = /^- Groups ((?:.|\n)+?)\.\s+Certificates/m.exec(readme)?.[1] ?? ''
    const named = Array.from(groups.matchAll(/`(\w+)`/g), ([, name]) => name)
    assert.deepEqual(named, Object.keys(NAMED_GROUPS))
  })
})
