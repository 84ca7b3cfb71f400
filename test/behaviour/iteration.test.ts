import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, rejection, stateOf, turn } from './helpers.js'

async function collect<T>(source: AsyncIterable<T>, visit: (item: T) => unknown = () => {}): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) {
    items.push(item)
    await visit(item)
  }
  return items
}

describe('16. loops over turns()', () => {
  it('for…of counts its turns, and ends when it is cancelled', () => {
    const token = new SimpleToken()
    const turns: number[] = []
    for (const turn of token.turns()) {
      turns.push(turn)
      if (turn === 3) token.cancel()
    }
    assert.deepEqual(turns, [0, 1, 2, 3])
    assert.deepEqual([...new SimpleToken(new CounterToken(4, { direct: false })).turns()], [0, 1, 2, 3])
    let asked = 0
    assert.deepEqual([...new ConditionToken(() => ++asked > 2).turns()], [0, 1])
  })

  it('for await…of does the same, and the event loop gets its turns', async () => {
    const token = new SimpleToken()
    let timers = 0
    const interval = setInterval(() => ++timers === 3 && token.cancel(), 1)
    const turns = await collect(token.turns())
    clearInterval(interval)
    assert.ok(turns.length > 0)
    turns.forEach((turn, i) => assert.equal(turn, i))
  })

  it('for await…of sees a cancel that comes from outside', async () => {
    const token = new SimpleToken()
    // Once the loop has begun, so that it is the loop that sees it.
    const turns = await collect(token.turns(), (turn) => turn === 0 && setTimeout(() => token.cancel()))
    assert.equal(turns[0], 0)
  })

  it('each loop counts for itself, and may be left', async () => {
    const token = new SimpleToken()
    for (let i = 0; i < 3; i++) {
      for (const turn of token.turns()) {
        assert.equal(turn, 0)
        break
      }
      for await (const turn of token.turns()) {
        assert.equal(turn, 0)
        break
      }
    }
    assert.equal(token.cancelled, false)
  })
})

describe('16. every(ms)', () => {
  it('first ticks after ms, yields the number of the period, and ends when the token is cancelled', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const ticks: [number, number][] = []
    const done = collect(token.every(100), (tick) => ticks.push([tick, clock.now]))
    await clock.advance(99)
    assert.deepEqual(ticks, [])
    await clock.advance(301)
    assert.deepEqual(ticks, [
      [1, 100],
      [2, 200],
      [3, 300],
      [4, 400],
    ])
    token.cancel()
    assert.deepEqual(await done, [1, 2, 3, 4])
  })

  it('skips what a slow consumer missed, without piling up or drifting', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(1_050)
    const ticks: [number, number][] = []
    const done = collect(token.every(100), (tick) => {
      ticks.push([tick, clock.now])
      return tick === 2 ? token.sleep(350) : tick === 7 ? token.sleep(30) : undefined
    })
    await clock.advance(2_000)
    await done
    assert.deepEqual(ticks, [
      [1, 100],
      [2, 200],
      [6, 600],
      [7, 700],
      [8, 800],
      [9, 900],
      [10, 1_000],
    ])
  })

  it('ends at once, not at the next tick', async () => {
    const source = new SimpleToken()
    const done = collect(new SimpleToken(source).every(1_000_000))
    assert.equal(await stateOf(done), 'pending')
    source.cancel()
    assert.deepEqual(await done, [])
  })

  it('of a dead token, or of one that ends before the first tick, yields nothing', async () => {
    using clock = manualClock()
    assert.deepEqual(await collect(new SimpleToken().cancel().every(1)), [])
    const done = collect(new TimeoutToken(50).every(100))
    await clock.advance(50)
    assert.deepEqual(await done, [])
  })

  it('can be left, can be taken again, and Infinity only ends', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const ticks = token.every(10)
    for (let i = 0; i < 2; i++) {
      const iterator = ticks[Symbol.asyncIterator]()
      const first = iterator.next()
      await clock.advance(10)
      assert.deepEqual(await first, { done: false, value: 1 })
      const second = iterator.next()
      assert.equal((await iterator.return?.())?.done, true)
      assert.equal((await second).done, true)
    }
    const endless = collect(token.every(Infinity))
    await clock.advance(1_000_000)
    token.cancel()
    assert.deepEqual(await endless, [])
  })
})

/** A source that knows what happens to it. */
function source<T>(items: readonly (T | Promise<T>)[], more: { deaf?: boolean; endless?: boolean } = {}) {
  const state = { asked: 0, returned: 0 }
  const iterable: AsyncIterable<T> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const at = state.asked++
        if (at < items.length) return { done: false, value: await (items[at] as T) }
        return more.endless ? new Promise<never>(() => {}) : { done: true, value: undefined }
      },
      return() {
        state.returned++
        return more.deaf ? new Promise<never>(() => {}) : Promise.resolve({ done: true, value: undefined })
      },
    }),
  }
  return { state, iterable }
}

describe('16. iterate(source)', () => {
  it('gives all the items while the token lives, of async and of plain iterables', async () => {
    const token = new SimpleToken()
    const { iterable, state } = source([1, Promise.resolve(2), 3])
    assert.deepEqual(await collect(token.iterate(iterable)), [1, 2, 3])
    assert.equal(state.returned, 0)
    assert.deepEqual(await collect(token.iterate([1, 2])), [1, 2])
    assert.deepEqual(await collect(token.iterate(new Set('ab'))), ['a', 'b'])
    assert.deepEqual(await collect(token.iterate('ab')), ['a', 'b'])
    assert.deepEqual(await collect(token.iterate([])), [])
  })

  it('throws the token’s error when it is cancelled: half the data does not look like all of it', async () => {
    const token = new SimpleToken()
    const { iterable, state } = source([1, 2, 3, 4])
    const items: number[] = []
    const error = await rejection(
      collect(token.iterate(iterable), (item) => {
        items.push(item)
        if (item === 2) token.cancel('enough')
      }),
    )
    assert.equal(error, token.error)
    assert.deepEqual(items, [1, 2])
    assert.equal(state.returned, 1)
  })

  it('settles a pending next() at once, also of a source that ignores being closed', async () => {
    for (const deaf of [false, true]) {
      const above = new SimpleToken()
      const token = new SimpleToken(above)
      const { iterable, state } = source([1], { deaf, endless: true })
      const outcome = rejection(collect(token.iterate(iterable)))
      await turn()
      assert.equal(state.asked, 2)
      above.cancel()
      assert.equal(await outcome, above.error)
      assert.equal(state.returned, 1)
    }
  })

  it('of a dead token throws at once, closes the source, and starts nothing', async () => {
    const token = new SimpleToken().cancel()
    const { iterable, state } = source([1, 2])
    assert.equal(await rejection(collect(token.iterate(iterable))), token.error)
    assert.equal(state.asked, 0)
  })

  it('closes a generator, so that its finally runs', async () => {
    const token = new SimpleToken()
    let closed = false
    const numbers = function* () {
      try {
        for (let n = 0; ; n++) yield n
      } finally {
        closed = true
      }
    }
    await rejection(collect(token.iterate(numbers()), (n) => n === 3 && token.cancel()))
    await turn()
    assert.equal(closed, true)
  })

  it('closes the source when the loop is left, and passes its failure on', async () => {
    const { iterable, state } = source([1, 2])
    for await (const item of new SimpleToken().iterate(iterable)) if (item === 1) break
    assert.equal(state.returned, 1)
    const failure = new Error('broken source')
    const broken = source([1, Promise.reject(failure)])
    assert.equal(await rejection(collect(new SimpleToken().iterate(broken.iterable))), failure)
  })

  it('swallows what a source complains of after it was cancelled', async () => {
    const token = new SimpleToken()
    const late = deferred<number>()
    const complaining: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: await late.promise }),
        return: () => Promise.reject(new Error('cannot close')),
      }),
    }
    const outcome = rejection(collect(token.iterate(complaining)))
    await turn()
    token.cancel()
    assert.equal(await outcome, token.error)
    late.reject(new Error('too late'))
    await turn()
  })

  it('ends for good: after the error it is done', async () => {
    const token = new SimpleToken()
    const iterator = token.iterate([1, 2])[Symbol.asyncIterator]()
    assert.deepEqual(await iterator.next(), { done: false, value: 1 })
    token.cancel()
    assert.equal(await rejection(iterator.next()), token.error)
    assert.equal((await iterator.next()).done, true)
  })
})

describe('16. sleep and checkpoint', () => {
  it('sleep resolves after its time, and rejects with the error as soon as the token is cancelled', async () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const token = new SimpleToken(source)
    const [short, long] = [token.sleep(50), rejection(token.sleep(100))]
    await clock.advance(49)
    assert.equal(await stateOf(short), 'pending')
    await clock.advance(1)
    assert.equal(await short, undefined)
    source.cancel()
    assert.equal(await long, source.error)
    assert.equal(await rejection(token.sleep(0)), source.error)
  })

  it('sleep(Infinity) lasts as long as the token', async () => {
    const token = new SimpleToken()
    const outcome = rejection(token.sleep(Infinity))
    await turn()
    token.cancel()
    assert.equal(await outcome, token.error)
  })

  it('a deadline before the end of a sleep cancels it', async () => {
    using clock = manualClock()
    const outcome = rejection(new TimeoutToken(30).sleep(50))
    await clock.advance(30)
    assert.equal(((await outcome) as CancellationError).kind, 'timeout')
  })

  it('checkpoint lets timers run in a loop that awaits nothing else', async () => {
    const token: CancellationToken = new SimpleToken()
    let timers = 0
    const interval = setInterval(() => ++timers === 3 && token.cancel('three timers'), 1)
    const error = await rejection(
      (async () => {
        for (;;) await token.checkpoint()
      })(),
    )
    clearInterval(interval)
    assert.equal(error, token.error)
  })

  it('checkpoint lets them run though the clock of a test is stopped', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    setTimeout(() => token.cancel('a timer'), 1)
    let turns = 0
    const error = await rejection(
      (async () => {
        for (; turns < 10_000_000; turns++) await token.checkpoint()
      })(),
    )
    assert.equal(error, token.error)
    assert.equal(clock.now, 0)
  })

  it('checkpoint rejects at once under a dead token', async () => {
    const token = new SimpleToken().cancel()
    assert.equal(await rejection(token.checkpoint()), token.error)
  })
})

describe('iterate over a stream', () => {
  /** Gives what is in `items`, and then nothing more; or ends. */
  const stream = (items: readonly string[], ends = false) => {
    const cancelled: unknown[] = []
    const source = new ReadableStream<string>({
      start(controller) {
        for (const item of items) controller.enqueue(item)
        if (ends) controller.close()
      },
      cancel: () => void cancelled.push('cancelled'),
    })
    return { source, cancelled }
  }
  it('of the web gives all of it, and lets it go', async () => {
    const { source, cancelled } = stream(['a', 'b'], true)
    const seen: string[] = []
    for await (const item of new SimpleToken().iterate(source)) seen.push(item)
    assert.deepEqual([seen, cancelled, source.locked], [['a', 'b'], [], false])
  })

  it('of the web that is silent cancels it', async () => {
    const { source, cancelled } = stream(['a'])
    const token = new SimpleToken()
    const items = token.iterate(source)[Symbol.asyncIterator]()
    assert.deepEqual(await items.next(), { done: false, value: 'a' })
    const next = items.next()
    token.cancel('left')
    assert.equal(await rejection(next), token.error)
    assert.deepEqual(cancelled, ['cancelled'])
    await new Promise((resolve) => setTimeout(resolve))
    assert.equal(source.locked, false)
  })

  it('of the web cancels it when the loop is left', async () => {
    const { source, cancelled } = stream(['a', 'b'])
    for await (const item of new SimpleToken().iterate(source)) {
      assert.equal(item, 'a')
      break
    }
    assert.deepEqual([cancelled, source.locked], [['cancelled'], false])
  })

  it('of the web that fails throws its error', async () => {
    const broken = new Error('broken')
    const source = new ReadableStream<string>({ pull: (controller) => controller.error(broken) })
    const items = new SimpleToken().iterate(source)[Symbol.asyncIterator]()
    assert.equal(await rejection(items.next()), broken)
  })

  it('of Node, seen by its shape, destroys it while it is silent', async () => {
    let destroyed = 0
    const source = {
      pipe() {},
      destroy: () => void destroyed++,
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<string>>(() => {}),
        return: () => new Promise<IteratorResult<string>>(() => {}),
      }),
    }
    const token = new SimpleToken()
    const next = token.iterate(source)[Symbol.asyncIterator]().next()
    token.cancel('left')
    assert.equal(await rejection(next), token.error)
    assert.equal(destroyed, 1)
  })

  it('that is old, and cannot be destroyed, is left alone', async () => {
    const source = {
      pipe() {},
      [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<string>>(() => {}) }),
    }
    const token = new SimpleToken()
    const next = token.iterate(source)[Symbol.asyncIterator]().next()
    token.cancel('left')
    assert.equal(await rejection(next), token.error)
  })
})
