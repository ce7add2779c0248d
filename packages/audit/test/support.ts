// What the tests of this package share.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuditedClient, type AuditLog, type AuditLogOptions, type KeyUse, openAudit } from '@latchkey/audit'

export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-audit-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export const CLIENT = new AuditedClient({
  names: 'edge-1.example.com',
  serial: '123456789',
  certificate: 'ab'.repeat(32),
  peer: '192.0.2.1:4711',
})

export function keyUse(change: Partial<KeyUse> = {}): KeyUse {
  return {
    client: CLIENT,
    clientIp: '198.51.100.7',
    ski: 'cd'.repeat(20),
    operation: 'OpECDSASignSHA256',
    serverName: 'www.example.com',
    requestId: 'request-1',
    isScoped: false,
    outcome: 'ok',
    reason: '',
    ...change,
  }
}

export function openLog(directory: string, options: Partial<AuditLogOptions> = {}): AuditLog {
  return openAudit({ directory, name: 'audit-0', now: () => 1_790_000_000_000, ...options })
}

export function fileOf(directory: string, number = 1): string {
  return join(directory, `audit-0.${String(number).padStart(6, '0')}.log`)
}

export function linesOf(path: string): string[] {
  return readFileSync(path, 'latin1').trimEnd().split('\n')
}
