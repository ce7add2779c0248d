// A directory that is gone after the test.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string
  /** Writes `name` below the directory, mode 0400 unless told otherwise, and gives its path. */
  write(name: string, contents: Uint8Array | string, mode?: number): Promise<string>
}

export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'latchkey-keys-'))
  return {
    path,
    write: async (name, contents, mode = 0o400) => {
      const file = join(path, name)
      await mkdir(dirname(file), { recursive: true })
      await rm(file, { force: true })
      await writeFile(file, contents, { mode })
      return file
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}
