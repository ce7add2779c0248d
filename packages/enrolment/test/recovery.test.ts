// Every state that an enrolment can be killed in, made by hand, and what the next start makes of it.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { recoverPair } from '@latchkey/enrolment'
import { createThrowawayCa } from '@latchkey/throwaway-pki'

const ca = await createThrowawayCa()
const [before, after] = await Promise.all([
  ca.issue({ dnsNames: ['ks.example.com'] }),
  ca.issue({ dnsNames: ['ks.example.com'] }),
])
const OLD = { key: before.privateKeyPem, cert: before.certificatePem }
const NEW = { key: after.privateKeyPem, cert: after.certificatePem }

interface Row {
  name: string
  files: Readonly<Record<string, string>>
  outcome: ReturnType<typeof recoverPair>
  pair: typeof OLD
}

const ROWS: Row[] = [
  { name: 'nothing was begun', files: { key: OLD.key, cert: OLD.cert }, outcome: 'nothing', pair: OLD },
  {
    name: 'nothing was issued',
    files: { key: OLD.key, cert: OLD.cert, 'key.new': NEW.key, 'csr.new': 'x' },
    outcome: 'discarded',
    pair: OLD,
  },
  {
    name: 'half a certificate',
    files: { key: OLD.key, cert: OLD.cert, 'key.new': NEW.key, 'cert.new': NEW.cert.slice(0, 99) },
    outcome: 'discarded',
    pair: OLD,
  },
  {
    name: 'half a key and a whole certificate',
    files: { key: OLD.key, cert: OLD.cert, 'key.new': NEW.key.slice(0, 99), 'cert.new': NEW.cert },
    outcome: 'discarded',
    pair: OLD,
  },
  {
    name: 'all written, none renamed',
    files: { key: OLD.key, cert: OLD.cert, 'key.new': NEW.key, 'csr.new': 'x', 'cert.new': NEW.cert },
    outcome: 'completed',
    pair: NEW,
  },
  {
    name: 'the key renamed',
    files: { key: NEW.key, 'key.old': OLD.key, cert: OLD.cert, 'csr.new': 'x', 'cert.new': NEW.cert },
    outcome: 'completed',
    pair: NEW,
  },
  {
    name: 'the certificate renamed and the key not',
    files: { key: OLD.key, cert: NEW.cert, 'key.new': NEW.key },
    outcome: 'completed',
    pair: NEW,
  },
  {
    name: 'all renamed, the second name of the old key left',
    files: { key: NEW.key, cert: NEW.cert, 'key.old': OLD.key },
    outcome: 'nothing',
    pair: NEW,
  },
  {
    name: 'key and certificate renamed and the request not',
    files: { key: NEW.key, cert: NEW.cert, 'csr.new': 'x' },
    outcome: 'nothing',
    pair: NEW,
  },
  {
    name: 'the first enrolment ever',
    files: { 'key.new': NEW.key, 'csr.new': 'x', 'cert.new': NEW.cert },
    outcome: 'completed',
    pair: NEW,
  },
]

for (const { name, files, outcome, pair } of ROWS) {
  test(`recovery: ${name}`, () => {
    const path = mkdtempSync(join(tmpdir(), 'latchkey-recovery-'))
    try {
      for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
      const at = { cert: join(path, 'cert'), key: join(path, 'key'), csr: join(path, 'csr') }
      assert.equal(recoverPair(at), outcome)
      assert.deepEqual({ key: readFileSync(at.key, 'utf8'), cert: readFileSync(at.cert, 'utf8') }, pair)
      assert.ok(new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)))
      assert.doesNotMatch(readdirSync(path).join(' '), /\.(?:new|old)/)
      assert.equal(recoverPair(at), 'nothing')
    } finally {
      rmSync(path, { recursive: true, force: true })
    }
  })
}
