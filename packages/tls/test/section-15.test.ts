// What the engine must refuse, class by class, and what must always hold: none of it may be without a test. A test says
// which class it is for at the start of its name: `row 17: every truncation of a ClientHello is refused`.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

/** The negative classes, by number. */
const ROWS: Readonly<Record<number, string>> = {
  1: 'record type 0, 24, 255',
  2: 'oversize plaintext and ciphertext records',
  3: 'zero-length handshake and alert records',
  4: '17 empty application data records',
  5: '33 change_cipher_spec',
  6: 'change_cipher_spec of value 2, of 2 bytes, after Finished, between fragments',
  7: 'all-zero inner plaintext',
  8: 'inner type 20, 24',
  9: 'each byte of a protected record flipped',
  10: 'replayed, dropped, swapped records',
  11: 'plaintext handshake after keys are on',
  12: 'application data before Finished',
  13: 'second ClientHello without HelloRetryRequest',
  14: 'a message skipped, duplicated, reordered: for every state, every other message type',
  15: 'extra bytes after ClientHello or Finished in the same record',
  16: 'a partial message before a key change',
  17: 'every truncation of a ClientHello',
  18: 'every length field one more, one less, zero, maximum',
  19: 'duplicate extension, also above 63 and GREASE',
  20: 'PSK not last; counts differ; binder wrong, short, from another transcript',
  21: 'PSK modes missing, only psk_ke, only unknown',
  22: 'ticket: bit flips, unknown key, expired, other tenant, name, hash, version, from the future',
  23: 'key share: wrong length, off the curve, compressed, infinity, low order, ML-KEM coefficients',
  24: 'duplicate share; share not in groups; empty share list leads to HelloRetryRequest',
  25: 'a second hello that changes what it may not',
  26: 'no common version, suite, group, scheme',
  27: 'only SHA-1 schemes; only RSA PKCS#1 v1.5 in TLS 1.3',
  28: 'legacy_version 0x0300; supported_versions of GREASE only',
  29: 'TLS_FALLBACK_SCSV',
  30: 'downgrade sentinel present in TLS 1.2, absent in TLS 1.3',
  31: 'compression lists [], [1], [0, 1]',
  32: 'server_name: empty list, empty name, two names, NUL, 256 bytes, unknown, absent',
  33: 'ALPN: empty list, empty name, no overlap',
  34: 'early data: none expected, within budget, over budget, after HelloRetryRequest, in the second hello',
  35: 'KeyUpdate: value 2, length 0 and 2, not record-aligned, flood, before Finished',
  36: 'post-handshake ClientHello, Certificate, NewSessionTicket',
  37: 'TLS 1.2: change_cipher_spec, ClientKeyExchange, Finished, renegotiation, EMS, point formats, groups',
  38: 'RSA key exchange: padding, version, length, short ciphertext: one alert, one sequence',
  39: 'client alert in each state; flood of warnings; alert of 1 or 3 bytes',
  40: 'FIN, RST, half-close in each state, the signer called off',
  41: 'signer rejects, times out, returns garbage, twice, after close',
  42: 'resumption while the signer is down',
  43: 'each limit, at it and one over',
  44: 'slow-loris by byte',
  45: 'HTTP plaintext and SSLv2 on the port',
  46: 'two connections interleaved: an exception in one leaves the other intact',
  47: 'no (key, nonce) pair twice over 10^6 records and after KeyUpdate',
  48: 'secrets never in util.inspect, errors, logs',
}

const PROPERTIES: Readonly<Record<string, string>> = {
  a: 'random mutation of recorded hellos throws nothing but TlsError',
  b: 'random sequences of valid messages connect in the two legal orders only',
  c: 'the same hello to this engine and to node:tls: the same choice or the same class of refusal',
  d: 'memory stays flat over failed handshakes',
}

/** The names that tests in this package start with, up to their colon: `row 17`, `property a`. */
function namedClasses(): ReadonlySet<string> {
  const folders = [
    './',
    '../src/',
    ...readdirSync(new URL('../src/', import.meta.url), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `../src/${name}/`),
  ]
  const names = new Set<string>()
  for (const folder of folders) {
    for (const file of readdirSync(new URL(folder, import.meta.url))) {
      if (!file.endsWith('.test.ts') || file === 'section-15.test.ts') continue
      const text = readFileSync(new URL(folder + file, import.meta.url), 'utf8')
      for (const [, name] of text.matchAll(/['"`]((?:row|property) \w+): /g)) names.add(name as string)
    }
  }
  return names
}

test('every class that must be tried has a test, and no test names another', () => {
  const wanted = [
    ...Object.keys(ROWS).map((row) => `row ${row}`),
    ...Object.keys(PROPERTIES).map((letter) => `property ${letter}`),
  ]
  assert.deepEqual([...namedClasses()].toSorted(), wanted.toSorted())
})
