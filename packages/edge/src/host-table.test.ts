import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EdgeError } from './errors.ts'
import { HostTable } from './host-table.ts'

const table = new HostTable<string>()
  .add(['example.com', '*.example.com'], 'site')
  .add(['Shop.Example.com', 'xn--bcher-kva.example'], 'shop')
  .add(['localhost', '*.a.b.example.com'], 'deep')

for (const [name, expected] of [
  ['example.com', 'site'],
  ['EXAMPLE.com', 'site'],
  ['example.com.', 'site'],
  ['www.example.com', 'site'],
  ['shop.example.com', 'shop'],
  ['xn--bcher-kva.example', 'shop'],
  ['localhost', 'deep'],
  ['x.a.b.example.com', 'deep'],
  ['a.www.example.com', undefined],
  ['com', undefined],
  ['', undefined],
  ['.', undefined],
  ['.example.com', undefined],
  ['*.example.com', undefined],
  ['evilexample.com', undefined],
  ['__proto__', undefined],
] as const) {
  test(`host table: ${JSON.stringify(name)} leads to ${expected}`, () => {
    assert.equal(table.find(name), expected)
  })
}

for (const names of [
  ['exa mple.com'],
  ['*'],
  ['a.*.com'],
  ['-a.com'],
  ['a..b'],
  [''],
  ['192.0.2.1:80'],
  ['a'.repeat(64)],
  ['example.com', 'EXAMPLE.COM.'],
]) {
  test(`host table refuses ${JSON.stringify(names).slice(0, 60)}`, () => {
    assert.throws(
      () => new HostTable<string>().add(names, 'x'),
      (error) => error instanceof EdgeError && error.code === 'ERR_EDGE_HOST',
    )
  })
}

test('host table refuses a name that another entry has', () => {
  assert.throws(() => new HostTable<string>().add(['a.example'], 'x').add(['A.example'], 'y'), {
    code: 'ERR_EDGE_HOST',
  })
})
