// What a packet asks for or answers: one row an opcode, everything else about opcodes is read from here.

/**
 * Every opcode in use. `hash` and `digestBytes` describe the payload of a signing request: the digest of that hash,
 * exactly that long; undefined means the message itself, of any length. PSS salts are as long as the hash.
 *
 * Once used and never to be given out again: 0x08 (an older raw RSA decryption), 0x20 (get certificate), 0xf3
 * (activate). They are unknown here on purpose.
 */
export const OPCODES = {
  OpRSADecrypt: { code: 0x01, kind: 'decrypt', keyType: 'rsa' },
  OpRSASignMD5SHA1: sign(0x02, 'rsa_pkcs1_md5_sha1', 'rsa', 'md5-sha1', 36),
  OpRSASignSHA1: sign(0x03, 'rsa_pkcs1_sha1', 'rsa', 'sha1', 20),
  OpRSASignSHA224: sign(0x04, 'rsa_pkcs1_sha224', 'rsa', 'sha224', 28),
  OpRSASignSHA256: sign(0x05, 'rsa_pkcs1_sha256', 'rsa', 'sha256', 32),
  OpRSASignSHA384: sign(0x06, 'rsa_pkcs1_sha384', 'rsa', 'sha384', 48),
  OpRSASignSHA512: sign(0x07, 'rsa_pkcs1_sha512', 'rsa', 'sha512', 64),
  OpECDSASignMD5SHA1: sign(0x12, 'ecdsa_md5_sha1', 'ec', 'md5-sha1', 36),
  OpECDSASignSHA1: sign(0x13, 'ecdsa_sha1', 'ec', 'sha1', 20),
  OpECDSASignSHA224: sign(0x14, 'ecdsa_sha224', 'ec', 'sha224', 28),
  OpECDSASignSHA256: sign(0x15, 'ecdsa_sha256', 'ec', 'sha256', 32),
  OpECDSASignSHA384: sign(0x16, 'ecdsa_sha384', 'ec', 'sha384', 48),
  OpECDSASignSHA512: sign(0x17, 'ecdsa_sha512', 'ec', 'sha512', 64),
  OpEd25519Sign: sign(0x18, 'ed25519', 'ed25519', undefined, undefined),
  OpSeal: { code: 0x21, kind: 'seal' },
  OpUnseal: { code: 0x22, kind: 'unseal' },
  OpRPC: { code: 0x23, kind: 'rpc' },
  OpCustom: { code: 0x24, kind: 'custom' },
  OpRSAPSSSignSHA256: sign(0x35, 'rsa_pss_sha256', 'rsa', 'sha256', 32),
  OpRSAPSSSignSHA384: sign(0x36, 'rsa_pss_sha384', 'rsa', 'sha384', 48),
  OpRSAPSSSignSHA512: sign(0x37, 'rsa_pss_sha512', 'rsa', 'sha512', 64),
  OpResponse: { code: 0xf0, kind: 'response' },
  OpPing: { code: 0xf1, kind: 'ping' },
  OpPong: { code: 0xf2, kind: 'pong' },
  OpError: { code: 0xff, kind: 'error' },
} as const satisfies Record<string, OpcodeRow>

export type OpcodeName = keyof typeof OPCODES

/** A private-key operation that gives a signature. */
export interface SignOpcodeRow<Algorithm extends string = string> {
  readonly code: number
  readonly kind: 'sign'
  /** The name that the key packages use for the same operation. */
  readonly signatureAlgorithm: Algorithm
  readonly keyType: 'rsa' | 'ec' | 'ed25519'
  readonly hash: 'md5-sha1' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | undefined
  readonly digestBytes: number | undefined
}

/** Raw RSA: the reply is as long as the modulus and still padded; removing the padding is the requester's work. */
export interface DecryptOpcodeRow {
  readonly code: number
  readonly kind: 'decrypt'
  readonly keyType: 'rsa'
}

/** Requests without a key. */
export interface ServiceOpcodeRow {
  readonly code: number
  readonly kind: 'seal' | 'unseal' | 'rpc' | 'custom' | 'ping'
}

/** Only ever sent in reply: as a request they are "unexpected opcode". */
export interface ReplyOpcodeRow {
  readonly code: number
  readonly kind: 'response' | 'pong' | 'error'
}

export type OpcodeRow = SignOpcodeRow | DecryptOpcodeRow | ServiceOpcodeRow | ReplyOpcodeRow

/** The signature algorithms that the protocol can name. */
export type WireSignatureAlgorithm = Extract<
  (typeof OPCODES)[OpcodeName],
  { kind: 'sign' }
>['signatureAlgorithm']

const NAMED_ROWS = Object.entries(OPCODES) as readonly [OpcodeName, OpcodeRow][]
const ROW_BY_CODE = new Map<number, OpcodeRow>(NAMED_ROWS.map(([, row]) => [row.code, row]))
const NAME_BY_CODE = new Map<number, OpcodeName>(NAMED_ROWS.map(([name, row]) => [row.code, name]))
const CODE_BY_ALGORITHM = new Map<string, number>(
  NAMED_ROWS.flatMap(([, row]) => (row.kind === 'sign' ? [[row.signatureAlgorithm, row.code] as const] : [])),
)

/** The row of opcode `code`; undefined if nobody defined it: answered with "bad opcode". */
export function opcodeRow(code: number): OpcodeRow | undefined {
  return ROW_BY_CODE.get(code)
}

/** The name of opcode `code` for logs and metrics, `Op(153)` for an unknown one: at most 256 different texts. */
export function opcodeName(code: number): string {
  return NAME_BY_CODE.get(code) ?? `Op(${code})`
}

/** The opcode that asks for a signature of `algorithm`. */
export function opcodeForSignature(algorithm: WireSignatureAlgorithm): number {
  return CODE_BY_ALGORITHM.get(algorithm) as number
}

function sign<const Algorithm extends string>(
  code: number,
  signatureAlgorithm: Algorithm,
  keyType: SignOpcodeRow['keyType'],
  hash: SignOpcodeRow['hash'],
  digestBytes: number | undefined,
): SignOpcodeRow<Algorithm> {
  return { code, kind: 'sign', signatureAlgorithm, keyType, hash, digestBytes }
}
