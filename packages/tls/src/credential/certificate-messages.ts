// The Certificate messages of one credential: each form is made when a client first asks for it, then kept. What differs
// is what is stapled (only what the client asked for, RFC 8446 §4.4.2) and whether it is compressed (RFC 8879).
import type { ClientHello } from '../handshake/client-hello.ts'
import { writeCertificate } from '../handshake/server-messages.ts'
import {
  compressCertificate,
  type CompressedCertificates,
  selectCompressedCertificate,
} from './certificate-compression.ts'
import { requestedStaples, type Staples, writeCertificateEntryExtensions } from './stapling.ts'

/** What decides about the form. */
export type CertificateWishes = Pick<
  ClientHello,
  'requestsOcsp' | 'requestsTimestamps' | 'certificateCompressions'
>

interface Form {
  readonly message: Uint8Array
  /** undefined: no client has asked yet. Compressing takes some tenths of a millisecond, once. */
  compressed: CompressedCertificates | undefined
}

export class CertificateMessages {
  readonly #chain: readonly Uint8Array[]
  readonly #staples: Staples
  readonly #delegatedCredential: Uint8Array | undefined
  // At most four: with and without each staple.
  readonly #forms = new Map<string, Form>()

  /**
   * @param chain DER, leaf first
   * @param delegatedCredential is in each form: only for clients that accept it.
   */
  constructor(chain: readonly Uint8Array[], staples: Staples = {}, delegatedCredential?: Uint8Array) {
    this.#chain = chain
    this.#staples = staples
    this.#delegatedCredential = delegatedCredential
  }

  /** The whole Certificate or CompressedCertificate message: constant bytes that all handshakes share. */
  select(wishes: CertificateWishes): Uint8Array {
    const { certificateCompressions } = wishes
    const form = this.#form(requestedStaples(wishes, this.#staples))
    if (certificateCompressions === undefined) return form.message
    form.compressed ??= compressCertificate(form.message)
    return selectCompressedCertificate(form.compressed, certificateCompressions) ?? form.message
  }

  #form(staples: Staples): Form {
    const name = `${staples.ocsp === undefined ? '' : 'ocsp'},${staples.sct === undefined ? '' : 'sct'}`
    const known = this.#forms.get(name)
    if (known !== undefined) return known
    const extensions = { ...staples, delegatedCredential: this.#delegatedCredential }
    const message = writeCertificate(this.#chain, writeCertificateEntryExtensions(extensions))
    const form: Form = { message, compressed: undefined }
    this.#forms.set(name, form)
    return form
  }
}
