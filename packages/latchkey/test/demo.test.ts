// The parts of the demo; the whole of it is run by the end-to-end tests.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadEdgeConfig, loadKeyServerConfig } from 'latchkey'
import { Child, ChildFailure } from '../src/demo/child.ts'
import { curlArguments } from '../src/demo/fetch-page.ts'
import { inventory } from '../src/demo/inventory.ts'
import { buildStage, SITE_NAME, type Stage, writeEdgeConfig } from '../src/demo/stage.ts'
import { temporaryFolder } from './config-fixture.ts'

async function stage(): Promise<Stage & Disposable> {
  let remove = (): void => {}
  const built = await buildStage((remover) => {
    remove = remover
  })
  return { ...built, [Symbol.dispose]: remove }
}

function sitePublicKey({ siteKeyFile }: Stage): Buffer {
  const key = createPublicKey(createPrivateKey(readFileSync(siteKeyFile)))
  return key.export({ format: 'der', type: 'spki' })
}

test('demo: the folder is private to the user, both configurations in it are good, and it goes away', async () => {
  let folder: string
  {
    using scene = await stage()
    folder = scene.folder
    writeEdgeConfig(scene, 2407, 8080)
    for (const path of [folder, scene.edgeFolder, scene.keyServerFolder])
      assert.equal(statSync(path).mode & 0o777, 0o700)
    for (const name of readdirSync(scene.edgeFolder))
      assert.equal(statSync(join(scene.edgeFolder, name)).mode & 0o777, 0o600, name)
    assert.equal(statSync(scene.siteKeyFile).mode & 0o777, 0o600)
    const edge = loadEdgeConfig({ cwd: scene.edgeFolder })
    assert.deepEqual(edge.hosts[0]?.serverNames, [SITE_NAME])
    assert.deepEqual(edge.warnings, [])
    const keyServer = loadKeyServerConfig({ cwd: scene.keyServerFolder })
    assert.deepEqual([keyServer.listen.port, keyServer.warnings], [0, []])
  }
  assert.equal(existsSync(folder), false)
})

test('demo: the inventory of the edge tells certificates, its own key and the key of the site apart', async () => {
  using scene = await stage()
  const spki = sitePublicKey(scene)
  const before = inventory(scene.edgeFolder, spki)
  assert.deepEqual(
    before.map(({ name, kind, isSiteKey, belongsTo }) => [name, kind, isSiteKey, belongsTo]),
    [
      ['client-key.pem', 'private key', false, 'client.pem'],
      ['client.pem', 'certificate', false, undefined],
      ['key-server-ca.pem', 'certificate', false, undefined],
      ['site.pem', 'certificate', false, undefined],
    ],
  )
  // Under any name: it is found by what it is.
  writeFileSync(join(scene.edgeFolder, 'notes.txt'), readFileSync(scene.siteKeyFile))
  assert.deepEqual(
    inventory(scene.edgeFolder, spki).filter(({ isSiteKey }) => isSiteKey),
    [{ name: 'notes.txt', kind: 'private key', isSiteKey: true, belongsTo: 'site.pem' }],
  )
})

test('demo: curl is kept from proxies and personal configuration', () => {
  assert.deepEqual(curlArguments({ name: 'a.test', port: 1, caFile: '/ca' }), [
    '-q',
    '--noproxy',
    '*',
    '--cacert',
    '/ca',
    '--resolve',
    'a.test:1:127.0.0.1',
    'https://a.test:1/',
  ])
})

test('demo: a process that fails is told with its last lines', async () => {
  using folder = temporaryFolder()
  await using child = new Child({ name: 'edge', args: ['edge'], cwd: folder.path, env: {} })
  await assert.rejects(child.line(/Listening/), (error) => {
    assert.ok(error instanceof ChildFailure)
    assert.equal(error.message, 'the edge process ended with exit code 1')
    assert.match(error.lastLines.join('\n'), /ERR_CONFIG_FILE[\s\S]*no such file/)
    return true
  })
})
