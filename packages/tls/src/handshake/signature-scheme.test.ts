import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSchemeOf, SIGNATURE_SCHEMES } from './signature-scheme.ts'

test('an RSA key must have room for two hashes and two bytes to sign by PSS (RFC 8017 §9.1.1)', () => {
  const { rsa_pss_rsae_sha256, rsa_pss_rsae_sha384, rsa_pss_rsae_sha512, rsa_pkcs1_sha512 } =
    SIGNATURE_SCHEMES
  const rows = [
    { modulusLength: 521, schemes: [rsa_pkcs1_sha512] },
    { modulusLength: 522, schemes: [rsa_pkcs1_sha512, rsa_pss_rsae_sha256] },
    { modulusLength: 1024, schemes: [rsa_pkcs1_sha512, rsa_pss_rsae_sha256, rsa_pss_rsae_sha384] },
    {
      modulusLength: 2048,
      schemes: [rsa_pkcs1_sha512, rsa_pss_rsae_sha256, rsa_pss_rsae_sha384, rsa_pss_rsae_sha512],
    },
  ]
  const all = [rsa_pkcs1_sha512, rsa_pss_rsae_sha256, rsa_pss_rsae_sha384, rsa_pss_rsae_sha512]
  for (const { modulusLength, schemes } of rows) {
    const key = { asymmetricKeyType: 'rsa', asymmetricKeyDetails: { modulusLength } }
    assert.deepEqual(
      all.filter((scheme) => isSchemeOf(scheme, key)),
      schemes,
      `${modulusLength} bits`,
    )
  }
})

test('a scheme is for keys of its kind', () => {
  const { ed25519, rsa_pkcs1_sha256 } = SIGNATURE_SCHEMES
  assert.equal(isSchemeOf(ed25519, { asymmetricKeyType: 'ed25519' }), true)
  assert.equal(isSchemeOf(ed25519, { asymmetricKeyType: 'ec' }), false)
  assert.equal(isSchemeOf(rsa_pkcs1_sha256, { asymmetricKeyType: 'rsa-pss' }), false)
})
