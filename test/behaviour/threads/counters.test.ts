/** A counter counts in every thread it is shared with: on both sides of a real thread, and as one thread sees both sides. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { allOf, CounterCancellationError, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken, type SharedHandle } from 'calloff/threads'
import { manualClock } from 'calloff/testing'
import { directPolls, drawn, isPage, looks, thrown } from '../helpers.js'
import { Crew } from './crew.js'

/** The token as another thread would open it. */
const there = (token: SharedToken): SharedToken => SharedToken.from(structuredClone(token.handle))

/** Makes the loop `while (token.keepOn())`, and says how many turns it had. */
function turnsOf(token: { keepOn(): boolean }, most = Infinity): number {
  let turns = 0
  while (turns < most && token.keepOn()) turns++
  return turns
}

const message = 'token "tries" has used up its 5 polls'

describe('a counter that is shared', () => {
  for (const [poll, keepsOn] of directPolls) {
    it(`is used up by ${poll}, on whatever side`, async () => {
      const counter = new CounterToken(9, { name: 'tries' })
      const shared = share(counter)
      const opened = there(shared)
      for (let turn = 0; turn < 3; turn++) {
        for (const side of [opened, shared, counter]) assert.equal(await keepsOn(side), true)
        assert.equal(counter.counter, 6 - 3 * turn)
      }
      for (const side of [opened, shared, counter]) assert.equal(await keepsOn(side), false)
      assert.equal(counter.counter, 0)
    })
  }

  for (const [name, look] of looks) {
    it(`is left alone by ${name}`, () => {
      const counter = new CounterToken(1)
      const shared = share(counter)
      const opened = there(shared)
      for (const side of [opened, shared, counter]) look(side)
      assert.equal(counter.counter, 1)
      assert.equal(opened.cancelled, false)
      for (const side of [opened, shared, counter]) look(side)
      assert.deepEqual([opened.kind, shared.kind, counter.kind], ['counter', 'counter', 'counter'])
    })
  }

  it('has what it had when it was shared, and one error on the side that has it', () => {
    const counter = new CounterToken(5, { name: 'tries' })
    assert.equal(turnsOf(counter, 2), 2)
    const shared = share(counter)
    const opened = there(shared)
    const again = there(share(counter))
    assert.equal(turnsOf(opened), 3)
    assert.ok(opened.error instanceof CounterCancellationError)
    assert.deepEqual([opened.error.message, opened.kind, opened.cancelledBy?.name], [message, 'counter', 'tries'])
    assert.equal(shared.error, counter.error)
    assert.equal(shared.cancelledBy, counter)
    assert.equal(again.error, opened.error)
    assert.equal(String(opened.cancelledBy), "OtherThread({ name: 'tries' })")
  })

  it('of no polls is empty from the start', () => {
    const opened = there(share(new CounterToken(0)))
    assert.deepEqual([opened.cancelled, opened.kind], [true, 'counter'])
  })

  it('of more polls than a word can say is exact', () => {
    const counter = new CounterToken(2 ** 32 + 2)
    const opened = there(share(counter))
    assert.equal(turnsOf(opened, 3), 3)
    assert.equal(counter.counter, 2 ** 32 - 1)
    // Beyond what can be counted in ones a counter does not go down, shared or not.
    const endless = new CounterToken(1e300)
    assert.equal(turnsOf(there(share(endless)), 3), 3)
    assert.equal(endless.counter, 1e300)
  })

  it('is left alone through a token that is below it, and seen to be empty', () => {
    const counter = new CounterToken(2)
    const below = [share(new SimpleToken(counter)), new SharedToken(counter), share(share(counter).plus())]
    for (const shared of below) {
      const opened = there(shared)
      assert.equal(turnsOf(opened, 10), 10)
      assert.equal(turnsOf(shared, 10), 10)
    }
    assert.equal(counter.counter, 2)
    const opened = below.map(there)
    assert.equal(turnsOf(counter), 2)
    for (const one of opened) assert.deepEqual([one.cancelled, one.kind], [true, 'counter'])
  })

  it('is used up through whatever is below it, with direct: false', () => {
    const counter = new CounterToken(100, { direct: false, name: 'polls' })
    const below = counter.plus(new TimeoutToken(60_000))
    const other = there(share(counter))
    const sides = [there(share(below)), there(new SharedToken(below)), there(share(there(share(below)))), other.plus()]
    let left = 100
    for (const side of [...sides, other, counter, below]) {
      assert.equal(side.keepOn(), true)
      assert.equal(counter.counter, --left)
      assert.equal(side.isCancelled({ direct: false }), false)
      assert.equal(counter.counter, --left)
    }
    // Several ways that lead to it are one poll.
    assert.equal((sides[0] as SharedToken).plus(...sides.slice(1), counter, below).keepOn(), true)
    assert.equal(counter.counter, --left)
    const [first] = sides
    assert.equal(turnsOf(first as SharedToken), left)
    assert.equal(first?.error?.message, 'token "polls" has used up its 100 polls')
    assert.deepEqual(
      sides.map(({ cancelled }) => cancelled),
      [true, true, true, true],
    )
    assert.equal(below.cancelledBy, counter)
  })

  it('ends the other sides with the one that was empty first', () => {
    const few = new CounterToken(2, { direct: false, name: 'few' })
    const many = new CounterToken(3, { direct: false, name: 'many' })
    const shared = share(many.plus(few))
    const opened = there(shared)
    assert.equal(turnsOf(opened), 2)
    assert.equal(opened.cancelledBy?.name, 'few')
    assert.deepEqual([shared.cancelledBy, shared.error === few.error], [few, true])
  })

  it('and the text, and the tree, say what is left', () => {
    const counter = new CounterToken(5, { direct: false })
    const opened = there(share(counter.plus(new TimeoutToken(60_000))))
    turnsOf(opened, 2)
    assert.match(drawn(counter), /3 left/)
    assert.match(drawn(opened), /60000 ms left, 3 left|\d+ ms left, 3 left/)
  })

  it('with something that lives on behind it is counted as the first poll meets it', () => {
    using clock = manualClock()
    const counter = new CounterToken(3, { direct: false, name: 'first' })
    const stop = new SimpleToken({ name: 'stop' })
    const all = there(share(allOf(counter, stop)))
    const graceful = there(share(counter.grace(100)))
    assert.equal(all.keepOn(), true)
    assert.equal(graceful.keepOn(), true)
    assert.equal(counter.counter, 1)
    assert.equal(turnsOf(all, 10), 10)
    assert.equal(counter.counter, 0)
    assert.equal(counter.cancelled, true) // as soon as this thread has looked, the grace runs
    assert.deepEqual([all.cancelled, graceful.cancelled], [false, false])
    clock.tick(100)
    assert.deepEqual([all.cancelled, graceful.cancelled, graceful.kind], [false, true, 'counter'])
    stop.cancel()
    assert.deepEqual([all.cancelled, all.cancelledBy?.name], [true, 'stop'])
    const later = new CounterToken(3, { direct: false })
    assert.equal(turnsOf(there(share(allOf(new SimpleToken(), later))), 10), 10)
    assert.equal(later.counter, 3)
  })

  it('is not counted any more when it was cancelled, or the shared token disposed of', () => {
    const counter = new CounterToken(5)
    const shared = share(counter)
    const opened = there(shared)
    shared[Symbol.dispose]()
    assert.equal(opened.cancelled, true)
    assert.equal(counter.keepOn(), true)
    assert.equal(counter.counter, 4)
    const second = there(share(counter))
    counter.cancel('enough')
    assert.deepEqual([second.keepOn(), second.reason, counter.counter], [false, 'enough', 4])
    assert.equal(there(share(counter)).reason, 'enough')
  })

  it('a chain of a million tokens can be above it', () => {
    const counter = new CounterToken(3, { direct: false })
    let at = counter.plus()
    for (let i = 0; i < 1_000_000; i++) at = at.plus()
    assert.equal(turnsOf(there(share(at))), 3)
  })
})

describe('two threads use up one counter', () => {
  const crew = new Crew()
  after(() => crew.dismiss())

  it('in a worker alone, whose end this thread learns of', async () => {
    const counter = new CounterToken(5, { name: 'tries' })
    const shared = share(counter)
    const told: unknown[] = []
    counter.onCancel(({ message }) => told.push(message))
    shared.onCancel(({ message }) => told.push(message))
    await crew.start({ job: 'count', handle: shared.handle })
    const { turns, seen } = (await crew.result()) as { turns: number; seen: { message: string; kind: string } }
    assert.deepEqual([turns, seen.message, seen.kind], [5, message, 'counter'])
    await shared.wait()
    assert.deepEqual(told, [message, message])
    assert.deepEqual([counter.counter, counter.cancelled, shared.error === counter.error], [0, true, true])
  })

  for (const side of ['the counter', 'the shared token', 'a combined token'] as const) {
    it(`in a worker and by ${side} here, at the same time: each poll once`, async () => {
      const polls = 20_000
      const counter = new CounterToken(polls, { direct: side !== 'a combined token' })
      const combined = counter.plus(new TimeoutToken(60_000))
      const shared = share(side === 'a combined token' ? combined : counter)
      await crew.start({ job: 'count', handle: shared.handle })
      const turns = turnsOf(side === 'the counter' ? counter : side === 'the shared token' ? shared : combined)
      const there = (await crew.result()) as { turns: number; seen: { kind: string } }
      assert.equal(turns + there.turns, polls)
      assert.deepEqual([there.seen.kind, counter.counter, shared.kind], ['counter', 0, 'counter'])
    })
  }

  for (const job of ['wait', 'listen'] as const) {
    it(`a worker that has it learns of its end here: ${job}`, async () => {
      const counter = new CounterToken(5, { name: 'tries' })
      const shared = share(counter)
      await crew.start({ job, handle: shared.handle })
      assert.equal(turnsOf(counter, 5), 5) // the last poll, and none more
      const { kind, by, message: said } = await crew.seen()
      assert.deepEqual([kind, by, said], ['counter', 'tries', message])
    })
  }

  it('this thread is blocked until a worker has used it up', { skip: isPage && 'a page may not block' }, async () => {
    const counter = new CounterToken(50_000, { name: 'tries' })
    await crew.start({ job: 'count', handle: share(counter).handle })
    assert.equal(counter.waitSync().kind, 'counter')
    assert.equal(((await crew.result()) as { turns: number }).turns, 50_000)
  })

  it('a worker is blocked until this thread has used it up', async () => {
    const counter = new CounterToken(5, { name: 'tries' })
    // The second one is opened when nothing is left.
    for (const shared of [share(counter), new SharedToken(counter)]) {
      const left = counter.counter
      await crew.start({ job: 'block', handle: shared.handle })
      assert.equal(turnsOf(counter, 5), left)
      assert.equal((await crew.seen()).message, message)
    }
  })

  it('a wait in a worker polls one with direct: false, and no other', async () => {
    const counter = new CounterToken(5, { direct: false, name: 'tries' })
    await crew.start({ job: 'wait', handle: share(counter.plus()).handle })
    const { kind, message: said } = await crew.seen()
    assert.deepEqual([kind, said, counter.counter], ['counter', message, 0])
    const direct = new CounterToken(5)
    const shared = share(direct)
    await crew.start({ job: 'wait', handle: shared.handle })
    shared.cancel('enough')
    assert.equal((await crew.seen()).kind, 'manual')
    assert.equal(direct.counter, 5)
  })
})

describe('a handle with counters that are none is refused', () => {
  const { handle } = share(new CounterToken(5))
  const [counter] = handle.counters!
  const wrong: readonly (readonly [string, unknown])[] = [
    ['no array', {}],
    ['nothing', [undefined]],
    ['another buffer', [{ ...counter, buffer: new SharedArrayBuffer(4096) }]],
    ['no shared buffer', [{ ...counter, buffer: new ArrayBuffer(4096) }]],
    ['a place between two', [{ ...counter, byteOffset: 68 }]],
    ['a use that is none', [{ ...counter, by: 'toString' }]],
    ['no text', [{ ...counter, what: 5 }]],
    ['a name that is none', [{ ...counter, name: 5 }]],
  ]
  for (const [what, counters] of wrong) {
    it(what, () => {
      const error = thrown(() => SharedToken.from({ ...handle, counters } as SharedHandle))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /^handle\.counters/)
    })
  }
})
