// When the certificates end that a key server has to do with: its own, the CAs, and those of its clients.
import { certificateBlocks } from './client-certificate.ts'
import { X509Certificate } from 'node:crypto'
import type { Gauge, MetricRegistry, SeriesIndex } from '@latchkey/core'
import { decimal } from './client.ts'

/** Beyond this the client certificate that was not seen for longest is forgotten. */
const MAX_CLIENT_CERTIFICATES = 1000
/** Short-lived client certificates would otherwise stay for as long as the process. */
const UNSEEN_MS = 24 * 3_600_000
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_USAGE = '2.5.29.37.0'

interface Seen {
  readonly series: SeriesIndex
  readonly endMs: number
  readonly seenMs: number
}

export class CertificateMetrics {
  readonly #gauge: Gauge
  readonly #nowMs: () => number
  readonly #byFile = new Map<string, readonly SeriesIndex[]>()
  /** By labels, the one that was seen last at the end. Two certificates may have the same labels. */
  readonly #ofClients = new Map<string, Seen>()

  constructor(registry: MetricRegistry, nowMs: () => number) {
    this.#nowMs = nowMs
    this.#gauge = registry.gauge('certificate_expiration_timestamp_seconds', {
      help: 'End of validity of certificates in files and of clients, Unix time.',
      labelNames: ['source', 'serial_no', 'cn', 'hostnames', 'ca', 'server', 'client'],
      merge: 'max',
    })
    registry.beforeSnapshot(() => this.#forgetClients())
  }

  /** What a file holds now, in place of what it held. What cannot be read in it is passed over. */
  setFile(path: string, pem: string): void {
    for (const series of this.#byFile.get(path) ?? []) this.#gauge.remove(series)
    const certificates = certificateBlocks(pem).flatMap((block) => parsed(block) ?? [])
    this.#byFile.set(
      path,
      certificates.map((certificate) => this.#set(labelsOf(path, certificate), certificate)),
    )
  }

  /** @param source the listener at which this chain was shown. */
  clientSeen(source: string, chain: readonly X509Certificate[]): void {
    for (const certificate of chain) {
      const labels = labelsOf(source, certificate)
      const key = labels.join('\n')
      const series = this.#set(labels, certificate)
      this.#ofClients.delete(key) // to the end of the line
      this.#ofClients.set(key, { series, endMs: certificate.validToDate.getTime(), seenMs: this.#nowMs() })
    }
    for (const [key, seen] of this.#ofClients) {
      if (this.#ofClients.size <= MAX_CLIENT_CERTIFICATES) break
      this.#forget(key, seen)
    }
  }

  #set(labels: readonly string[], { validToDate }: X509Certificate): SeriesIndex {
    const series = this.#gauge.series(...labels)
    this.#gauge.set(series, Math.floor(validToDate.getTime() / 1000))
    return series
  }

  #forgetClients(): void {
    const nowMs = this.#nowMs()
    for (const [key, seen] of this.#ofClients) {
      if (seen.endMs < nowMs || nowMs - seen.seenMs > UNSEEN_MS) this.#forget(key, seen)
    }
  }

  #forget(key: string, { series }: Seen): void {
    this.#ofClients.delete(key)
    this.#gauge.remove(series)
  }
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined // whoever uses the file says so
  }
}

function labelsOf(source: string, certificate: X509Certificate): string[] {
  const { serialNumber, subject, ca } = certificate
  const usages: readonly string[] | undefined = certificate.keyUsage // node:crypto calls the extended one so
  const has = (usage: string): string =>
    usages?.some((each) => each === usage || each === ANY_USAGE) ? '1' : '0'
  return [
    source,
    decimal(serialNumber),
    commonName(subject ?? ''),
    dnsNames(certificate).join(','),
    ca ? '1' : '0',
    has(SERVER_AUTH),
    has(CLIENT_AUTH),
  ]
}

/** The last one, as Go has it; node:crypto escapes as RFC 4514 §2.4 does. */
function commonName(subject: string): string {
  const line = subject.split('\n').findLast((each) => each.startsWith('CN='))
  const escaped = line?.slice('CN='.length) ?? ''
  return escaped.replaceAll(/\\([0-9A-F]{2}|.)/g, (_, char: string) =>
    char.length === 2 ? String.fromCharCode(Number.parseInt(char, 16)) : char,
  )
}

/** node:crypto writes them as `DNS:a.example, DNS:b.example`. */
function dnsNames({ subjectAltName }: X509Certificate): string[] {
  const entries = subjectAltName?.split(', ') ?? []
  return entries
    .filter((entry) => entry.startsWith('DNS:'))
    .map((entry) => entry.slice('DNS:'.length))
    .toSorted()
}
