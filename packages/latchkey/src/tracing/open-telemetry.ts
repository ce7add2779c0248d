// OpenTelemetry, as far as we use it. Its packages are not dependencies of ours: whoever wants traces installs them, and
// they are loaded only then. So their types are written down here.
import type { Logger } from '@latchkey/core'

export interface OtelContext {
  readonly getValue: (key: symbol) => unknown
}

export interface OtelSpan {
  isRecording(): boolean
  setAttributes(attributes: Readonly<Record<string, string>>): void
  setStatus(status: { readonly code: number; readonly message?: string }): void
  end(): void
}

export interface OtelTracer {
  startSpan(name: string, options: { readonly kind: number }, context: OtelContext): OtelSpan
}

/** `@opentelemetry/api` */
export interface OtelApi {
  readonly ROOT_CONTEXT: OtelContext
  readonly trace: {
    setSpan(context: OtelContext, span: OtelSpan): OtelContext
    setSpanContext(
      context: OtelContext,
      span: {
        readonly traceId: string
        readonly spanId: string
        readonly traceFlags: number
        readonly isRemote: boolean
      },
    ): OtelContext
  }
  readonly diag: { setLogger(logger: OtelDiagnostics, level: number): boolean; disable(): void }
  readonly DiagLogLevel: { readonly WARN: number }
  readonly SpanKind: { readonly INTERNAL: number; readonly SERVER: number }
  readonly SpanStatusCode: { readonly ERROR: number }
}

type OtelDiagnostics = Readonly<
  Record<'error' | 'warn' | 'info' | 'debug' | 'verbose', (text: string) => void>
>

/** `@opentelemetry/sdk-trace` 3 */
interface OtelSdk {
  readonly TracerProvider: new (
    options: object,
  ) => {
    getTracer(name: string): OtelTracer
    shutdown(): Promise<void>
  }
  readonly BatchSpanProcessor: new (options: { readonly exporter: object }) => object
  readonly ParentBasedSampler: new (options: { readonly root: object }) => object
  readonly TraceIdRatioBasedSampler: new (ratio: number) => object
}

/** `@opentelemetry/exporter-trace-otlp-http` */
interface OtelExporter {
  readonly OTLPTraceExporter: new (options: { readonly url?: string }) => object
}

/** `@opentelemetry/resources` */
interface OtelResources {
  readonly resourceFromAttributes: (attributes: Readonly<Record<string, string>>) => object
}

export const OTEL_PACKAGES = [
  '@opentelemetry/api',
  '@opentelemetry/sdk-trace',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
] as const

export interface TracingOptions {
  /** Where OTLP over HTTP is taken. Undefined: as the OTEL_… variables say, else http://localhost:4318/v1/traces. */
  readonly endpoint: string | undefined
  /** Of traces that begin here, from 0 to 1. Those of callers are recorded if the caller records them. */
  readonly sampleRate: number
  readonly serviceName: string
  readonly logger: Logger
}

export interface Tracing extends AsyncDisposable {
  readonly api: OtelApi
  readonly tracer: OtelTracer
}

/** The last spans are sent at the end, for so long. */
const SHUTDOWN_MS = 3000
/** OpenTelemetry reports the same trouble with every batch. */
const REPORT_INTERVAL_MS = 60_000
const MAX_REPORT_CHARS = 200

/** Loads OpenTelemetry. If it is not installed, an error line says what is missing, and the program goes on without. */
export async function startTracing(
  { endpoint, sampleRate, serviceName, logger }: TracingOptions,
  load: (name: string) => Promise<unknown> = (name) => import(name),
): Promise<Tracing | undefined> {
  let packages: unknown[]
  try {
    packages = await Promise.all(OTEL_PACKAGES.map((name) => load(name)))
  } catch (error) {
    logger.error(
      `tracing_enabled: OpenTelemetry cannot be loaded (${error instanceof Error ? error.message.split('\n', 1)[0] : 'unknown failure'}); going on without. Install ${OTEL_PACKAGES.join(' ')}`,
    )
    return undefined
  }
  const [api, sdk, exporters, resources] = packages as [OtelApi, OtelSdk, OtelExporter, OtelResources]
  api.diag.setLogger(diagnosticsTo(logger), api.DiagLogLevel.WARN)
  const exporter = new exporters.OTLPTraceExporter(endpoint === undefined ? {} : { url: endpoint })
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': serviceName }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(sampleRate) }),
    // Its queue is bounded; what does not fit is dropped.
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter })],
  })
  return {
    api,
    tracer: provider.getTracer('latchkey'),
    [Symbol.asyncDispose]: async () => {
      const { promise: tooLate, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, SHUTDOWN_MS)
      await Promise.race([provider.shutdown().catch(() => {}), tooLate])
      clearTimeout(timer)
      api.diag.disable()
    },
  }
}

function diagnosticsTo(logger: Logger): OtelDiagnostics {
  let lastMs = Number.NEGATIVE_INFINITY
  const report = (text: string): void => {
    const nowMs = performance.now()
    if (nowMs - lastMs < REPORT_INTERVAL_MS) return
    lastMs = nowMs
    logger.warning(`tracing: ${text.slice(0, MAX_REPORT_CHARS)}`)
  }
  return { error: report, warn: report, info: () => {}, debug: () => {}, verbose: () => {} }
}
