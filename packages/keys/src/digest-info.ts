// What PKCS#1 v1.5 signatures put in front of the digest.

/** RFC 8017 §9.2 note 1: DER of DigestInfo up to the digest. MD5‖SHA-1 goes without (RFC 2246 §4.7). */
export const DIGEST_INFO = {
  'md5-sha1': Buffer.alloc(0),
  sha1: Buffer.from('3021300906052b0e03021a05000414', 'hex'),
  sha224: Buffer.from('302d300d06096086480165030402040500041c', 'hex'),
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
} as const satisfies Record<string, Uint8Array>
export type DigestInfoHash = keyof typeof DIGEST_INFO
