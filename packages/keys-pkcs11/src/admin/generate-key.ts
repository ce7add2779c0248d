// A key pair made on a token, never to leave it.
import { randomBytes } from 'node:crypto'
import { KeysError } from '@latchkey/keys'
import { CK, cryptokiError, type Mechanism } from '../cryptoki.ts'
import { modulePath } from '../module-path.ts'
import { Pkcs11Module } from '../module.ts'
import { type Attribute, findObjects, named } from '../objects.ts'
import { readPin } from '../pin.ts'
import { Token } from '../token.ts'
import { readPkcs11Uri } from '../uri.ts'

interface KeyForm {
  readonly mechanism: number
  /** Of the public half. */
  readonly attributes: readonly Attribute[]
}

const ec = (hex: string, mechanism: number = CK.CKM_EC_KEY_PAIR_GEN): KeyForm => ({
  mechanism,
  attributes: [{ type: CK.CKA_EC_PARAMS, value: Buffer.from(hex, 'hex') }],
})
const rsa = (bits: number): KeyForm => ({
  mechanism: CK.CKM_RSA_PKCS_KEY_PAIR_GEN,
  attributes: [
    { type: CK.CKA_MODULUS_BITS, value: bits },
    { type: CK.CKA_PUBLIC_EXPONENT, value: Buffer.of(1, 0, 1) },
  ],
})

/** Object identifiers in DER: RFC 5480 §2.1.1.1, RFC 8410 §3. */
const FORMS = {
  'ecdsa-p256': ec('06082a8648ce3d030107'),
  'ecdsa-p384': ec('06052b81040022'),
  'ecdsa-p521': ec('06052b81040023'),
  'rsa-2048': rsa(2048),
  'rsa-3072': rsa(3072),
  'rsa-4096': rsa(4096),
  ed25519: ec('06032b6570', CK.CKM_EC_EDWARDS_KEY_PAIR_GEN),
} as const satisfies Record<string, KeyForm>
export type GeneratedAlgorithm = keyof typeof FORMS
export const GENERATED_ALGORITHMS = Object.keys(FORMS) as readonly GeneratedAlgorithm[]

const ID_BYTES = 8
/** RSA-4096 on a smart card takes a minute. */
const TIMEOUT_MS = 180_000

/**
 * Makes a key pair under the label, and the CKA_ID, of the URI; without an id a random one.
 *
 * @returns the CKA_ID.
 * @throws {KeysError} ERR_KEYS_URI if there is a private key of that name already: nothing is replaced.
 */
export async function generateKey(
  uri: string,
  algorithm: GeneratedAlgorithm,
  { env }: { readonly env?: NodeJS.ProcessEnv | undefined } = {},
): Promise<Uint8Array> {
  const read = readPkcs11Uri(uri)
  const { object } = read
  if (object === undefined) {
    throw new KeysError('ERR_KEYS_URI', { path: read.text, detail: 'add object=<label of the new key>' })
  }
  using module = Pkcs11Module.open(modulePath(read))
  await using token = await Token.open(module, {
    name: read,
    source: read.text,
    pin: () => readPin(read, { env }),
    maxSessions: 1,
    maxQueued: 1,
    isWriting: true,
    isAttended: true,
  })
  const id = Buffer.from(read.id ?? randomBytes(ID_BYTES))
  const { mechanism, attributes } = FORMS[algorithm]
  const common: Attribute[] = [
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: object },
    { type: CK.CKA_ID, value: id },
  ]
  await token.run(
    async (session) => {
      for (const same of [{ object }, { id }]) {
        if (findObjects(token.cryptoki, session, named(CK.CKO_PRIVATE_KEY, same)).length === 0) continue
        throw new KeysError('ERR_KEYS_URI', {
          path: read.text,
          detail: `the token has a private key of this ${'id' in same ? 'id' : 'label'} already`,
          hint: 'choose another one: nothing is replaced',
        })
      }
      const form: Mechanism = { mechanism }
      const publicHalf = [...common, ...attributes, { type: CK.CKA_VERIFY, value: true }]
      const privateHalf = [
        ...common,
        { type: CK.CKA_PRIVATE, value: true },
        { type: CK.CKA_SENSITIVE, value: true },
        { type: CK.CKA_EXTRACTABLE, value: false },
        { type: CK.CKA_SIGN, value: true },
      ]
      try {
        await token.cryptoki.C_GenerateKeyPairAsync(session, form, publicHalf, privateHalf)
      } catch (cause) {
        throw cryptokiError(cause, read.text) // and not tried again: a pair may have been made
      }
    },
    { until: performance.now() + TIMEOUT_MS },
  )
  return id
}
