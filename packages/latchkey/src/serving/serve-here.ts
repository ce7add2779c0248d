// A key server in this one process.
import type { KeyServerService } from './key-server-service.ts'
import { KeyServerUnit, type KeyServerUnitOptions } from './key-server-unit.ts'

/** Resolves when it listens. @throws what keys, certificates or listening throw. */
export async function serveHere(options: KeyServerUnitOptions): Promise<KeyServerService> {
  await using stack = new AsyncDisposableStack()
  const unit = stack.use(await KeyServerUnit.open(options))
  const address = await unit.listen(options.config)
  const owned = stack.move()
  return {
    address,
    reload: async (next) => {
      using prepared = await unit.prepareReload(next)
      return prepared.commit()
    },
    statuses: async () => [unit.status()],
    snapshots: async () => [unit.status().metrics],
    close: () => owned.disposeAsync(),
  }
}
