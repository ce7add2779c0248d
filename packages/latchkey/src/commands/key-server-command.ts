// What was said on the command line of a key server, in every mode of it and in each of its processes.
import type { KeyServerSources } from '../config/key-server-config.ts'
import type { LogFormat } from '../process/log-output.ts'

export interface KeyServerCommand extends Omit<KeyServerSources, 'cwd' | 'now' | 'env'> {
  readonly logFormat: LogFormat
}
