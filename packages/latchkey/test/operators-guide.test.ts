// docs/keyserver.md names commands, settings, metrics and files: they exist.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { KEY_SERVER_ROWS } from '../src/config/key-server-settings.ts'
import { readPolicyFile } from '../src/config/policy-file.ts'
import { run } from '../src/program.ts'
import { temporaryFolder } from './config-fixture.ts'

const guideUrl = new URL('../../../docs/keyserver.md', import.meta.url)
const guide = readFileSync(guideUrl, 'utf8')
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const commands = [...guide.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text).join('\n')
const hereDocument = (file: string): string =>
  new RegExp(`cat >>? \\S*${file} <<'END'\\n([\\s\\S]*?)^END$`, 'm').exec(commands)?.[1] ?? ''

test("the guide's latchkey commands have only flags that the help lists", async () => {
  const lines = [...commands.matchAll(/^latchkey ([a-z]+)(.*)$/gm)]
  assert.ok(lines.length > 5)
  for (const [line, command = '', rest = ''] of lines) {
    let help = ''
    const out = (text: string): void => void (help += text)
    await run([command, '--help'], { env: {}, cwd: '/', out, err: out })
    for (const [flag] of rest.matchAll(/--[a-z-]+/g)) {
      assert.ok(stripVTControlCharacters(help).includes(`${flag} `), `${flag} of: ${line}`)
    }
  }
})

test("the guide's settings are settings, and its metrics are in the README", () => {
  const settings = new Set<string>(KEY_SERVER_ROWS.map(([name]) => name))
  const blocks = [
    hereDocument('gokeyless.yaml'),
    ...[...guide.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text]) => text),
  ]
  const inYaml = blocks.join('\n').matchAll(/^([a-z_]+):/gm)
  for (const [, name = ''] of inYaml) assert.ok(settings.has(name), name)
  for (const [, name = ''] of guide.matchAll(/\b((?:latchkey|keyless|certificate)_[a-z_]+)/g)) {
    if (name === 'keyless_cacert') continue
    assert.ok(readme.includes(name.replace(/_(?:count|bucket|sum)$/, '')), name)
  }
  for (const [, name = ''] of guide.matchAll(/\W((?:audit|policy|listen|metrics|auth|pid|api)_[a-z_]+)/g)) {
    assert.ok(settings.has(name), name)
  }
})

test("the guide's policy can be read", () => {
  using folder = temporaryFolder()
  folder.write('policy.yaml', hereDocument('policy.yaml'))
  const { rules } = readPolicyFile(`${folder.path}/policy.yaml`)
  assert.equal(rules.length, 1)
  assert.equal(rules[0]?.scopedOnly, true)
})

test("the guide's links lead somewhere", () => {
  for (const [, target = ''] of guide.matchAll(/\]\(([^)#]+)/g)) {
    assert.ok(existsSync(new URL(target, guideUrl)), target)
  }
})
