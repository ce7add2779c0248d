// Runs a program to its end, with a deadline.
import { execFileSync, spawn } from 'node:child_process'

export interface Finished {
  readonly code: number | null
  /** stdout and stderr as they came. */
  readonly output: string
}

export interface CommandOptions {
  /** Written at the start and left open: what comes back ends the program, not the end of what it was told. */
  readonly input?: string
  /** What is written next, each once the program has said `after`, and not before the ones above it. */
  readonly replies?: readonly { readonly after: string; readonly input: string }[]
  readonly deadlineMs?: number
}

const DEADLINE_MS = 20_000

/** Whether a program is installed: tests that need a missing one are skipped by name. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export function runCommand(
  program: string,
  args: readonly string[],
  { input = '', replies = [], deadlineMs = DEADLINE_MS }: CommandOptions = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe', timeout: deadlineMs })
    const left = [...replies]
    let output = ''
    let seen = 0
    const read = (chunk: string): void => {
      output += chunk
      for (let next = left[0]; next !== undefined; next = left[0]) {
        const at = output.indexOf(next.after, seen)
        if (at === -1) return
        seen = at + next.after.length
        child.stdin.write(next.input)
        left.shift()
      }
    }
    child.stdout.setEncoding('latin1').on('data', read)
    child.stderr.setEncoding('latin1').on('data', read)
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
    child.stdin.on('error', () => {}) // a client that has seen enough closes its input
    if (input === '') child.stdin.end()
    else child.stdin.write(input)
  })
}
