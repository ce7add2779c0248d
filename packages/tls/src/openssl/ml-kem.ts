// ML-KEM-768 encapsulation in the page. FIPS 203 §7.2.
import { ML_KEM_768_KEY_BYTES, type Primitives } from '../crypto-provider.ts'
import { COUNT_AT, DATA_AT, must, NULL, type Page, RESULT_AT, take } from './page.ts'

const CIPHERTEXT_BYTES = 1088
const SHARED_KEY_BYTES = 32
const KEY_AT = DATA_AT
const CIPHERTEXT_AT = KEY_AT + ML_KEM_768_KEY_BYTES
const NAME_AT = CIPHERTEXT_AT + CIPHERTEXT_BYTES
const NAME = 'ML-KEM-768'

export function bindMlKem(page: Page): Pick<Primitives, 'encapsulateMlKem768'> {
  const { openSsl, memory, pointer } = page
  const { EVP_PKEY_new_raw_public_key_ex, EVP_PKEY_CTX_new_from_pkey, EVP_PKEY_CTX_free, EVP_PKEY_free } =
    openSsl
  const { EVP_PKEY_encapsulate_init, EVP_PKEY_encapsulate, ERR_clear_error } = openSsl
  const name = new TextEncoder().encode(`${NAME}\0`)
  const namePointer = pointer(NAME_AT)
  const key = pointer(KEY_AT)
  const ciphertext = pointer(CIPHERTEXT_AT)
  const sharedKey = pointer(RESULT_AT)
  const ciphertextBytes = pointer(COUNT_AT)
  const sharedKeyBytes = pointer(COUNT_AT + 8)
  const counts = new BigUint64Array(memory.buffer, COUNT_AT, 2)

  return {
    encapsulateMlKem768(encapsulationKey) {
      if (encapsulationKey.length !== ML_KEM_768_KEY_BYTES)
        throw new RangeError(`ML-KEM-768 key of ${encapsulationKey.length} bytes`)
      memory.set(encapsulationKey, KEY_AT)
      memory.set(name, NAME_AT)
      const imported = EVP_PKEY_new_raw_public_key_ex(
        NULL,
        namePointer,
        NULL,
        key,
        BigInt(ML_KEM_768_KEY_BYTES),
      )
      const context = imported === NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, imported, NULL)
      try {
        // The modulus check, or no memory.
        if (context === NULL) throw new Error('not a key of ML-KEM-768')
        must(EVP_PKEY_encapsulate_init(context, NULL))
        counts[0] = BigInt(CIPHERTEXT_BYTES)
        counts[1] = BigInt(SHARED_KEY_BYTES)
        must(EVP_PKEY_encapsulate(context, ciphertext, ciphertextBytes, sharedKey, sharedKeyBytes))
        return {
          sharedKey: take(page, RESULT_AT, SHARED_KEY_BYTES),
          ciphertext: memory.slice(CIPHERTEXT_AT, CIPHERTEXT_AT + CIPHERTEXT_BYTES),
        }
      } catch (error) {
        ERR_clear_error()
        throw error
      } finally {
        if (context !== NULL) EVP_PKEY_CTX_free(context)
        if (imported !== NULL) EVP_PKEY_free(imported)
      }
    },
  }
}
