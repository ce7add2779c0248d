// The files of a key server's own certificate, and how a new pair takes the place of the old one: whole, or not at all.
//
// What is new is written beside what is old, with `.new` behind its name, and renamed when all of it is there and on
// the disk: key, request, certificate, in this order. A process that is killed, or a disk that is full, leaves one of
//
//   server-key.pem.new                         nothing was issued, or not stored: removed
//   server-key.pem.new, server.pem.new         complete: renamed
//   server-key.pem (new), server.pem.new       the key was renamed: the certificate follows
//   server-key.pem.new, server.pem (new)       after a loss of power, which may reorder renames: the key follows
//
// and `recoverPair`, at the next start, ends it. A rename that is refused is undone from a second name of the old key
// (`.old`), so that the old pair is there again.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  linkSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
} from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CertificateRequest } from './certificate-request.ts'
import { EnrolmentError } from './errors.ts'

/** Absolute paths. */
export interface PairFiles {
  readonly cert: string
  readonly key: string
  readonly csr: string
}

const SECRET_MODE = 0o600
const PUBLIC_MODE = 0o644

/** Writes key and request beside the old ones. @throws {EnrolmentError} ERR_ENROLMENT_FILES; nothing is left then. */
export async function stageRequest(
  files: PairFiles,
  { privateKeyPem, csrPem }: CertificateRequest,
): Promise<void> {
  const { key, csr } = resolved(files)
  await orDiscard(files, async () => {
    await writeBeside(key, privateKeyPem, SECRET_MODE)
    await writeBeside(csr, csrPem, SECRET_MODE)
  })
}

/** Puts the staged request in its place, for a certificate that comes by hand. @throws {EnrolmentError} */
export async function completeRequest(files: PairFiles): Promise<void> {
  const { key, csr } = resolved(files)
  await orDiscard(files, async () => {
    renameSync(pending(key), key)
    renameSync(pending(csr), csr)
    await syncDirectories([key, csr])
  })
}

/**
 * Puts the staged key and its certificate in the place of the old ones.
 *
 * @throws {EnrolmentError} ERR_ENROLMENT_FILES; the old ones are in their place then.
 */
export async function completePair(
  files: PairFiles,
  { privateKeyPem }: CertificateRequest,
  certificatePem: string,
): Promise<void> {
  const at = resolved(files)
  await orDiscard(files, async () => {
    await writeBeside(at.cert, certificatePem, PUBLIC_MODE)
    // Two processes that enrol into the same files must not mix their halves.
    const isOurs = read(pending(at.key)) === privateKeyPem && read(pending(at.cert)) === certificatePem
    if (!isOurs) throw new Error('another process enrols into the same files')
    rename(at)
    await syncDirectories([at.key, at.csr, at.cert])
  })
}

/** Removes what was staged. */
export function discardPair(files: PairFiles): void {
  for (const path of Object.values(resolved(files))) rmSync(pending(path), { force: true })
}

/**
 * Ends what a process that did not live to end it has left. Called before the pair is read.
 *
 * @throws {EnrolmentError} ERR_ENROLMENT_FILES; the old ones are in their place then.
 */
export function recoverPair(files: PairFiles): 'nothing' | 'completed' | 'discarded' {
  const at = resolved(files)
  const [newKey, newCert] = [read(pending(at.key)), read(pending(at.cert))]
  if (newKey === undefined && newCert === undefined) {
    if (existsSync(former(at.key))) rmSync(former(at.key))
    return 'nothing'
  }
  const isComplete = isPair(newCert, newKey) || isPair(newCert, read(at.key)) || isPair(read(at.cert), newKey)
  try {
    if (isComplete) rename(at)
  } catch (cause) {
    throw filesError(cause)
  } finally {
    discardPair(files)
    rmSync(former(at.key), { force: true })
  }
  return isComplete ? 'completed' : 'discarded'
}

/** Without a wait, so that nothing else of this process comes between. */
function rename({ key, csr, cert }: PairFiles): void {
  if (existsSync(pending(key)) && existsSync(key)) keepFormer(key)
  try {
    for (const path of [key, csr, cert]) {
      if (existsSync(pending(path))) renameSync(pending(path), path)
    }
  } catch (error) {
    if (existsSync(former(key))) renameSync(former(key), key)
    throw error
  }
  rmSync(former(key), { force: true })
}

function keepFormer(key: string): void {
  rmSync(former(key), { force: true })
  try {
    linkSync(key, former(key))
  } catch {
    copyFileSync(key, former(key)) // a file system without hard links; the mode is copied
  }
}

async function writeBeside(path: string, text: string, mode: number): Promise<void> {
  const old = await stat(path).catch(() => undefined)
  await rm(pending(path), { force: true })
  const file = await open(pending(path), 'wx', mode)
  try {
    await file.writeFile(text)
    await keepOwner(file, old)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** An enrolment by root into the files of another user must not take them away from it. */
async function keepOwner(
  file: { chown(uid: number, gid: number): Promise<void> },
  old: Stats | undefined,
): Promise<void> {
  if (old !== undefined && process.getuid?.() === 0) await file.chown(old.uid, old.gid)
}

async function syncDirectories(paths: readonly string[]): Promise<void> {
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    const handle = await open(directory, 'r')
    try {
      await handle.sync()
    } catch {
      // Some file systems cannot; the files themselves are on the disk.
    } finally {
      await handle.close()
    }
  }
}

async function orDiscard(files: PairFiles, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    discardPair(files)
    throw filesError(cause)
  }
}

function filesError(cause: unknown): EnrolmentError {
  return new EnrolmentError('ERR_ENROLMENT_FILES', { detail: (cause as Error).message, cause })
}

/** A symbolic link stays one: what it leads to is replaced. */
function resolved(files: PairFiles): PairFiles {
  const follow = (path: string): string => {
    try {
      return realpathSync(path)
    } catch {
      return path
    }
  }
  return { cert: follow(files.cert), key: follow(files.key), csr: follow(files.csr) }
}

function pending(path: string): string {
  return `${path}.new`
}

function former(path: string): string {
  return `${path}.old`
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function isPair(cert: string | undefined, key: string | undefined): boolean {
  if (cert === undefined || key === undefined) return false
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}
