/** Why a pool of workers could not start: the report of the first worker that failed, ready to be shown. */
export class WorkerStartError extends Error {
  override readonly name = 'WorkerStartError'
}
