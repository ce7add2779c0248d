// The key exchange of the ECDHE suites: our share goes first, signed. RFC 8422 §5.4, §5.7.
import type { Credential } from '../credential/credential.ts'
import { type EphemeralKey, verifySignature } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { checkShare, sharedSecretOf } from '../handshake/named-group.ts'
import { SIGNATURE_SCHEMES } from '../handshake/signature-scheme.ts'
import { type Handshake, sendMessage, type Steps, wantMessage, wantSignature } from '../handshake/steps.ts'
import type { Transcript } from '../handshake/transcript.ts'
import type { Greeting12 } from './greeting12.ts'
import {
  ecdhParameters,
  keyExchangeContent,
  readClientKeyExchange,
  writeServerKeyExchange,
} from './messages12.ts'
import type { Ecdhe } from './negotiate12.ts'

/** Our share, and what is signed for it. */
export interface OfferedShare extends Ecdhe {
  readonly key: EphemeralKey
  readonly parameters: Uint8Array
  readonly content: Uint8Array
}

/** The signature covers the randoms and our share only: it is asked for before anything else is done. */
export function offerShare(
  { channel, clientAddress }: Handshake,
  { serverName, randoms }: Greeting12,
  credential: Credential,
  { group, scheme }: Ecdhe,
): OfferedShare {
  const key = group.generate()
  const parameters = ecdhParameters(group, key.share)
  const content = keyExchangeContent(randoms, parameters)
  const request = {
    keyId: credential.keyId,
    scheme: SIGNATURE_SCHEMES[scheme].code,
    content,
    purpose: 'tls12-ske',
    serverName,
    clientAddress,
    deadlineMs: 0,
  } as const
  channel.requestPrivateKey({ kind: 'sign', request }, credential)
  return { group, scheme, key, parameters, content }
}

/** RFC 8422 §5.4. A wrong signature is the signer's failure, not the client's; it must not leave the process. */
export function* sendServerKeyExchange(
  handshake: Handshake,
  transcript: Transcript,
  credential: Credential,
  { scheme, parameters, content }: OfferedShare,
): Steps<void> {
  const { signatureChecks } = handshake.context
  const signature = yield* wantSignature()
  const { hash, keyType, tls13 } = SIGNATURE_SCHEMES[scheme]
  const isDue = signatureChecks.isDue(credential.publicKey.asymmetricKeyType)
  const pss = keyType === 'rsa' && tls13
  if (isDue && !verifySignature(credential.publicKey, { hash, pss }, content, signature)) {
    signatureChecks.foundWrong()
    refuse('ERR_TLS_SIGNER_WRONG', scheme)
  }
  sendMessage(handshake, transcript, writeServerKeyExchange(parameters, scheme, signature))
}

/** `opaque point<1..2^8-1>`: a point of another length than the group's can be read, and is no point of it. */
const MAX_CLIENT_KEY_EXCHANGE_BYTES = 1 + 255

/** ClientKeyExchange with the client's share, RFC 8422 §5.7. Gives the premaster secret. @param isFollowed by CertificateVerify */
export function* receiveShare(
  transcript: Transcript,
  { group, key }: OfferedShare,
  { isFollowed }: { isFollowed: boolean },
): Steps<Uint8Array> {
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.client_key_exchange,
    maxBytes: MAX_CLIENT_KEY_EXCHANGE_BYTES,
    isExact: false,
    isFollowed,
  })
  const point = readClientKeyExchange(body)
  checkShare(group, point)
  transcript.add(bytes)
  return sharedSecretOf({ sharedSecret: () => key.sharedSecret(point) }, group)
}
