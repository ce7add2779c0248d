// AWS KMS, JSON 1.1: TrentService.GetPublicKey and TrentService.Sign.
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '@latchkey/keys'
import { type Answered, type Asked, type PairName, publicKeyOf, Service, signerOf } from './service.ts'

const SPECS: Readonly<Record<string, SignatureAlgorithm>> = {
  RSASSA_PKCS1_V1_5_SHA_256: 'rsa_pkcs1_sha256',
  RSASSA_PKCS1_V1_5_SHA_384: 'rsa_pkcs1_sha384',
  RSASSA_PKCS1_V1_5_SHA_512: 'rsa_pkcs1_sha512',
  RSASSA_PSS_SHA_256: 'rsa_pss_sha256',
  RSASSA_PSS_SHA_384: 'rsa_pss_sha384',
  RSASSA_PSS_SHA_512: 'rsa_pss_sha512',
  ECDSA_SHA_256: 'ecdsa_sha256',
  ECDSA_SHA_384: 'ecdsa_sha384',
  ED25519_SHA_512: 'ed25519',
}
const OFFERED: Readonly<Record<PairName, readonly string[]>> = {
  p256: ['ECDSA_SHA_256'],
  p384: ['ECDSA_SHA_384'],
  rsa: Object.keys(SPECS).filter((name) => name.startsWith('RSASSA')),
  ed25519: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'],
}

export const AWS_ACCESS_KEY = 'AKIDEXAMPLE'

export function awsArn(key: string): string {
  return `arn:aws:kms:eu-west-1:111122223333:key/${key}`
}

export function startAws(): Promise<Service> {
  return Service.start({
    isFaulty: ({ headers }) => headers['x-amz-target'] === 'TrentService.Sign',
    answer,
  })
}

export function awsFault(status: number, name: string, message = '', headers = {}): Answered {
  return { status, headers, body: { __type: name, message } }
}

function answer({ headers, body }: Asked): Answered {
  // Signature Version 4: the SDK signs what it sends; whose key it is and for what is in the header.
  if (
    !new RegExp(`^AWS4-HMAC-SHA256 Credential=${AWS_ACCESS_KEY}/\\d{8}/eu-west-1/kms/aws4_request, `).test(
      headers.authorization ?? '',
    )
  ) {
    return awsFault(
      400,
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    )
  }
  const { KeyId, Message, MessageType, SigningAlgorithm } = body as Record<string, string>
  const pair = /(?:key\/|^)(p256|p384|rsa|ed25519)$/.exec(KeyId ?? '')?.[1] as PairName | undefined
  if (pair === undefined) return awsFault(400, 'NotFoundException', `Key '${KeyId}' does not exist`)
  const id = { KeyId: awsArn(pair) }
  if (headers['x-amz-target'] === 'TrentService.GetPublicKey') {
    const spki = publicKeyOf(pair).export({ type: 'spki', format: 'der' })
    const signing = { KeyUsage: 'SIGN_VERIFY', SigningAlgorithms: OFFERED[pair] }
    return { status: 200, body: { ...id, PublicKey: spki.toString('base64'), ...signing } }
  }
  const algorithm = SPECS[SigningAlgorithm ?? '']
  if (algorithm === undefined || !OFFERED[pair].includes(SigningAlgorithm ?? '')) {
    return awsFault(400, 'InvalidKeyUsageException', `${SigningAlgorithm} is incompatible with the key`)
  }
  const input = Buffer.from(Message ?? '', 'base64')
  const length = SIGNATURE_ALGORITHMS[algorithm].digestBytes
  const isRight =
    length === undefined ? MessageType === 'RAW' : MessageType === 'DIGEST' && input.length === length
  if (!isRight)
    return awsFault(400, 'ValidationException', `Digest is invalid length for algorithm ${SigningAlgorithm}`)
  const signature = Buffer.from(signerOf(pair).sign(algorithm, input)).toString('base64')
  return { status: 200, body: { ...id, Signature: signature, SigningAlgorithm } }
}
