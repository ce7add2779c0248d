import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as check, property, string } from 'fast-check'
import { KeysError } from '@latchkey/keys'
import { readPkcs11Uri, withoutPin } from './uri.ts'

const MODULE = 'module-path=/m.so'

for (const { name, uri, want } of [
  {
    name: 'as gokeyless writes it',
    uri: `pkcs11:token=probe;id=%03?${MODULE}&pin-value=1234`,
    want: { token: 'probe', id: Buffer.of(3), modulePath: '/m.so', pinValue: '1234' },
  },
  {
    name: 'percent-decoded to bytes, and a plus is a plus',
    uri: `pkcs11:object=a%20b+c;id=%ff%00%41;token=%C3%A9?${MODULE}`,
    want: { object: 'a b+c', id: Buffer.of(0xff, 0, 0x41), token: 'é' },
  },
  {
    name: 'a PIN of user and password, as AWS CloudHSM has it',
    uri: `pkcs11:token=hsm1?${MODULE}&pin-value=patrick:donahue`,
    want: { pinValue: 'patrick:donahue' },
  },
  {
    name: 'by serial, with a module name, a PIN file, sessions and a public key',
    uri: 'pkcs11:serial=12ab?module-name=softhsm2&pin-source=file:/etc/pin&max-sessions=4&public-key=/k.pem',
    want: {
      serial: '12ab',
      moduleName: 'softhsm2',
      pinSource: 'file:/etc/pin',
      maxSessions: 4,
      publicKey: '/k.pem',
    },
  },
  { name: 'by slot', uri: `pkcs11:slot-id=7?${MODULE}`, want: { slotId: 7 } },
  {
    name: 'an upper-case scheme, and attributes that are read and not used',
    uri: `PKCS11:token=t;type=private;library-version=3;slot-description=x?${MODULE}`,
    want: { token: 't' },
  },
] as const) {
  test(`read: ${name}`, () => {
    const read = readPkcs11Uri(uri) as unknown as Record<string, unknown>
    for (const [member, value] of Object.entries(want)) assert.deepEqual(read[member], value, member)
  })
}

for (const { name, uri, says } of [
  { name: 'another scheme', uri: 'pkcs12:token=t', says: /does not begin/ },
  { name: 'no token', uri: `pkcs11:object=x?${MODULE}`, says: /names no token/ },
  { name: 'no module', uri: 'pkcs11:token=t', says: /one of module-path and module-name/ },
  { name: 'two modules', uri: `pkcs11:token=t?${MODULE}&module-name=m`, says: /one of/ },
  { name: 'an attribute that is not known', uri: `pkcs11:tokem=t?${MODULE}`, says: /"tokem" is not known/ },
  { name: 'an attribute twice', uri: `pkcs11:token=t;token=u?${MODULE}`, says: /twice/ },
  { name: 'an attribute without a value', uri: `pkcs11:token?${MODULE}`, says: /without a value/ },
  { name: 'half a percent sign', uri: `pkcs11:token=a%2?${MODULE}`, says: /two hexadecimal/ },
  { name: 'a blank', uri: `pkcs11:token=a b?${MODULE}`, says: /percent-encoded/ },
  { name: 'a slot that is no number', uri: `pkcs11:slot-id=x?${MODULE}`, says: /not a number/ },
  { name: 'both kinds of PIN', uri: `pkcs11:token=t?${MODULE}&pin-value=1&pin-source=/p`, says: /both/ },
  { name: 'a public key', uri: `pkcs11:token=t;type=public?${MODULE}`, says: /type=public/ },
  { name: 'no sessions', uri: `pkcs11:token=t?${MODULE}&max-sessions=0`, says: /max-sessions=0/ },
]) {
  test(`refused: ${name}`, () => {
    assert.throws(() => readPkcs11Uri(uri), { code: 'ERR_KEYS_URI', message: says })
  })
}

test('no error and no text shows the PIN', () => {
  const secret = 'sesame-opens'
  check(
    property(string(), string(), (before, after) => {
      for (const uri of [
        `pkcs11:token=${before}?pin-value=${secret}&${after}`,
        `pkcs11:${before}?${after}&pin-value=${secret}`,
        `pkcs11:token=t?${MODULE}&pin-value=${secret}&${after}`,
        `pkcs11:token=t?${MODULE}&pin-value=1&${secret}=${after}`,
        `pkcs11:token=t?pin-value=1&${secret}&${MODULE}`,
      ]) {
        try {
          assert.ok(!readPkcs11Uri(uri).text.includes(secret))
        } catch (cause) {
          assert.ok(cause instanceof KeysError)
          assert.ok(!cause.message.includes(secret))
        }
      }
    }),
  )
  assert.equal(withoutPin(`pkcs11:token=t?pin-value=${secret}&x=1`), 'pkcs11:token=t?pin-value=…&x=1')
})
