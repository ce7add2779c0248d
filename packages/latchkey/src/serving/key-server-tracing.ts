// Traces of a key server process, if they are wanted and OpenTelemetry is installed.
import type { Logger } from '@latchkey/core'
import type { RequestTracer } from '@latchkey/keyserver'
import type { KeyServerConfig } from '../config/key-server-config.ts'
import { startTracing } from '../tracing/open-telemetry.ts'
import { createRequestTracer } from '../tracing/request-tracer.ts'

export interface KeyServerTracing extends AsyncDisposable {
  readonly requests: RequestTracer
}

/** The service has the name that it has in gokeyless. */
const SERVICE_NAME = 'gokeyless'

export async function traceKeyServer(
  config: KeyServerConfig['tracing'],
  logger: Logger,
): Promise<KeyServerTracing | undefined> {
  if (config === undefined) return undefined
  const tracing = await startTracing({ ...config, serviceName: SERVICE_NAME, logger })
  if (tracing === undefined) return undefined
  logger.info(`tracing: spans are sent to ${shown(config.endpoint)}`)
  return {
    requests: createRequestTracer(tracing.api, tracing.tracer),
    [Symbol.asyncDispose]: () => tracing[Symbol.asyncDispose](),
  }
}

/** A password in the URL is not shown. */
function shown(endpoint: string | undefined): string {
  if (endpoint === undefined) return 'the default of OpenTelemetry'
  const { origin, pathname } = new URL(endpoint)
  return origin + pathname
}
