#!/usr/bin/env node
// The process: hands the arguments to the program and ends with its exit code.
import { EXIT } from './process/exit-code.ts'
import { reportFatal } from './process/fatal.ts'
import { run } from './program.ts'

process.on('uncaughtException', (error) => {
  reportFatal(error, (text) => process.stderr.write(text))
  process.exit(EXIT.failed)
})

// Everything that was started has been ended by now; a forgotten handle must not keep the process.
process.exit(
  await run(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    input: () => process.stdin,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  }),
)
