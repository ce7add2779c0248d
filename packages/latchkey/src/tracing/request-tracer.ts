// The requests of a key server as spans of OpenTelemetry, under the names of gokeyless.
import type { KeyRequest, RequestSpan, RequestTracer, WorkSpan } from '@latchkey/keyserver'
import type { OtelApi, OtelContext, OtelSpan, OtelTracer } from './open-telemetry.ts'

const TEXT_DECODER = new TextDecoder()
/** Clients choose some of them. */
const MAX_ATTRIBUTE_CHARS = 256

export function createRequestTracer(api: OtelApi, tracer: OtelTracer): RequestTracer {
  return {
    begin: (request, caller) => {
      const context =
        caller === undefined
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, {
              traceId: caller.traceId,
              spanId: caller.spanId,
              traceFlags: caller.isSampled ? 1 : 0,
              isRemote: true,
            })
      const span = tracer.startSpan('operation execution', { kind: api.SpanKind.SERVER }, context)
      if (!span.isRecording()) return undefined
      span.setAttributes(attributesOf(request))
      return new RecordedRequest(api, tracer, span, context)
    },
  }
}

class RecordedWork implements WorkSpan {
  protected readonly api: OtelApi
  protected readonly span: OtelSpan
  #hasEnded = false

  constructor(api: OtelApi, span: OtelSpan) {
    this.api = api
    this.span = span
  }

  end(failure?: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    if (failure !== undefined) this.span.setStatus({ code: this.api.SpanStatusCode.ERROR, message: failure })
    this.span.end()
  }
}

class RecordedRequest extends RecordedWork implements RequestSpan {
  readonly #tracer: OtelTracer
  readonly #context: OtelContext

  constructor(api: OtelApi, tracer: OtelTracer, span: OtelSpan, context: OtelContext) {
    super(api, span)
    this.#tracer = tracer
    this.#context = api.trace.setSpan(context, span)
  }

  begin(name: string): WorkSpan {
    const { api } = this
    return new RecordedWork(api, this.#tracer.startSpan(name, { kind: api.SpanKind.INTERNAL }, this.#context))
  }
}

/** What the request does not say is left out. */
function attributesOf(request: KeyRequest): Record<string, string> {
  const { operation, client } = request
  const { digest, customFunction, complianceRegion } = operation
  const all = {
    'operation.opcode': request.opcodeName,
    'operation.ski': request.skiHex,
    'operation.digest': digest === undefined ? '' : Buffer.from(digest).toString('hex'),
    'operation.clientip': request.clientIp,
    'operation.serverip': request.serverIp,
    'operation.sni': request.serverName,
    'operation.certid': request.certId,
    'operation.customfuncname': customFunction === undefined ? '' : TEXT_DECODER.decode(customFunction),
    'operation.compliance_region': complianceRegion === undefined ? '' : String(complianceRegion),
    request_id: request.requestId,
    peer: client.peer,
    client: client.names,
  }
  const said = Object.entries(all).filter(([, value]) => value !== '')
  return Object.fromEntries(said.map(([name, value]) => [name, value.slice(0, MAX_ATTRIBUTE_CHARS)]))
}
