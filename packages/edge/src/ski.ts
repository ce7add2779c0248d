// The name under which key servers know a key, from the public half that the edge has.
import { createHash } from 'node:crypto'
import { subjectPublicKey } from '@latchkey/core'

/**
 * SubjectKeyIdentifier by RFC 5280 §4.2.1.2 method 1: SHA-1 over the contents of the subjectPublicKey BIT STRING. It is
 * computed, not read from the certificate: a CA may have put anything there.
 *
 * @param spki SubjectPublicKeyInfo, DER.
 * @returns 20 bytes.
 * @throws {DecodeError} if `spki` is none.
 */
export function subjectKeyIdentifier(spki: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha1').update(subjectPublicKey(spki)).digest())
}
