// Each client × certificate × suite × group, and through a HelloRetryRequest, against the real processes.
import assert from 'node:assert/strict'
import { get } from 'node:https'
import { after, before, describe, test } from 'node:test'
import type { KeyAlgorithm } from '@latchkey/throwaway-pki'
import { type Finished, isInstalled, runCommand } from './support/command.ts'
import { startSystem, type System } from './support/system.ts'

const KEY_ALGORITHMS: readonly KeyAlgorithm[] = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'ed25519']
const SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'] as const
type Suite = (typeof SUITES)[number]

/** `retry`: the client's share is for a group we do not take, so that it is asked for another. */
const GROUPS = ['x25519', 'p256', 'retry'] as const
type Group = (typeof GROUPS)[number]

interface Visit {
  readonly host: string
  readonly suite: Suite
  readonly group: Group
}

const PAGE = 'a page from the origin'
let system: System

before(async () => {
  system = await startSystem({
    keyAlgorithms: KEY_ALGORITHMS,
    origin: (_request, response) => response.end(PAGE),
  })
})
after(() => system[Symbol.asyncDispose]())

interface Client {
  readonly program: string
  readonly visit: (visit: Visit) => Promise<Finished>
}

const OPENSSL_GROUPS: Readonly<Record<Group, string>> = {
  x25519: 'X25519',
  p256: 'P-256',
  retry: 'P-384:P-256',
}
const REQUEST = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

const CLIENTS: readonly Client[] = [
  {
    program: 'curl',
    visit: ({ host, suite, group }) => {
      const place = [`--connect-to`, `${host}:443:127.0.0.1:${system.edgePort}`, '--cacert', system.caFile]
      const choice = ['--tlsv1.3', '--tls13-ciphers', suite, '--curves', OPENSSL_GROUPS[group]]
      return runCommand('curl', [
        '--silent',
        '--show-error',
        '--verbose',
        ...place,
        ...choice,
        `https://${host}/`,
      ])
    },
  },
  {
    program: 'openssl',
    visit: ({ host, suite, group }) => {
      const place = [
        '-connect',
        `127.0.0.1:${system.edgePort}`,
        '-servername',
        host,
        '-verify_hostname',
        host,
      ]
      const trust = ['-CAfile', system.caFile, '-verify_return_error']
      const choice = ['-tls1_3', '-ciphersuites', suite, '-groups', OPENSSL_GROUPS[group]]
      const input = REQUEST(host)
      return runCommand('openssl', ['s_client', '-brief', '-ign_eof', ...place, ...trust, ...choice], {
        input,
      })
    },
  },
  {
    program: 'gnutls-cli',
    visit: ({ host, suite, group }) => {
      const place = [
        '--port',
        String(system.edgePort),
        '--sni-hostname',
        host,
        '--verify-hostname',
        host,
        '127.0.0.1',
      ]
      const priority = `NONE:+VERS-TLS1.3:+MAC-ALL:+SIGN-ALL:+CTYPE-X509:+${GNUTLS_CIPHERS[suite]}:${GNUTLS_GROUPS[group]}`
      const options = ['--x509cafile', system.caFile, '--priority', priority, '--single-key-share']
      return runCommand('gnutls-cli', [...options, ...place], { input: REQUEST(host) })
    },
  },
  { program: 'node', visit: visitWithNode },
]

const GNUTLS_CIPHERS: Readonly<Record<Suite, string>> = {
  TLS_AES_128_GCM_SHA256: 'AES-128-GCM',
  TLS_AES_256_GCM_SHA384: 'AES-256-GCM',
  TLS_CHACHA20_POLY1305_SHA256: 'CHACHA20-POLY1305',
}
const GNUTLS_GROUPS: Readonly<Record<Group, string>> = {
  x25519: '+GROUP-X25519',
  p256: '+GROUP-SECP256R1',
  retry: '+GROUP-SECP384R1:+GROUP-SECP256R1',
}

function visitWithNode({ host, suite, group }: Visit): Promise<Finished> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port: system.edgePort,
      servername: host,
      headers: { host },
      ca: system.caPem,
      agent: false,
    } as const
    const choice = { minVersion: 'TLSv1.3', ciphers: suite, ecdhCurve: OPENSSL_GROUPS[group] } as const
    const request = get({ ...options, ...choice }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('end', () => resolve({ code: 0, output: Buffer.concat(chunks).toString() }))
    })
    request.once('error', (error) => resolve({ code: 1, output: error.message }))
  })
}

for (const { program, visit } of CLIENTS) {
  describe(program, {
    skip: program === 'node' || isInstalled(program) ? false : `${program} is not installed`,
  }, () => {
    for (const keyAlgorithm of KEY_ALGORITHMS) {
      test(`${keyAlgorithm} certificate: every suite and group`, async () => {
        const host = `${keyAlgorithm}.site.test`
        for (const suite of SUITES) {
          for (const group of GROUPS) {
            const { code, output } = await visit({ host, suite, group })
            assert.equal(code, 0, `${suite} ${group}: ${output}`)
            assert.ok(output.includes(PAGE), `${suite} ${group}: no page in ${output}`)
          }
        }
      })
    }
  })
}
