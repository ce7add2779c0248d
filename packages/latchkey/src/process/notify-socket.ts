// Datagrams to a Unix socket, which Node itself cannot send: through libc by node:ffi. Linux only, as systemd is.
import { endianness } from 'node:os'
import { getBuiltinModule, platform } from 'node:process'

/** node:ffi of Node 26.1 and later, as far as we use it; node's typings do not have it yet. */
interface Ffi {
  dlopen(
    path: null,
    signatures: Readonly<Record<string, { arguments: readonly string[]; return: string }>>,
  ): { functions: unknown }
}

interface Libc {
  readonly socket: (domain: number, type: number, protocol: number) => number
  readonly sendto: (
    socket: number,
    bytes: Uint8Array,
    length: bigint,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ) => bigint
  readonly close: (socket: number) => number
}

const SIGNATURES = {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  sendto: { arguments: ['i32', 'buffer', 'u64', 'i32', 'buffer', 'u32'], return: 'i64' },
  close: { arguments: ['i32'], return: 'i32' },
} as const

/** socket(2), send(2) on Linux. A full queue must not stop the event loop, a closed one not the process. */
const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
/** unix(7): sun_path has 108 bytes. */
const MAX_PATH_BYTES = 108

export interface DatagramSocket extends Disposable {
  /** Whether the datagram has been taken. */
  send(text: string): boolean
}

/**
 * A socket that sends to `name`: a path, or with a leading `@` a name in Linux's abstract namespace. Undefined where
 * this Node cannot, or for a name that is neither.
 */
export function openDatagramSocket(name: string): DatagramSocket | undefined {
  const address = unixAddress(name)
  const ffi = platform === 'linux' ? (getBuiltinModule('node:ffi') as Ffi | undefined) : undefined
  if (ffi === undefined || address === undefined) return undefined
  const { socket, sendto, close } = ffi.dlopen(null, SIGNATURES).functions as Libc
  const descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (descriptor < 0) return undefined
  return {
    send: (text) => {
      const bytes = new TextEncoder().encode(text)
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL
      const sent = sendto(descriptor, bytes, BigInt(bytes.length), flags, address, address.length)
      return sent === BigInt(bytes.length)
    },
    [Symbol.dispose]: () => void close(descriptor),
  }
}

/** struct sockaddr_un: the family in the machine's byte order, then the path. */
export function unixAddress(name: string): Uint8Array | undefined {
  const path = new TextEncoder().encode(name.startsWith('@') ? name.slice(1) : name)
  const isAbstract = name.startsWith('@')
  if (!isAbstract && !name.startsWith('/')) return undefined
  // A zero byte before an abstract name, after a path.
  if (path.length === 0 || path.length + 1 > MAX_PATH_BYTES || path.includes(0)) return undefined
  const address = new Uint8Array(2 + path.length + 1)
  new DataView(address.buffer).setUint16(0, AF_UNIX, endianness() === 'LE')
  address.set(path, isAbstract ? 3 : 2)
  return address
}
