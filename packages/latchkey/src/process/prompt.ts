// Questions to whoever sits at the terminal, or to the lines that a script pipes in.
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { ConfigError } from '../config/config-error.ts'
import type { Console } from './console.ts'

export interface Question {
  /** The setting that the answer is for. */
  readonly setting: string
  readonly text: string
  /** Whether the answer is not to be seen on the terminal. */
  readonly isSecret?: boolean
}

export interface Prompt extends Disposable {
  /** The answer without space around it. @throws {ConfigError} ERR_CONFIG_MISSING if the input ends, or nothing is said. */
  ask(question: Question): Promise<string>
}

/** Opens standard input; questions go to standard error. */
export function openPrompt({ input, err }: Pick<Console, 'input' | 'err'>): Prompt {
  const stream = input?.()
  let isMuted = false
  const echo = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (!isMuted) err(chunk.toString('utf8'))
      done()
    },
  })
  const isTerminal = stream?.isTTY === true
  // At a terminal readline itself shows what is typed, so it can be left out.
  const reader =
    stream === undefined
      ? undefined
      : createInterface({ input: stream, terminal: isTerminal, ...(isTerminal ? { output: echo } : {}) })
  reader?.on('SIGINT', () => reader.close())
  const lines = reader?.[Symbol.asyncIterator]()
  return {
    ask: async ({ setting, text, isSecret = false }) => {
      err(`${text}: `)
      isMuted = isSecret
      const { value, done = true } = (await lines?.next()) ?? {}
      isMuted = false
      if (isSecret || !isTerminal) err('\n')
      const answer = done ? '' : (value as string).trim()
      if (answer !== '') return answer
      const hint = `answer the question, or set ${setting}`
      throw new ConfigError('ERR_CONFIG_MISSING', { file: 'standard input', path: setting, hint })
    },
    [Symbol.dispose]: () => reader?.close(),
  }
}
