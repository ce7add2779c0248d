import assert from 'node:assert/strict'
import test from 'node:test'
import { encodePacket, readHeader } from '@latchkey/wire'
import { type PendingRequest, PendingRequests } from './pending-requests.ts'

function request(changed: Partial<PendingRequest> = {}): PendingRequest {
  return {
    packet: encodePacket(0, { opcode: 0xf1 }),
    maxAttempts: 2,
    deadline: 100,
    resolve: () => {},
    reject: () => {},
    attempts: 0,
    sentAt: 0,
    id: undefined,
    ...changed,
  }
}

test('sent in order, each under its own id, which is written into its packet', () => {
  const pending = new PendingRequests()
  const requests = [request(), request(), request()]
  for (const one of requests) pending.add(one)
  assert.deepEqual([pending.waiting, pending.waitingBytes], [3, 3072])
  for (const [id, one] of requests.entries()) {
    assert.equal(pending.send(50 + id), one)
    assert.deepEqual([one.id, one.sentAt, one.attempts], [id, 50 + id, 1])
    assert.equal(readHeader(one.packet).id, id)
  }
  assert.equal(pending.send(60), undefined)
  assert.deepEqual([pending.waiting, pending.waitingBytes, pending.inFlight, pending.size], [0, 0, 3, 3])
  assert.equal(pending.takeAnswered(1), requests[1])
  assert.equal(pending.takeAnswered(1), undefined)
  assert.equal(pending.takeAnswered(77), undefined)
})

test('ids wrap around and skip those still in flight', () => {
  const pending = new PendingRequests(3)
  const send = (): number | undefined => {
    pending.add(request())
    return pending.send(0)?.id
  }
  assert.deepEqual([send(), send(), send(), send()], [0, 1, 2, 3])
  for (const id of [0, 2, 3]) pending.takeAnswered(id)
  assert.deepEqual([send(), send(), send()], [0, 2, 3])
})

test('a lost connection: the first attempts wait again, before those never sent; the last ones are out', () => {
  const pending = new PendingRequests()
  const [first, last, fresh] = [request(), request({ attempts: 1 }), request()]
  for (const one of [first, last]) pending.add(one)
  pending.send(0)
  pending.send(0)
  pending.add(fresh)
  assert.deepEqual(pending.takeExhausted(), [last])
  assert.deepEqual([pending.inFlight, pending.waiting], [0, 2])
  assert.equal(pending.send(1), first)
  assert.equal(first.attempts, 2)
  assert.equal(pending.send(1), fresh)
})

test('what is given up is gone, wherever it was', () => {
  const pending = new PendingRequests()
  const [sent, waiting] = [request(), request()]
  pending.add(sent)
  pending.send(0)
  pending.add(waiting)
  assert.deepEqual([pending.drop(sent), pending.drop(waiting)], [true, true])
  assert.deepEqual([pending.drop(sent), pending.drop(waiting)], [false, false])
  assert.deepEqual([pending.size, pending.waitingBytes], [0, 0])
  assert.equal(pending.takeAnswered(0), undefined)
})

test('those whose deadline has come, sent or not', () => {
  const pending = new PendingRequests()
  const [soon, later, waiting] = [
    request({ deadline: 10 }),
    request({ deadline: 20 }),
    request({ deadline: 10 }),
  ]
  pending.add(soon)
  pending.add(later)
  pending.send(0)
  pending.send(0)
  pending.add(waiting)
  assert.deepEqual(pending.takeExpired(9), [])
  assert.deepEqual(pending.takeExpired(10), [soon, waiting])
  assert.deepEqual(pending.takeAll(), [later])
  assert.equal(pending.size, 0)
})
