// The files of a key server's own certificate, and how a new pair takes the place of the old one: whole, or not at all.
//
// What is new is written beside what is old, with `.new` behind its name, and renamed when all of it is there and on
// the disk: key, certificate, request, in this order. A process that is killed, or a disk that is full, leaves one of
//
//   server-key.pem.new                         nothing was issued, or not stored: removed
//   server-key.pem.new, server.pem.new         complete: renamed
//   server-key.pem (new), server.pem.new       the key was renamed: the certificate follows
//   server-key.pem.new, server.pem (new)       after a loss of power, which may reorder renames: the key follows
//   server.csr.new alone                       key and certificate were renamed: the request follows
//
// and `recoverPair`, at the next start, ends it. A rename that is refused is undone from a second name of the old key
// (`.old`), so that the old pair is there again.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  constants,
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
import { type CertificateRequest, isRequestOf } from './certificate-request.ts'
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
 * Puts the staged key and its certificate in the place of the old ones. A key that no enrolment made, which its request
 * would tell, keeps a further name: where `auth_key` names the key of a site by mistake, the only copy of it would be gone.
 *
 * @param now milliseconds since the epoch, for that name.
 * @returns that name.
 * @throws {EnrolmentError} ERR_ENROLMENT_FILES; the old ones are in their place then.
 */
export async function completePair(
  files: PairFiles,
  { privateKeyPem }: CertificateRequest,
  { certificatePem, now }: { readonly certificatePem: string; readonly now: number },
): Promise<string | undefined> {
  const at = resolved(files)
  return await orDiscard(files, async () => {
    await writeBeside(at.cert, certificatePem, PUBLIC_MODE)
    const keptKey = (await isForeign(at)) ? replacedName(at.key, now) : undefined
    // Two processes that enrol into the same files must not mix their halves.
    const isOurs = read(pending(at.key)) === privateKeyPem && read(pending(at.cert)) === certificatePem
    if (!isOurs) throw new Error('another process enrols into the same files')
    if (keptKey !== undefined) keepAs(at.key, keptKey)
    try {
      rename(at)
    } catch (error) {
      if (keptKey !== undefined) removeQuietly(keptKey)
      throw error
    }
    await syncDirectories([at.key, at.csr, at.cert])
    return keptKey
  })
}

async function isForeign({ key, csr }: PairFiles): Promise<boolean> {
  const [privateKeyPem, csrPem] = [read(key), read(csr)]
  if (privateKeyPem === undefined) return false
  return csrPem === undefined || !(await isRequestOf({ privateKeyPem, csrPem }))
}

/** `server-key.pem.replaced-20261122T062256Z` */
function replacedName(key: string, now: number): string {
  return `${key}.replaced-${new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
}

/** Removes what was staged. */
export function discardPair(files: PairFiles): void {
  for (const path of Object.values(resolved(files))) removeQuietly(pending(path))
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
    removeQuietly(former(at.key))
    renameRequest(at.csr)
    return 'nothing'
  }
  const isComplete = isPair(newCert, newKey) || isPair(newCert, read(at.key)) || isPair(read(at.cert), newKey)
  try {
    if (isComplete) rename(at)
  } catch (cause) {
    throw filesError(cause)
  } finally {
    discardPair(files)
    removeQuietly(former(at.key))
  }
  return isComplete ? 'completed' : 'discarded'
}

/** Without a wait, so that nothing else of this process comes between. */
function rename({ key, csr, cert }: PairFiles): void {
  if (existsSync(pending(key)) && existsSync(key)) keepFormer(key)
  try {
    renamePending(key)
    renamePending(cert)
  } catch (error) {
    if (existsSync(former(key))) renameSync(former(key), key)
    throw error
  }
  removeQuietly(former(key))
  renameRequest(csr)
}

/** It is a record: key and certificate do without it. */
function renameRequest(csr: string): void {
  try {
    renamePending(csr)
  } catch {
    removeQuietly(pending(csr))
  }
}

function renamePending(path: string): void {
  if (existsSync(pending(path))) renameSync(pending(path), path)
}

function keepFormer(key: string): void {
  rmSync(former(key), { force: true })
  keepAs(key, former(key))
}

function keepAs(path: string, name: string): void {
  try {
    linkSync(path, name)
  } catch {
    copyFileSync(path, name, constants.COPYFILE_EXCL) // a file system without hard links; the mode is copied
  }
}

/** What cannot be removed is in nobody's way: the next enrolment begins by replacing it. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // See above.
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

async function orDiscard<T>(files: PairFiles, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
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
