// Which key a URI names: an ARN, or awskms:///<key id, alias/name or ARN>?region=<region>.
import { KeysError } from '@latchkey/keys'

export interface AwsKeyName {
  /** As KMS takes it. */
  readonly keyId: string
  /** Undefined: what the SDK finds, AWS_REGION or the profile's. */
  readonly region: string | undefined
}

const ARN =
  /^arn:aws[a-z-]*:kms:([a-z0-9-]{1,40}):\d{1,12}:(?:key\/[A-Za-z0-9-]{1,128}|alias\/[A-Za-z0-9:/_-]{1,250})$/
const PLAIN = /^(?:[A-Za-z0-9-]{1,128}|alias\/[A-Za-z0-9:/_-]{1,250})$/
const REGION = /^[a-z0-9-]{1,40}$/

/** @throws {KeysError} ERR_KEYS_URI */
export function readAwsKeyName(uri: string): AwsKeyName {
  const arn = ARN.exec(uri)
  if (arn !== null) return { keyId: uri, region: arn[1] }
  const [, path = '', query] = /^awskms:\/{0,3}([^?]*)(?:\?(.*))?$/i.exec(uri) ?? []
  const named = ARN.exec(path)
  const parameters = new URLSearchParams(query)
  const region = parameters.get('region') ?? named?.[1]
  const isRight =
    (named !== null || PLAIN.test(path)) &&
    [...parameters.keys()].every((name) => name === 'region') &&
    (region === undefined || REGION.test(region))
  if (isRight) return { keyId: path, region }
  throw new KeysError('ERR_KEYS_URI', {
    path: 'AWS KMS key',
    expected: 'arn:aws:kms:<region>:<account>:key/<id>, or awskms:///<id or alias/name>?region=<region>',
  })
}
