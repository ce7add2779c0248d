import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BackgroundLane } from './background-lane.ts'

const NEVER = new AbortController().signal

/** Work that ends when it is told to; `started` keeps the order in which it began. */
function bench(): {
  started: string[]
  work: (name: string) => () => Promise<string>
  end: (name: string) => void
} {
  const started: string[] = []
  const ends = new Map<string, (name: string) => void>()
  return {
    started,
    work: (name) => () => {
      started.push(name)
      return new Promise((resolve) => ends.set(name, resolve))
    },
    end: (name) => ends.get(name)?.(name),
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('background lane', () => {
  it('runs as many as it has slots, and the next when one ends', async () => {
    const { started, work, end } = bench()
    const lane = new BackgroundLane(2)
    const owner = {}
    const all = ['a', 'b', 'c'].map((name) => lane.run(owner, work(name), NEVER))
    assert.deepEqual(started, ['a', 'b'])
    end('b')
    assert.equal(await all[1], 'b')
    await settle()
    assert.deepEqual(started, ['a', 'b', 'c'])
    end('a')
    end('c')
    assert.deepEqual(await Promise.all(all), ['a', 'b', 'c'])
    assert.equal(lane.running, 0)
  })

  it('takes one of each owner in turn', async () => {
    const { started, work, end } = bench()
    const lane = new BackgroundLane(1)
    const flood = {}
    const other = {}
    const all = ['f1', 'f2', 'f3'].map((name) => lane.run(flood, work(name), NEVER))
    all.push(lane.run(other, work('o1'), NEVER), lane.run(other, work('o2'), NEVER))
    for (const name of ['f1', 'f2', 'o1', 'f3', 'o2']) {
      assert.equal(started.at(-1), name)
      end(name)
      await settle()
    }
    assert.equal((await Promise.all(all)).length, 5)
  })

  it('gives up what nobody waits for any more, and frees no slot twice', async () => {
    const { started, work, end } = bench()
    const lane = new BackgroundLane(1)
    const owner = {}
    const abort = new AbortController()
    const first = lane.run(owner, work('first'), NEVER)
    const late = lane.run(owner, work('late'), abort.signal)
    const last = lane.run(owner, work('last'), NEVER)
    abort.abort(new Error('too late'))
    end('first')
    assert.equal(await first, 'first')
    await assert.rejects(late, /too late/)
    assert.deepEqual(started, ['first', 'last'])
    end('last')
    assert.equal(await last, 'last')
  })

  it('goes on after work that fails', async () => {
    const { work, end } = bench()
    const lane = new BackgroundLane(1)
    const failed = lane.run({}, () => Promise.reject(new Error('broken')), NEVER)
    const next = lane.run({}, work('next'), NEVER)
    await assert.rejects(failed, /broken/)
    await settle()
    end('next')
    assert.equal(await next, 'next')
  })
})
