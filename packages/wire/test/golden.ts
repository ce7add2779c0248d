// The recorded packets, typed: what another implementation wrote, read and answered.
import recorded from './vectors/keyless-protocol.json' with { type: 'json' }
import type { Operation } from '../src/index.ts'

export interface GoldenOperation {
  readonly opcode: string
  readonly payloadHex?: string
  readonly extraHex?: string
  readonly skiHex?: string
  readonly digestHex?: string
  readonly clientIp?: string
  readonly serverIp?: string
  readonly sni?: string
  readonly certId?: string
  readonly customFuncName?: string
  readonly spanHex?: string
  readonly reqContext?: string
  readonly complianceRegion?: number
}

export interface GoldenVector {
  readonly name: string
  readonly kind: string
  readonly hex: string
  readonly totalBytes: number
  readonly accepted?: boolean
  readonly items?: readonly { tag: string; offset: number; length: number }[]
  readonly decoded: {
    readonly bytesConsumed: number
    readonly header: { id: number; length: number; major: number; minor: number }
    readonly operation?: GoldenOperation
    readonly error?: string
  }
}

export interface GoldenExchange {
  readonly name: string
  readonly request: { id: number; opcode: string; payloadHex?: string }
  readonly requestHex: string
  readonly response: {
    id: number
    opcode: string
    payloadHex?: string
    totalBytes: number
    errorCode?: number
  }
  readonly responseHex: string
}

const { vectors, exchanges } = recorded as unknown as {
  vectors: readonly GoldenVector[]
  exchanges: readonly GoldenExchange[]
}

export const ENCODED = vectors.filter(({ kind }) => kind === 'encode')
export const DECODED = vectors.filter(({ kind }) => kind === 'decode')
export const EXCHANGES = exchanges

/** The recorded fields in our names. Text of bytes that are no UTF-8 is recorded lossily: see the test of it. */
export function expectedOperation(golden: GoldenOperation): Operation {
  const expected: Record<string, Uint8Array | number> = { opcode: Number(golden.opcode) }
  const put = (name: string, value: Uint8Array | undefined): void => {
    if (value !== undefined) expected[name] = value
  }
  put('payload', ofHex(golden.payloadHex))
  put('extra', ofHex(golden.extraHex))
  put('ski', ofHex(golden.skiHex))
  put('digest', ofHex(golden.digestHex))
  put('clientIp', ofAddress(golden.clientIp))
  put('serverIp', ofAddress(golden.serverIp))
  put('serverName', ofText(golden.sni))
  put('certId', ofText(golden.certId))
  put('customFunction', ofText(golden.customFuncName))
  put('span', ofHex(golden.spanHex))
  put('requestContext', ofText(golden.reqContext))
  if (golden.complianceRegion !== undefined) expected['complianceRegion'] = golden.complianceRegion
  return expected as unknown as Operation
}

function ofHex(hex: string | undefined): Uint8Array | undefined {
  return hex === undefined ? undefined : Uint8Array.fromHex(hex)
}

function ofText(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : new TextEncoder().encode(text)
}

const ADDRESSES: Readonly<Record<string, string>> = {
  '192.0.2.1': 'c0000201',
  '198.51.100.7': 'c6336407',
  '2001:db8::1': '20010db8000000000000000000000001',
  '2001:db8::2': '20010db8000000000000000000000002',
}

function ofAddress(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const hex = ADDRESSES[text]
  if (hex === undefined) throw new Error(`no bytes known for ${text}`)
  return Uint8Array.fromHex(hex)
}
