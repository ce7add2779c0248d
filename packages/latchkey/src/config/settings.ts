// From untyped values to typed settings: each leaf says what it expects, each error says where it was.
import { parseDuration } from '@latchkey/core'
import { z } from 'zod'
import { ConfigError, type ConfigErrorCode } from './config-error.ts'
import { nearestName } from './nearest-name.ts'
import { pathText, type SettingPath } from './yaml-file.ts'

/** Where a setting was said. */
export interface Place {
  readonly file: string
  readonly line?: number | undefined
  readonly column?: number | undefined
}

/** A leaf: `parse` makes a typed value or gives undefined, and then `expected` is what the operator reads. */
export function setting<T>(expected: string, parse: (value: unknown) => T | undefined) {
  return z.unknown().transform((value, context): T => {
    const result = parse(value)
    if (result !== undefined) return result
    context.issues.push({ code: 'custom', message: expected, input: value })
    return z.NEVER
  })
}

/** In `params` of a custom issue: an error that is more than a wrong value. */
export interface SettingFault {
  readonly code: ConfigErrorCode
  readonly found: string
  readonly hint?: string
}

export const text = (expected: string) =>
  setting(expected, (value) => (typeof value === 'string' && value.trim() !== '' ? value : undefined))

export const filePath = setting('the path of a file', (value) =>
  typeof value === 'string' && /^[^\p{Cc}]+$/u.test(value) ? value : undefined,
)

/** 0 lets the system choose. Text is accepted, as environment and flags have nothing else. */
export const port = setting('a port, 0 to 65535', (value) => {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 0xffff
    ? number
    : undefined
})

/** Text is accepted, as environment and flags have nothing else. */
export const wholeNumber = (expected: string, least: number, most: number) =>
  setting(expected, (value) => {
    const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
    return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most
      ? number
      : undefined
  })

/** Text is accepted, as environment and flags have nothing else. */
export const share = setting('a number from 0 to 1', (value) => {
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value
  return typeof number === 'number' && number >= 0 && number <= 1 ? number : undefined
})

/** In whole milliseconds. */
export const duration = (expected: string, mostMs: number, leastMs = 0) =>
  setting(expected, (value) => {
    const ms = typeof value === 'string' || value === 0 ? parseDuration(String(value)) : undefined
    return ms !== undefined && ms <= mostMs && ms >= leastMs ? Math.ceil(ms) : undefined
  })

/** Text is accepted, as the environment has nothing else; a flag without a value is true. */
export const onOff = setting('true or false', (value) =>
  value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined,
)

/**
 * Parses `value`, or throws for the first thing that is wrong with it.
 *
 * @param placeOf where the setting at a path was said.
 * @throws {ConfigError} ERR_CONFIG_VALUE, ERR_CONFIG_MISSING, ERR_CONFIG_UNKNOWN_KEY.
 */
export function parseSettings<T>(
  schema: z.ZodType<T>,
  value: unknown,
  placeOf: (path: SettingPath) => Place,
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0] as z.core.$ZodIssue
  const path = issue.path as SettingPath
  if (issue.code === 'unrecognized_keys') throw unknownKey(schema, path, issue.keys[0] as string, placeOf)
  const found = valueAt(value, path)
  if (issue.code === 'custom' && issue.params !== undefined) {
    const { code, ...detail } = issue.params as SettingFault
    throw new ConfigError(code, {
      ...placeOf(path),
      path: pathText(path),
      expected: issue.message,
      ...detail,
    })
  }
  throw new ConfigError(found === undefined ? 'ERR_CONFIG_MISSING' : 'ERR_CONFIG_VALUE', {
    ...placeOf(path),
    path: pathText(path),
    found: found === undefined ? undefined : shown(found),
    expected: issue.message,
    hint: isPrivateKeyText(found) ? 'write the key into a file and name the file here' : undefined,
  })
}

function unknownKey(
  schema: z.ZodType,
  path: SettingPath,
  key: string,
  placeOf: (path: SettingPath) => Place,
): ConfigError {
  const known = namesAt(schema, path)
  const near = nearestName(key, known)
  return new ConfigError('ERR_CONFIG_UNKNOWN_KEY', {
    ...placeOf([...path, key]),
    path: pathText([...path, key]),
    expected: `one of ${known.join(', ')}`,
    hint: near === undefined ? undefined : `did you mean ${near}?`,
  })
}

/** The names that the object at `path` may have. */
function namesAt(schema: z.ZodType, path: SettingPath): string[] {
  let at: unknown = schema
  for (const part of path) {
    at = unwrapped(at)
    at = typeof part === 'number' ? (at as z.ZodArray).element : (at as z.ZodObject).shape[part]
  }
  const object = unwrapped(at)
  return object instanceof z.ZodObject ? Object.keys(object.shape) : []
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? unwrapped(schema.unwrap())
    : schema
}

function valueAt(value: unknown, path: SettingPath): unknown {
  let at = value
  for (const part of path) at = (at as Record<string | number, unknown> | null | undefined)?.[part]
  return at
}

/** Enough of a value to recognise it. A key that was pasted where its path belongs is not shown. */
export function shown(value: unknown): string {
  if (isPrivateKeyText(value)) return 'the text of a private key (not shown)'
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 60)}…` : json
}

function isPrivateKeyText(value: unknown): boolean {
  return typeof value === 'string' && value.includes('PRIVATE KEY')
}
