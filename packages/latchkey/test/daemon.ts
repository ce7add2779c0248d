// The real process, started by a test and gone with it.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Folder } from './config-fixture.ts'

export const BIN = fileURLToPath(new URL('../bin/latchkey.js', import.meta.url))

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  /** Resolves when standard error has matched; rejects with all of it if the process ends before. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  /** Resolves with the exit code and all of standard error. */
  readonly ended: Promise<{ code: number | null; signal: string | null; err: string }>
}

export interface StartOptions {
  readonly stdio?: 'ipc' | 'ignore'
  readonly env?: Readonly<Record<string, string>>
}

/** Starts the real command in `folder`. */
export function start(
  folder: Folder,
  args: readonly string[],
  { stdio = 'ignore', env: more = {} }: StartOptions = {},
): Running {
  const env = { PATH: process.env['PATH'] ?? '', ...more }
  // As its first line starts it.
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', BIN, ...args], {
    cwd: folder.path,
    env,
    stdio: ['ignore', 'ignore', 'pipe', stdio],
  })
  let err = ''
  const watchers = new Set<() => void>()
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text
    for (const watcher of watchers) watcher()
  })
  const ended = new Promise<{ code: number | null; signal: string | null; err: string }>((resolve) => {
    // Not 'close', which never comes once the IPC channel has been disconnected; standard error ends by itself.
    child.once('exit', (code, signal) => {
      if (child.stderr?.readableEnded === false)
        child.stderr.once('end', () => resolve({ code, signal, err }))
      else resolve({ code, signal, err })
    })
  })
  return {
    child,
    ended,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(err)
          if (match === null) return
          watchers.delete(look)
          resolve(match)
        }
        watchers.add(look)
        look()
        void ended.then(() => reject(new Error(`never said ${pattern}: ${err}`)))
      }),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
