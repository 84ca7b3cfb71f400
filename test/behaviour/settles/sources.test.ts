/** 19. Whatever a source does: a loop over it ends, the source is closed, once, and nothing is left on the token. */
// Thenables that misbehave are what this is about.
/* oxlint-disable unicorn/no-thenable */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CANCELLED, type CancellationToken, scope, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, stateOf, turn } from '../helpers.js'
import { errorFrom, failure, outcomeOf, watched } from './foreign.js'

const silence = () => new Promise<never>(() => {})
const fail = (): never => {
  throw failure
}

/** How a source behaves: its second `next()`, and its `return()`. */
interface Behaviour {
  readonly next?: () => unknown
  readonly back?: (() => unknown) | undefined
}

/** Gives 1, and then what `next` does. Counts the calls. */
function source(kind: 'async' | 'plain', { next = () => ({ done: true }), back = () => ({ done: true }) }: Behaviour) {
  const calls = { next: 0, back: 0 }
  const iterator = {
    next: () => (++calls.next === 1 ? { done: false, value: 1 } : next()),
    return: () => {
      calls.back++
      return back()
    },
  }
  const iterable = { [kind === 'async' ? Symbol.asyncIterator : Symbol.iterator]: () => iterator }
  return { calls, iterable: iterable as unknown as AsyncIterable<number> }
}

/** What goes over a source under a token. */
const loops: Readonly<Record<string, (token: CancellationToken, source: AsyncIterable<number>) => Promise<unknown>>> = {
  iterate: async (token, source) => {
    const seen: number[] = []
    for await (const item of token.iterate(source)) seen.push(item)
    return seen
  },
  's.map': (token, source) => scope(token, (s) => s.map(source, (item) => item)),
  's.map, one at a time': (token, source) =>
    scope(token, (s) => s.map(source, async (item) => item, { concurrency: 1 })),
}

const broken: Readonly<Record<string, () => unknown>> = {
  'throws in next()': fail,
  'rejects in next()': () => Promise.reject(failure),
  'gives a result that is a thenable that throws': () => ({ then: fail }),
  'gives a result whose done is a getter that throws': () => ({
    get done() {
      return fail()
    },
  }),
  'gives a result whose value is a getter that throws': () => ({
    done: false,
    get value() {
      return fail()
    },
  }),
  'gives a promise that rejects': () => ({ done: false, value: Promise.reject(failure) }),
  'gives a thenable that rejects': () => ({
    done: false,
    value: { then: (_: unknown, no: (e: unknown) => void) => no(failure) },
  }),
  'gives a thenable that throws': () => ({ done: false, value: { then: fail } }),
}

const mute: Readonly<Record<string, () => unknown>> = {
  'never answers next()': silence,
  'answers next() with a thenable that never answers': () => ({ then() {} }),
  'gives a promise that never settles': () => ({ done: false, value: silence() }),
  'gives a thenable that answers with one that never settles': () => ({
    done: false,
    value: { then: (yes: (value: unknown) => void) => yes(silence()) },
  }),
}

const closings: Readonly<Record<string, Behaviour['back']>> = {
  closes: () => ({ done: true }),
  'closes later': async () => ({ done: true }),
  'throws while it closes': fail,
  'rejects while it closes': () => Promise.reject(new Error('cannot close')),
  'never answers return()': silence,
  'answers return() with a thenable that never answers': () => ({ then() {} }),
}

for (const [loop, run] of Object.entries(loops)) {
  for (const kind of ['async', 'plain'] as const) {
    describe(`${loop} over a source, ${kind}, that`, () => {
      for (const [how, back] of Object.entries(closings)) {
        for (const [what, next] of Object.entries(broken)) {
          test(`${what}, and ${how}: fails with that, and has closed the source`, async () => {
            const { token, signal } = watched()
            const { iterable, calls } = source(kind, { next, back })
            assert.equal(await errorFrom(run(token, iterable)), failure)
            assert.deepEqual(calls, { next: 2, back: 1 })
            await turn()
            assert.equal(signal.listeners.size, 0)
          })
        }

        for (const [what, next] of Object.entries(mute)) {
          // A plain iterator that gives no result has failed: what it gave is none.
          if (kind === 'plain' && what.includes('answer')) continue
          test(`${what}, and ${how}: ends when the token is cancelled`, async () => {
            const { token, signal } = watched()
            const { iterable, calls } = source(kind, { next, back })
            const outcome = outcomeOf(run(token, iterable))
            await turn()
            assert.equal(calls.next, 2)
            token.cancel('enough')
            assert.deepEqual(await outcome, { error: token.error })
            assert.equal(calls.back, 1)
            assert.equal(signal.listeners.size, 0)
          })
        }

        test(`${how}, under a token that is cancelled already`, async () => {
          const { iterable, calls } = source(kind, { back })
          assert.deepEqual(await outcomeOf(loops['iterate']!(CANCELLED, iterable)), { error: CANCELLED.error })
          assert.deepEqual(calls, { next: 0, back: 1 })
        })
      }

      test('cannot be opened', async () => {
        const { token, signal } = watched()
        const iterable = { [kind === 'async' ? Symbol.asyncIterator : Symbol.iterator]: fail } as never
        assert.equal(await errorFrom(run(token, iterable)), failure)
        await turn()
        assert.equal(signal.listeners.size, 0)
      })
    })
  }
}

test('a result that is no object is a TypeError, and closes the source', async () => {
  const { iterable, calls } = source('async', { next: () => 5 })
  const { token } = watched()
  assert.match(
    String(await errorFrom(loops['iterate']!(token, iterable))),
    /TypeError: the result of next\(\) must be an/,
  )
  assert.equal(calls.back, 1)
})

test('a plain iterator that ends with a promise that rejects has failed, as in `for await`', async () => {
  const { iterable } = source('plain', { next: () => ({ done: true, value: Promise.reject(failure) }) })
  assert.equal(await errorFrom(loops['iterate']!(watched().token, iterable)), failure)
})

describe('return() of a loop over a source that', () => {
  const leave = async (token: CancellationToken, iterable: AsyncIterable<number>) => {
    for await (const _ of token.iterate(iterable)) break
    return 'left'
  }

  test('closes waits until it has closed', async () => {
    const { token, signal } = watched()
    const closed = deferred<unknown>()
    const loop = leave(token, source('async', { back: () => closed.promise }).iterable)
    assert.equal(await stateOf(loop), 'pending')
    closed.resolve({ done: true })
    assert.equal(await loop, 'left')
    assert.equal(signal.listeners.size, 0)
  })

  test('cannot close rejects with that', async () => {
    for (const back of [fail, () => Promise.reject(failure)]) {
      const { token, signal } = watched()
      assert.equal(await errorFrom(leave(token, source('async', { back }).iterable)), failure)
      assert.equal(signal.listeners.size, 0)
    }
  })

  test('never closes holds the loop until the token is cancelled, no longer', async () => {
    const { token, signal } = watched()
    const loop = leave(token, source('async', { back: silence }).iterable)
    assert.equal(await stateOf(loop), 'pending')
    token.cancel()
    assert.deepEqual(await outcomeOf(loop), { value: 'left' })
    assert.equal(signal.listeners.size, 0)
  })

  test('never closes holds no loop under a token that is cancelled', async () => {
    const { token } = watched()
    const { iterable, calls } = source('async', { back: silence })
    const loop = async () => {
      for await (const _ of token.iterate(iterable)) {
        token.cancel()
        break
      }
    }
    assert.deepEqual(await outcomeOf(loop()), { value: undefined })
    assert.equal(calls.back, 1)
  })

  test('never closes holds no loop when the time is up', async () => {
    using clock = manualClock()
    const loop = outcomeOf(leave(new TimeoutToken(100), source('async', { back: silence }).iterable))
    await clock.advance(100)
    assert.deepEqual(await loop, { value: 'left' })
  })

  test('never closes, before the first item, is waited for until the token is cancelled', async () => {
    const { token, signal } = watched()
    const items = token.iterate(source('async', { back: silence }).iterable)[Symbol.asyncIterator]()
    const left = items.return!()
    assert.equal(await stateOf(left), 'pending')
    token.cancel()
    assert.deepEqual(await outcomeOf(left), { value: { done: true, value: undefined } })
    assert.deepEqual(await items.next(), { done: true, value: undefined })
    assert.equal(signal.listeners.size, 0)
  })

  test('cancels the token while it closes is closed once', async () => {
    const { token } = watched()
    const { iterable, calls } = source('async', { back: () => (token.cancel(), { done: true }) })
    assert.deepEqual(await outcomeOf(leave(token, iterable)), { value: 'left' })
    assert.equal(calls.back, 1)
  })

  test('is silent ends the pending next() when the source is closed', async () => {
    const { token, signal } = watched()
    const { iterable } = source('async', { next: silence, back: () => ({ done: true }) })
    const items = token.iterate(iterable)[Symbol.asyncIterator]()
    await items.next()
    const next = items.next()
    await items.return!()
    assert.deepEqual(await outcomeOf(next), { value: { done: true, value: undefined } })
    assert.equal(signal.listeners.size, 0)
  })

  test('is silent, and deaf to return(), leaves the pending next() to a cancel', async () => {
    for (const back of [silence]) {
      const { token, signal } = watched()
      const items = token.iterate(source('async', { next: silence, back }).iterable)[Symbol.asyncIterator]()
      await items.next()
      const next = items.next()
      const left = outcomeOf(items.return!())
      assert.equal(await stateOf(next), 'pending')
      token.cancel()
      assert.deepEqual(await outcomeOf(next), { error: token.error })
      await left
      assert.equal(signal.listeners.size, 0)
    }
  })

  test('has ended is settled by a cancel as well', async () => {
    const { token, signal } = watched()
    const items = token.iterate(source('async', { back: silence }).iterable)[Symbol.asyncIterator]()
    while (!(await items.next()).done);
    assert.equal(signal.listeners.size, 0)
    const left = items.return!()
    token.cancel()
    assert.deepEqual(await outcomeOf(left), { value: { done: true, value: undefined } })
  })
})

describe('s.map over a source that never answers return()', () => {
  for (const concurrency of [1, 2, 100]) {
    test(`ends when an item fails, ${concurrency} at a time`, async () => {
      const { token, signal } = watched()
      let given = 0
      const { iterable, calls } = source('async', { next: () => ({ done: false, value: ++given }), back: silence })
      const outcome = outcomeOf(
        scope(token, (s) => s.map(iterable, (item) => turn().then(() => item === 2 && fail()), { concurrency })),
      )
      assert.deepEqual(await outcome, { error: failure })
      assert.equal(calls.back, 1)
      assert.equal(signal.listeners.size, 0)
    })

    test(`ends when an item has cancelled itself and then the scope is, ${concurrency} at a time`, async () => {
      const { token, signal } = watched()
      const { iterable } = source('async', { next: silence, back: silence })
      let alone: unknown
      const outcome = outcomeOf(
        scope(token, (s) =>
          s.map(
            iterable,
            (_, own) => {
              alone = own.cancel('alone').error
              own.check()
            },
            { concurrency },
          ),
        ),
      )
      await turn()
      token.cancel('all')
      assert.deepEqual(await outcome, { error: alone })
      assert.equal(signal.listeners.size, 0)
    })
  }
})

describe('under a token that is cancelled already', () => {
  test('a call that has failed, and tells of it by its first item only, is heard', async () => {
    // Connect's streams are such: a promise that was made with the call, and an iterator without return().
    const call = Promise.reject(failure)
    const iterable = { [Symbol.asyncIterator]: () => ({ next: () => call }) }
    assert.equal(await errorFrom(loops['iterate']!(CANCELLED, iterable)), CANCELLED.error)
    await turn()
  })

  test('nothing is asked of a source that can be closed, or that is plain', async () => {
    const { iterable, calls } = source('async', {})
    await errorFrom(loops['iterate']!(CANCELLED, iterable))
    assert.deepEqual(calls, { next: 0, back: 1 })
    let asked = 0
    const plain = { [Symbol.iterator]: () => ({ next: () => ({ done: !!asked++, value: 1 }) }) }
    await errorFrom(loops['iterate']!(CANCELLED, plain as never))
    assert.equal(asked, 0)
  })

  test('a loop that was left is done, and not told of the cancellation', async () => {
    const { token } = watched()
    const items = token.iterate([1, 2])[Symbol.asyncIterator]()
    await items.next()
    token.cancel()
    await items.return!()
    assert.deepEqual(await items.next(), { done: true, value: undefined })
  })
})

describe('iterate over a stream of the web', () => {
  test('whose source never answers cancel() lets it go at once', async () => {
    for (const how of ['cancel', 'return', 'already'] as const) {
      const { token } = watched()
      if (how === 'already') token.cancel()
      let cancels = 0
      const stream = new ReadableStream<number>({
        cancel: () => {
          cancels++
          return silence()
        },
      })
      const items = token.iterate(stream)[Symbol.asyncIterator]()
      const next = outcomeOf(items.next())
      const left = how === 'return' ? items.return!() : undefined
      if (how === 'return') assert.deepEqual(await next, { value: { done: true, value: undefined } })
      token.cancel()
      if (how !== 'return') assert.deepEqual(await next, { error: token.error })
      if (left) assert.deepEqual(await outcomeOf(left), { value: { done: true, value: undefined } })
      assert.equal(cancels, 1)
      assert.equal(stream.locked, false)
    }
  })

  test('that fails lets it go', async () => {
    const { token, signal } = watched()
    const stream = new ReadableStream<number>({ pull: (controller) => controller.error(failure) })
    assert.equal(await errorFrom(loops['iterate']!(token, stream as unknown as AsyncIterable<number>)), failure)
    await turn()
    assert.equal(stream.locked, false)
    assert.equal(signal.listeners.size, 0)
  })

  test('that has ended is closed no more', async () => {
    const { token } = watched()
    const stream = new ReadableStream<number>({ start: (controller) => controller.close() })
    const items = token.iterate(stream)[Symbol.asyncIterator]()
    assert.equal((await items.next()).done, true)
    assert.equal((await items.return!()).done, true)
    assert.equal(stream.locked, false)
  })
})

describe('iterate over a stream of Node, seen by its shape', () => {
  /** Its next item fails when it is destroyed, as those of Node do. */
  const stream = (cancel?: () => unknown) => {
    const calls: string[] = []
    let refuse = (_error: unknown) => {}
    const source = {
      pipe() {},
      on: (event: string) => void calls.push(`on ${event}`),
      ...(cancel && {
        cancel: () => {
          calls.push('cancel')
          return cancel()
        },
      }),
      destroy: () => {
        calls.push('destroy')
        refuse(failure)
      },
      [Symbol.asyncIterator]: () => ({
        next: () =>
          new Promise<IteratorResult<number>>((_, reject) => {
            refuse = reject
          }),
      }),
    }
    return { source, calls, refuse: (error: unknown) => refuse(error) }
  }

  test('closes it by all it has, and hears what it complains of later', async () => {
    const closings = [undefined, () => {}, fail, silence, () => Promise.reject(failure)]
    for (const cancel of closings) {
      for (const how of ['cancel', 'return', 'already'] as const) {
        const { token } = watched()
        if (how === 'already') token.cancel()
        const { source, calls } = stream(cancel)
        const items = token.iterate(source)[Symbol.asyncIterator]()
        const next = outcomeOf(items.next())
        if (how === 'return') await items.return!()
        token.cancel()
        const end = how === 'return' ? { value: { done: true, value: undefined } } : { error: token.error }
        assert.deepEqual(await next, end)
        assert.deepEqual(calls, cancel ? ['on error', 'cancel', 'destroy'] : ['on error', 'destroy'])
      }
    }
  })

  test('passes its failure on', async () => {
    const { source, calls, refuse } = stream()
    const next = errorFrom(watched().token.iterate(source)[Symbol.asyncIterator]().next())
    refuse(failure)
    assert.equal(await next, failure)
    assert.ok(calls.includes('destroy'))
  })
})
