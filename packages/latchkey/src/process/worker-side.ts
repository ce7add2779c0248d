// The worker's side of worker-pool.ts: says that it is ready, and answers what it is asked.
import { fatalText } from './fatal.ts'
import type { Answer, FirstMessage, Handlers, Question } from './worker-messages.ts'

/** Answers the supervising process from now on, and tells it that the work has begun. */
export function answerSupervisor(handlers: Handlers): void {
  process.on('message', (question: Question) => void reply(question, handlers))
  tell({ first: 'ready' })
}

/** The supervising process reports it, once for all workers that fail in the same way. */
export function reportFailedStart(text: string): void {
  tell({ first: 'failed', text })
}

async function reply({ id, name, value }: Question, handlers: Handlers): Promise<void> {
  try {
    tell({ id, value: await handlers[name]?.(value as never) })
  } catch (error) {
    tell({ id, failure: fatalText(error) })
  }
}

function tell(message: Answer | FirstMessage): void {
  if (process.connected) process.send?.(message)
}
