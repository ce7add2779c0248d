import { AuditedClient, type AuditReport, openAudit, verifyAudit } from '@latchkey/audit'

/** Records one signature, and proves the log. */
export function recordAndVerify(directory: string): AuditReport {
  using log = openAudit({ directory, name: 'audit-0', now: Date.now })
  const client = new AuditedClient({ names: 'edge', serial: '7', certificate: '', peer: '192.0.2.1:4711' })
  const batch = log.record({
    client,
    clientIp: '198.51.100.7',
    ski: '1234567890123456789012345678901234567890',
    operation: 'OpECDSASignSHA256',
    serverName: 'www.example.com',
    requestId: '',
    isScoped: false,
    outcome: 'ok',
    reason: '',
  })
  log.commit()
  if (!batch.isKept) throw new Error(`not recorded: ${log.failure}`) // then nothing may be acknowledged either
  return verifyAudit([directory])
}
