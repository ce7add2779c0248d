import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TlsError } from '../errors.ts'
import { type ClientHello, readClientHello } from '../handshake/client-hello.ts'
import { namedGroup } from '../handshake/named-group.ts'
import { cipherSuite12 } from './cipher-suite12.ts'
import { readHelloExtensions12 } from './hello-extensions12.ts'
import {
  ecdhParameters,
  keyExchangeContent,
  readClientKeyExchange,
  SERVER_HELLO_DONE,
  withDowngradeSentinel,
  writeCertificate12,
  writeNewSessionTicket12,
  writeServerHello12,
  writeServerKeyExchange,
} from './messages12.ts'

const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex')
const of = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))

const random = Uint8Array.from({ length: 32 }, (_, index) => index)
const suite = cipherSuite12('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256')
const NOTHING_OFFERED = {
  hasExtendedMasterSecret: false,
  hasRenegotiationInfo: false,
  hasPointFormats: false,
  sessionTicket: undefined,
}
const fields = {
  random,
  sessionId: new Uint8Array(0),
  suite,
  offered: NOTHING_OFFERED,
  alpnProtocol: undefined,
  hasServerName: false,
  hasSessionTicket: false,
  staples: {},
  recordSizeLimit: undefined,
}

test('a ServerHello answers what was offered, in full', () => {
  const offered = {
    hasExtendedMasterSecret: true,
    hasRenegotiationInfo: true,
    hasPointFormats: true,
    sessionTicket: of('aa'),
  }
  const answer = { alpnProtocol: 'h2', hasServerName: true, hasSessionTicket: true, sessionId: of('0102') }
  const message = writeServerHello12({ ...fields, ...answer, offered })
  assert.equal(
    hex(message),
    `0200004a 0303 ${hex(random)} 02 0102 c02f 00
      0020 0000 0000 ff01 0001 00 0017 0000 000b 0002 0100 0023 0000 0010 0005 0003 02 6832`.replaceAll(
      /\s/g,
      '',
    ),
  )
})

test('a ServerHello to a client without extensions has no extension block', () => {
  assert.equal(hex(writeServerHello12(fields)), `020000260303${hex(random)}00c02f00`)
})

test('the downgrade sentinel is the end of the random value', () => {
  const marked = withDowngradeSentinel(new Uint8Array(random))
  assert.equal(hex(marked), `${hex(random.subarray(0, 24))}444f574e47524401`)
})

test('Certificate, ServerKeyExchange and ServerHelloDone have the form of RFC 5246 and RFC 8422', () => {
  assert.equal(hex(writeCertificate12([of('aabb'), of('cc')])), '0b00000c000009000002aabb000001cc')
  const parameters = ecdhParameters(namedGroup('secp256r1'), of('04010203'))
  assert.equal(hex(parameters), '0300170404010203')
  const exchange = writeServerKeyExchange(parameters, 'rsa_pkcs1_sha256', of('ddee'))
  assert.equal(hex(exchange), '0c00000e 0300170404010203 0401 0002 ddee'.replaceAll(' ', ''))
  assert.equal(hex(SERVER_HELLO_DONE), '0e000000')
  const content = keyExchangeContent({ client: of('01'), server: of('02') }, parameters)
  assert.equal(hex(content), '01020300170404010203')
})

test('NewSessionTicket has the form of RFC 5077, also without a ticket', () => {
  assert.equal(
    hex(writeNewSessionTicket12(64_800, of('aabb'))),
    '0400000800 00fd20 0002 aabb'.replaceAll(' ', ''),
  )
  assert.equal(hex(writeNewSessionTicket12(64_800, undefined)), '04000006000000000000')
})

test('ClientKeyExchange holds one point and nothing else', () => {
  assert.equal(hex(readClientKeyExchange(of('03aabbcc'))), 'aabbcc')
  for (const bad of ['', '01', '03aabb', '03aabbccdd']) {
    assert.throws(() => readClientKeyExchange(of(bad)), { code: 'ERR_TLS_DECODE' }, bad)
  }
})

/** A ClientHello with these suites and extensions. */
function hello(extensions: string, suites = 'c02f'): ClientHello {
  const block = of(extensions)
  const length = block.length.toString(16).padStart(4, '0')
  const suiteBytes = of(suites)
  return readClientHello(
    of(`0303 ${hex(random)} 00 ${suiteBytes.length.toString(16).padStart(4, '0')}${hex(suiteBytes)} 0100
      ${length}${hex(block)}`),
  )
}

for (const { name, extensions, suites, expected } of [
  { name: 'nothing', extensions: '', expected: {} },
  {
    name: 'extended_master_secret',
    extensions: '0017 0000',
    expected: { hasExtendedMasterSecret: true },
  },
  { name: 'renegotiation_info', extensions: 'ff01 0001 00', expected: { hasRenegotiationInfo: true } },
  { name: 'the SCSV', extensions: '', suites: 'c02f00ff', expected: { hasRenegotiationInfo: true } },
  {
    name: 'point formats, uncompressed not first',
    extensions: '000b 0003 02 0100',
    expected: { hasPointFormats: true },
  },
  { name: 'unknown extensions', extensions: '1a1a 0001 00 0016 0000', expected: {} },
  { name: 'no ticket yet', extensions: '0023 0000', expected: { sessionTicket: of('') } },
  { name: 'a ticket', extensions: '0023 0002 aabb', expected: { sessionTicket: of('aabb') } },
]) {
  test(`TLS 1.2 extensions: ${name}`, () => {
    assert.deepEqual(readHelloExtensions12(hello(extensions, suites)), { ...NOTHING_OFFERED, ...expected })
  })
}

for (const { name, extensions, code } of [
  { name: 'extended_master_secret with a byte', extensions: '0017 0001 00', code: 'ERR_TLS_DECODE' },
  { name: 'renegotiation_info of no bytes', extensions: 'ff01 0000', code: 'ERR_TLS_DECODE' },
  { name: 'renegotiation_info with trailing bytes', extensions: 'ff01 0002 0000', code: 'ERR_TLS_DECODE' },
  {
    name: 'renegotiation_info of a connection that was',
    extensions: 'ff01 000d 0c 000102030405060708090a0b',
    code: 'ERR_TLS_HANDSHAKE_FAILURE',
  },
  { name: 'no point format', extensions: '000b 0001 00', code: 'ERR_TLS_DECODE' },
  { name: 'point formats cut short', extensions: '000b 0002 02 00', code: 'ERR_TLS_DECODE' },
  {
    name: 'only compressed points',
    extensions: '000b 0003 02 0102',
    code: 'ERR_TLS_ILLEGAL_PARAMETER',
  },
]) {
  test(`TLS 1.2 extensions refused: ${name}`, () => {
    assert.throws(
      () => readHelloExtensions12(hello(extensions)),
      (error) => error instanceof TlsError && error.code === code,
    )
  })
}
