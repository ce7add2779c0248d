// The key exchange of the RSA suites: the client encrypts the premaster secret to the key of the certificate. RFC 5246
// §7.4.7.1. No forward secrecy, and the home of Bleichenbacher's attack: off unless its suites are named.
//
// What the client sends is never judged before its Finished: any ciphertext is decrypted, once, by the signer, and leads to
// a premaster secret that the client either knows or does not.
import { encryptPkcs1, secretRandom } from '../crypto-provider.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { type Handshake, type Steps, wantMessage, wantPrivateKeyAnswer } from '../handshake/steps.ts'
import type { Transcript } from '../handshake/transcript.ts'
import type { Greeting12 } from './greeting12.ts'
import { readEncryptedPremaster } from './messages12.ts'
import type { Choice12 } from './negotiate12.ts'
import { checkedPremaster, PREMASTER_BYTES } from './premaster-secret.ts'

/** Room for a key of 8000 bits. */
const MAX_CLIENT_KEY_EXCHANGE_BYTES = 1024

/**
 * ClientKeyExchange with the encrypted premaster secret. Gives that, or what stands in for it.
 *
 * @param isFollowed by CertificateVerify
 */
export function* receiveEncryptedPremaster(
  handshake: Handshake,
  { serverName, clientVersion }: Greeting12,
  transcript: Transcript,
  { credential }: Choice12,
  { isFollowed }: { isFollowed: boolean },
): Steps<Uint8Array> {
  const { channel, clientAddress } = handshake
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.client_key_exchange,
    maxBytes: MAX_CLIENT_KEY_EXCHANGE_BYTES,
    isExact: false,
    isFollowed,
  })
  const encrypted = readEncryptedPremaster(body)
  transcript.add(bytes)
  // Drawn before anything is decrypted, whether it will be needed or not.
  const substitute = randomPremaster(clientVersion)
  try {
    const isCiphertext = isBelow(encrypted, credential.tls12.modulus)
    const request = {
      keyId: credential.keyId,
      // What no key could decrypt takes the same way as all else: the signer is asked for what stands in for it.
      ciphertext: isCiphertext ? new Uint8Array(encrypted) : encryptPkcs1(credential.publicKey, substitute),
      clientVersion,
      serverName,
      clientAddress,
      deadlineMs: 0,
    }
    channel.requestPrivateKey({ kind: 'decrypt', request }, credential)
    const decrypted = yield* wantPrivateKeyAnswer({ holdsInput: true })
    return checkedPremaster(decrypted, clientVersion, substitute)
  } finally {
    substitute.fill(0)
  }
}

function randomPremaster(clientVersion: number): Uint8Array {
  const premaster = secretRandom(PREMASTER_BYTES)
  premaster[0] = clientVersion >>> 8
  premaster[1] = clientVersion & 0xff
  return premaster
}

/** Whether `bytes` is as long as `modulus` and a smaller number, big-endian. Both are public. */
function isBelow(bytes: Uint8Array, modulus: Uint8Array): boolean {
  if (bytes.length !== modulus.length) return false
  const at = modulus.findIndex((byte, index) => byte !== bytes[index])
  return at >= 0 && (bytes[at] as number) < (modulus[at] as number)
}
