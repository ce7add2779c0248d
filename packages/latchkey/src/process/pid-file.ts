// The file with the process id that init scripts read.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'

/**
 * Writes the process id, decimal, without a newline. Disposing removes the file, unless another process has put its own
 * id there since.
 */
export function writePidFile(path: string | undefined): Disposable {
  if (path === undefined) return { [Symbol.dispose]: () => {} }
  const own = String(process.pid)
  writeFileSync(path, own, { mode: 0o644 })
  return {
    [Symbol.dispose]: () => {
      try {
        if (readFileSync(path, 'utf8') === own) rmSync(path)
      } catch {
        // Gone already, or its directory is: nothing is left to tidy.
      }
    },
  }
}
