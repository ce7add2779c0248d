// The ground floor: what every other package needs and no word of our domain.
export { allocate, concatenate } from './allocate.ts'
export {
  allowsDigitalSignature,
  type CertificateExtension,
  readCertificateExtensions,
} from './certificate-extensions.ts'
export type { Clock } from './clock.ts'
export { DER_TAG, type DerElement, readDerElement, readInside, readOid, subjectPublicKey } from './der.ts'
export { type ClockMs, formatDuration, parseDuration } from './duration.ts'
export { CodedError, type ErrorDetail } from './errors.ts'
export { hostAndPort } from './host-and-port.ts'
export {
  createLogger,
  formatJsonLine,
  formatTextLine,
  type LogFields,
  type Logger,
  type LogLevel,
  type LogRecord,
  parseLogLevel,
  silentLogger,
} from './log.ts'
export { MetricHistory } from './metric-history.ts'
export type { SeriesIndex, SeriesSnapshot } from './metric-series.ts'
export {
  type Counter,
  type Gauge,
  type GaugeMerge,
  type Histogram,
  MetricRegistry,
  type MetricSnapshot,
} from './metrics.ts'
export { mergeMetrics, METRICS_CONTENT_TYPE, renderMetrics, type RenderOptions } from './metrics-text.ts'
export { release } from './release.ts'
export { DecodeError, type DecodeErrorCode, DECODE_ERRORS, Reader } from './reader.ts'
export { Writer } from './writer.ts'
