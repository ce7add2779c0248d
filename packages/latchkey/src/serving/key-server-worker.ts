// `latchkey keyserver-worker`: one of the processes of a key server. The supervising process starts it and says what to do.
import { once } from 'node:events'
import { createLogger, type Logger } from '@latchkey/core'
import { loadKeyServerConfig } from '../config/key-server-config.ts'
import type { KeyServerCommand } from '../commands/key-server-command.ts'
import type { Console } from '../process/console.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { reportFatal } from '../process/fatal.ts'
import { untilAskedToEnd } from '../process/lifecycle.ts'
import { formatted } from '../process/log-output.ts'
import type { Question } from '../process/worker-messages.ts'
import { answerSupervisor, reportFailedStart } from '../process/worker-side.ts'
import { KeyServerUnit, type PreparedUnit } from './key-server-unit.ts'

/** What the supervising process says first. */
export interface WorkerStart {
  readonly command: KeyServerCommand
  readonly cwd: string
  /** From 0. */
  readonly index: number
  readonly count: number
  /** It starts in place of one that ended, while the others work. */
  readonly isLate: boolean
}

export async function runKeyServerWorker({ env, err }: Console): Promise<ExitCode> {
  if (process.send === undefined) {
    err('latchkey: keyserver-worker is started by "latchkey keyserver" and by nobody else\n')
    return EXIT.usage
  }
  const [{ value }] = (await once(process, 'message')) as [Question]
  const start = value as WorkerStart
  try {
    await serve(start, { env, err })
    return EXIT.ok
  } catch (error) {
    let report = ''
    reportFatal(error, (text) => (report += text), start.command.logFormat)
    reportFailedStart(report)
    return EXIT.failed
  }
}

async function serve(
  { command: { logFormat, ...given }, cwd, index, count, isLate }: WorkerStart,
  { env, err }: Pick<Console, 'env' | 'err'>,
): Promise<void> {
  const sources = { ...given, cwd, env }
  const config = loadKeyServerConfig(sources)
  // What all processes do alike at a start or reload is said by the first; that all of them listen, by their parent.
  let isHeard = index === 0
  const logger = logTo(config.logLevel, () => isHeard)
  const loadLogger = logTo(config.logLevel, () => index === 0)
  function logTo(level: typeof config.logLevel, isOpen: () => boolean): Logger {
    const line = formatted(logFormat)
    return createLogger((record) => {
      if (isOpen()) err(line(record, new Date()))
    }, level)
  }

  // All that start together prove each other's keys; who starts alone proves its own.
  const share = isLate ? { index: 0, count: 1 } : { index, count }
  const askedToEnd = untilAskedToEnd({ logger: loadLogger, reload: undefined })
  await using unit = await KeyServerUnit.open({ config, logger, loadLogger, share, processes: count, index })
  isHeard = false
  const address = await unit.listen(config)
  isHeard = true
  let prepared: PreparedUnit | undefined
  const forget = (): void => {
    prepared?.[Symbol.dispose]()
    prepared = undefined
  }
  answerSupervisor({
    address: () => address,
    status: () => unit.status(),
    prepare: async () => {
      forget()
      prepared = await unit.prepareReload(loadKeyServerConfig(sources))
    },
    forget,
    commit: () => {
      isHeard = index === 0
      try {
        return prepared?.commit()
      } finally {
        isHeard = true
        prepared = undefined
      }
    },
  })
  await askedToEnd
  await unit.close()
}
