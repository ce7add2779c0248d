// The client goes away, in each way and in each state: the server lets go of its TCP socket, and nobody signs any more.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Signer, TlsError, TlsSocket } from '@latchkey/tls'
import { RawClient } from './support/raw-client.ts'
import { localSigner, startTls, until } from './support/socket-server.ts'
import type { ClientOptions } from './support/test-client.ts'

/** Signs when it is told to, or never. */
class PatientSigner implements Signer {
  readonly signals: AbortSignal[] = []
  isHolding = false

  sign(...[request, signal]: Parameters<Signer['sign']>): ReturnType<Signer['sign']> {
    this.signals.push(signal)
    if (!this.isHolding) return localSigner.sign(request, signal)
    return new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    )
  }
}

interface State {
  readonly options?: ClientOptions
  readonly isHolding?: boolean
  /** Brings the client there. */
  readonly reach: (client: RawClient, signer: PatientSigner) => Promise<unknown>
}

const STATES: Readonly<Record<string, State>> = {
  'before the first byte': { reach: async ({ socket }) => until(() => !socket.connecting) },
  'in the middle of a hello': {
    reach: async ({ socket, tls }) => {
      tls.start()
      socket.write(tls.take().subarray(0, 60))
    },
  },
  'before the second hello': {
    options: { shares: [], autoRetry: false },
    reach: async (client) => {
      client.hello()
      await until(() => client.tls.retries === 1)
    },
  },
  'while the signature is waited for': {
    isHolding: true,
    reach: async (client, signer) => {
      client.hello()
      await until(() => signer.signals.length === 1)
    },
  },
  'before Finished': {
    options: { autoFinish: false },
    reach: async (client) => {
      client.hello()
      await until(() => client.tls.state === 'finished')
    },
  },
  established: { reach: async (client) => client.connected() },
}

const LOSSES: Readonly<Record<string, (client: RawClient) => void>> = {
  FIN: ({ socket }) => socket.destroySoon(),
  RST: ({ socket }) => void socket.resetAndDestroy(),
  // The client reads on: the server must not wait for it.
  'half-close': ({ socket }) => void socket.end(),
}

for (const [state, { options, isHolding = false, reach }] of Object.entries(STATES)) {
  for (const [loss, lose] of Object.entries(LOSSES)) {
    test(`row 40: ${loss} ${state}`, async () => {
      const signer = new PatientSigner()
      signer.isHolding = isHolding
      const sockets: TlsSocket[] = []
      const errors: (TlsError | Error)[] = []
      await using running = await startTls(
        (socket) => {
          sockets.push(socket)
          socket.on('error', (error) => errors.push(error)).resume()
        },
        { signer },
      )
      using client = new RawClient(running.port, options)
      await reach(client, signer)
      await until(() => running.raw.length === 1)
      const [raw] = running.raw
      lose(client)
      await until(() => raw?.destroyed === true)
      const isEstablished = state === 'established'
      assert.equal(sockets.length, isEstablished ? 1 : 0)
      assert.deepEqual(
        running.failures.map(({ code }) => code),
        isEstablished ? [] : ['ERR_TLS_TRANSPORT'],
      )
      if (isEstablished) await until(() => sockets[0]?.destroyed === true)
      // An end without close_notify may be the end of the data; a reset is an error.
      assert.equal(errors.length, isEstablished && loss === 'RST' ? 1 : 0, String(errors[0]))
      assert.equal(
        signer.signals.length,
        signer.isHolding || isEstablished || state === 'before Finished' ? 1 : 0,
      )
      if (isHolding) assert.equal(signer.signals[0]?.aborted, true, 'the signer was called off')
    })
  }
}
