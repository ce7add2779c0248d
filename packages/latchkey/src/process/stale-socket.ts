// A Unix socket that a process left behind when it was killed: in the way of the next one.
import { lstatSync, rmSync } from 'node:fs'
import { connect } from 'node:net'

/** Removes the socket at `path` if nobody listens there. Anything else at that path is left alone. */
export async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const isAnswered = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
  if (!isAnswered) rmSync(path, { force: true })
}
