// The README says what the code does: the tables are compared, the example is loaded.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CONFIG_ERRORS, loadEdgeConfig, MEMORY_SEARCH_ERRORS } from 'latchkey'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { KEY_SERVER_ROWS } from '../src/config/key-server-settings.ts'
import { temporaryFolder } from './config-fixture.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('the README lists every error code with its text', () => {
  const rows = [...readme.matchAll(/^\| `(ERR_\w+)` +\| (.+?) +\|$/gm)].map(([, code, text]) => [code, text])
  assert.deepEqual(rows, Object.entries({ ...CONFIG_ERRORS, ...MEMORY_SEARCH_ERRORS }))
})

test('the README lists every setting of the key server', () => {
  const listed = [...readme.matchAll(/^\| `([a-z_]+)` +\| .+ +\| .+ +\|$/gm)].map(([, name]) => name)
  assert.deepEqual(new Set(listed), new Set(KEY_SERVER_ROWS.map(([name]) => name)))
})

test('the edge configuration of the README can be loaded', async () => {
  using folder = temporaryFolder()
  const ca = await createThrowawayCa()
  const site = await ca.issue({ dnsNames: ['www.example.com', '*.shop.example.com'] })
  for (const name of ['keyserver-ca.pem', 'edge.pem', 'www.example.com.pem'])
    folder.write(name, site.chainPem)
  folder.write('edge-key.pem', site.privateKeyPem)
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? []
  folder.write('latchkey-edge.yaml', yaml)
  const config = loadEdgeConfig({ cwd: folder.path })
  assert.deepEqual(config.hosts[0]?.serverNames, ['www.example.com', '*.shop.example.com'])
  assert.deepEqual(config.warnings, [])
})
