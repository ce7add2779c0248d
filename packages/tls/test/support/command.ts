// Runs a program to its end, with a deadline.
import { execFileSync, spawn } from 'node:child_process'

export interface Finished {
  readonly code: number | null
  /** stdout and stderr as they came. */
  readonly output: string
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

/** `input` is written and left open: what comes back ends the program, not the end of what it was told. */
export function runCommand(program: string, args: readonly string[], { input = '' } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe', timeout: DEADLINE_MS })
    const output: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output: Buffer.concat(output).toString('latin1') }))
    child.stdin.on('error', () => {}) // a client that has seen enough closes its input
    if (input === '') child.stdin.end()
    else child.stdin.write(input)
  })
}
