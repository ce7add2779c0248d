// systemd's side of the conversation, played by a Unix datagram socket that is not ours: Python's.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { getBuiltinModule, platform } from 'node:process'
import { createLogger, silentLogger } from '@latchkey/core'
import { openDatagramSocket, unixAddress } from '../src/process/notify-socket.ts'
import { connectServiceManager } from '../src/process/service-manager.ts'
import { type Folder, folderWithCertificates, temporaryFolder } from './config-fixture.ts'
import { start } from './daemon.ts'

/** Prints each datagram as one line of hex. */
const RECEIVER = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
receiver.bind("\\0" + name[1:] if name.startswith("@") else name)
print("bound", flush=True)
while True: print(receiver.recv(65536).hex(), flush=True)
`

function has(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const canReceive = platform === 'linux' && has('python3')
const canSend = canReceive && getBuiltinModule('node:ffi') !== undefined
const canUseCommand = canReceive && has('systemd-notify')

interface Receiver extends AsyncDisposable {
  readonly messages: string[]
  /** The messages so far, when one of them matches. */
  until(pattern: RegExp, count?: number): Promise<readonly string[]>
}

async function receive(name: string): Promise<Receiver> {
  const child = spawn('python3', ['-c', RECEIVER, name], { stdio: ['ignore', 'pipe', 'inherit'] })
  const messages: string[] = []
  let received = ''
  let checks: (() => void)[] = []
  const bound = Promise.withResolvers<void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    received += text
    const lines = received.split('\n')
    received = lines.pop() ?? ''
    for (const line of lines) {
      if (line === 'bound') bound.resolve()
      else messages.push(Buffer.from(line, 'hex').toString())
    }
    for (const check of checks) check()
  })
  await bound.promise
  return {
    messages,
    until: (pattern, count = 1) =>
      new Promise((resolve, reject) => {
        const patience = setTimeout(
          () => reject(new Error(`no ${pattern} in ${messages.join(' | ')}`)),
          10_000,
        )
        const check = (): void => {
          if (messages.filter((message) => pattern.test(message)).length < count) return
          clearTimeout(patience)
          checks = checks.filter((each) => each !== check)
          resolve([...messages])
        }
        checks.push(check)
        check()
      }),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

const NAMES: readonly [string, (folder: Folder) => string][] = [
  ['a path', (folder) => join(folder.path, 'notify')],
  ['an abstract name', () => `@latchkey-test-${process.pid}`],
]
for (const [kind, nameIn] of NAMES) {
  test(`messages and watchdog reach a socket by ${kind}`, { skip: !canSend }, async () => {
    using folder = temporaryFolder()
    const name = nameIn(folder)
    await using receiver = await receive(name)
    const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: '100000', WATCHDOG_PID: String(process.pid) }
    await using manager = connectServiceManager({ env, logger: silentLogger })
    await manager.reloading(() => Promise.resolve()) // too early to be told
    manager.ready(() => 'serving\nall')
    await manager.reloading(() => Promise.resolve())
    await assert.rejects(
      manager.reloading(() => Promise.reject(new Error('no'))),
      /no/,
    )
    manager.stopping('ending')
    const messages = await receiver.until(/^WATCHDOG=1$/, 2)
    const told = messages.filter((message) => !message.startsWith('WATCHDOG'))
    const reloading = /^RELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=reloading$/
    assert.equal(told.length, 6)
    for (const index of [0, 2, 4]) assert.equal(told[index], 'READY=1\nSTATUS=serving all')
    for (const index of [1, 3]) assert.match(told[index] ?? '', reloading)
    assert.equal(told[5], 'STOPPING=1\nSTATUS=ending')
    const usec = BigInt(reloading.exec(told[1] ?? '')?.[1] ?? 0)
    const nowUsec = process.hrtime.bigint() / 1000n
    assert.ok(usec <= nowUsec && nowUsec - usec < 60_000_000n)
  })
}

test('a stuck event loop feeds no watchdog', { skip: !canSend }, async () => {
  using folder = temporaryFolder()
  const name = join(folder.path, 'notify')
  await using receiver = await receive(name)
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: '40000' }
  await using _manager = connectServiceManager({ env, logger: silentLogger })
  await receiver.until(/^WATCHDOG=1$/)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  const sentMeanwhile = receiver.messages.length
  await receiver.until(/^WATCHDOG=1$/, sentMeanwhile + 3)
  assert.ok(sentMeanwhile < 10)
})

test('a watchdog of another process is not fed', { skip: !canSend }, async () => {
  using folder = temporaryFolder()
  const name = join(folder.path, 'notify')
  await using receiver = await receive(name)
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' }
  await using manager = connectServiceManager({ env, logger: silentLogger })
  await new Promise((resolve) => setTimeout(resolve, 100))
  manager.ready(() => 'x')
  assert.deepEqual(await receiver.until(/READY/), ['READY=1\nSTATUS=x'])
})

test('without node:ffi the command of systemd tells, in order', { skip: !canUseCommand }, async () => {
  using folder = temporaryFolder()
  const name = join(folder.path, 'notify')
  await using receiver = await receive(name)
  const lines: string[] = []
  const logger = createLogger(({ text }) => lines.push(text))
  {
    await using manager = connectServiceManager({
      env: { NOTIFY_SOCKET: name },
      logger,
      openSocket: () => undefined,
    })
    manager.ready(() => 'all is well')
    manager.stopping('ending')
  }
  const messages = await receiver.until(/STOPPING=1/)
  assert.deepEqual(lines, [])
  const told = messages.map((message) =>
    message.split('\n').filter((line) => /^(READY|STOPPING|STATUS)=/.test(line)),
  )
  assert.deepEqual(told, [
    ['READY=1', 'STATUS=all is well'],
    ['STOPPING=1', 'STATUS=ending'],
  ])
})

test('nobody to tell, or nobody there: nothing, or one warning', async () => {
  const lines: string[] = []
  const logger = createLogger(({ level, text }) => lines.push(`${level}: ${text}`))
  await using nobody = connectServiceManager({ env: {}, logger })
  nobody.ready(() => 'x')
  assert.deepEqual(lines, [])
  {
    await using gone = connectServiceManager({ env: { NOTIFY_SOCKET: '/nowhere/notify' }, logger })
    gone.ready(() => 'x')
    gone.stopping('x')
  }
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /^warning: systemd cannot be told/)
})

test('addresses of Unix sockets', () => {
  assert.deepEqual([...(unixAddress('/a') ?? [])].slice(2), [0x2f, 0x61, 0])
  assert.deepEqual([...(unixAddress('@a') ?? [])].slice(2), [0, 0x61])
  for (const name of ['', '@', 'a', 'vsock:2:1', `/${'a'.repeat(107)}`, '/a\0b']) {
    assert.equal(unixAddress(name), undefined, name)
    assert.equal(openDatagramSocket(name), undefined, name)
  }
  assert.equal(unixAddress(`/${'a'.repeat(106)}`)?.length, 110)
})

test('process: a key server tells systemd when it is ready, reloads and ends', {
  skip: !canSend,
}, async () => {
  using folder = folderWithCertificates()
  folder.write('gokeyless.yaml', 'port: 0\nmetrics_port: 0\nprivate_key_stores:\n- dir: keys\n')
  const name = join(folder.path, 'notify')
  await using receiver = await receive(name)
  await using daemon = start(folder, ['keyserver'], { env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: '200000' } })
  await receiver.until(/^READY=1\nSTATUS=keys: 0; listening at 127\.0\.0\.1:\d+$/)
  await receiver.until(/^WATCHDOG=1$/)
  daemon.child.kill('SIGHUP')
  await receiver.until(/^RELOADING=1\nMONOTONIC_USEC=\d+\n/)
  await receiver.until(/^READY=1\n/, 2)
  daemon.child.kill('SIGTERM')
  await receiver.until(/^STOPPING=1\n/)
  const { code, err } = await daemon.ended
  assert.equal(code, 0)
  assert.doesNotMatch(err, /WARNING.*systemd/)
})
