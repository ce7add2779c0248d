// The process as a command sees it: tests give their own.
import type { Readable } from 'node:stream'

/** What a command may use of the process it runs in. */
export interface Console {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  out(this: void, text: string): void
  err(this: void, text: string): void
  /** Standard input, opened by the first call. Undefined: nobody to ask. */
  readonly input?: (this: void) => Readable & { readonly isTTY?: boolean }
}
