// What ties a record to the one before it.
//
// A record is a line of JSON, in ASCII. Its last member is the SHA-256 of the hash of the record before it (64 hex digits)
// and of its own bytes up to the comma before that member:
//
//   {"seq":8,"time":"2026-11-26T12:00:00.000Z", … ,"outcome":"ok","hash":"…64 hex digits…"}
import { hash } from 'node:crypto'

/** In place of the hash of the record before the first. */
export const HASH_CHARS = 64
export const NO_HASH = '0'.repeat(HASH_CHARS)

const HASH_MEMBER = ',"hash":"'
const END = '"}'
/** From the comma to the end of the line. */
const SEAL_CHARS = HASH_MEMBER.length + HASH_CHARS + END.length

/** Longer than any line that is written: peers' strings are bounded. */
export const MAX_LINE_BYTES = 64 * 1024

/** What a line says, checked for its shape only. */
export interface ChainLine {
  readonly seq: number
  /** Up to the comma before the hash. */
  readonly body: string
  readonly hash: string
}

/** @param body `{"seq":…` and what follows, without a closing brace. */
export function hashOf(previous: string, body: string): string {
  return hash('sha256', previous + body, 'hex')
}

/** What ends the line of a record. */
export function sealOf(hashHex: string): string {
  return `${HASH_MEMBER}${hashHex}${END}\n`
}

/** @param line without its newline. @returns undefined if it is no record. */
export function readLine(line: string): ChainLine | undefined {
  const at = line.length - SEAL_CHARS
  const [, seq] = /^\{"seq":(\d{1,15}),/.exec(line) ?? []
  if (seq === undefined || at <= 0) return undefined
  const hashHex = line.slice(at + HASH_MEMBER.length, -END.length)
  if (!line.startsWith(HASH_MEMBER, at) || !line.endsWith(END) || !/^[0-9a-f]{64}$/.test(hashHex)) {
    return undefined
  }
  return { seq: Number(seq), body: line.slice(0, at), hash: hashHex }
}

/** A member of a record that was written by us: a string without escapes. */
export function memberOf(body: string, name: string): string | undefined {
  return new RegExp(`,"${name}":"([^"\\\\]*)"`).exec(body)?.[1]
}
