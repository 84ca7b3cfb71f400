/** What can be said of one task of a scope: its own token, a failure that the scope survives, and when it is ready. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CANCELLED,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  NEVER,
  type Scope,
  scope,
  ScopeClosedError,
  SimpleToken,
  TimeoutToken,
  type TokenLike,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { OtherSignal, rejection, stateOf, turn } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')
const fails = async () => {
  throw boom
}

describe('the token of one task', () => {
  test('cancels that task alone, and the scope goes on', async () => {
    const one = new SimpleToken({ name: 'one' })
    const other = puppet<string>()
    const result = await scope(async (s) => {
      const cancelled = s.run(patient, { token: one })
      const goesOn = s.run(other.work)
      one.cancel('not needed')
      assert.equal(await rejection(cancelled), one.error)
      assert.deepEqual([other.token?.cancelled, s.token.cancelled], [false, false])
      other.resolve('done')
      return goesOn
    })
    assert.equal(result, 'done')
  })

  test('is cancelled with the scope too, and leaves that token alone', async () => {
    const one = new SimpleToken()
    let own: CancellationToken | undefined
    await scope(async (s) => {
      void s.run((token) => patient((own = token)), { token: one })
      s.cancel('enough')
    })
    assert.deepEqual([own?.reason, one.cancelled], ['enough', false])
  })

  test('drops a task that waits for its turn at once, and its place in the queue goes to the next', async () => {
    const one = new SimpleToken()
    const [first, second] = [puppet(), puppet<string>()]
    const log: string[] = []
    await scope(
      async (s) => {
        void s.run(first.work, { name: 'first' })
        const dropped = s.run(() => log.push('started'), { name: 'dropped', token: one })
        const next = s.run(second.work, { name: 'next' })
        one.cancel()
        assert.deepEqual(
          s.unfinished().map(({ name, state }) => `${name} ${state}`),
          ['first running', 'next waiting'],
        )
        assert.equal(await rejection(dropped), one.error)
        first.resolve(0)
        second.resolve('second')
        assert.equal(await next, 'second')
      },
      { concurrency: 1 },
    )
    assert.deepEqual(log, [])
  })

  test('cancelled from the start, the task is not started, and the promise needs no handler', async () => {
    let started = false
    // A rejection without a handler would fail the test.
    await scope(async (s) => {
      void s.run(() => (started = true), { token: CANCELLED })
      assert.equal(await rejection(s.run(() => (started = true), { token: CANCELLED })), CANCELLED.error)
    })
    await turn()
    assert.equal(started, false)
  })

  test('a failure after the cancellation is still a failure; what a client makes of the cancellation is none', async () => {
    const one = new SimpleToken()
    const [fine, late] = [puppet(), puppet()]
    await scope((s) => {
      void s.run(fine.work, { token: one })
      one.cancel()
      fine.reject(Object.assign(new Error('The operation was aborted'), { name: 'AbortError' }))
    })
    const whole = scope((s) => {
      const two = new SimpleToken()
      void s.run(late.work, { token: two })
      two.cancel()
      late.reject(boom)
    })
    assert.equal(await rejection(whole), boom)
  })

  test('a task that succeeds all the same gives its value', async () => {
    const one = new SimpleToken()
    const deaf = puppet<number>()
    const value = await scope((s) => {
      const promise = s.run(deaf.work, { token: one })
      one.cancel()
      deaf.resolve(5)
      return promise
    })
    assert.equal(value, 5)
  })

  test('may be anything that from() takes: each cancels its task, and no other', async () => {
    using clock = manualClock()
    let isOver = false
    const controller = new AbortController()
    const inner = new AbortController()
    const foreign = new OtherSignal()
    const [token, counter, other] = [new SimpleToken(), new CounterToken(1), new AbortController()]
    const kinds: Readonly<Record<string, readonly [TokenLike, end: () => unknown]>> = {
      'a token': [token, () => token.cancel()],
      'a combined token': [new SimpleToken(new SimpleToken()).plus(inner.signal), () => inner.abort()],
      'a deadline': [new TimeoutToken(100), () => clock.advance(100)],
      'a condition': [new ConditionToken(() => isOver), () => ((isOver = true), clock.advance(100))],
      'a counter': [counter, () => counter.cancel()],
      'a signal': [controller.signal, () => controller.abort()],
      'a controller': [other, () => other.abort()],
      'a signal of another realm': [foreign, () => foreign.abort(boom)],
    }
    for (const [what, [one, end]] of Object.entries(kinds)) {
      await scope(async (s) => {
        const sibling = puppet<number>()
        const going = s.run(sibling.work)
        const cancelled = s.run(patient, { token: one })
        await turn()
        await end()
        assert.ok(isCancellation(await rejection(cancelled)), what)
        assert.equal(s.token.cancelled, false, what)
        sibling.resolve(1)
        assert.equal(await going, 1)
      })
    }
    for (const never of [undefined, null, NEVER]) {
      assert.equal(await scope((s) => s.run((token) => token.name ?? 'live', { token: never })), 'live')
    }
  })

  test('that a condition of it throws is a failure of the scope', async () => {
    let isBroken = false
    const condition = new ConditionToken(
      () => {
        if (isBroken) throw boom
        return false
      },
      { suppressExceptions: false },
    )
    const whole = scope((s) => {
      isBroken = true
      void s.run(() => 1, { token: condition })
    })
    assert.equal(await rejection(whole), boom)
  })

  test('a deadline that no poll has noticed drops the task when its turn comes', async () => {
    const timeout = new TimeoutToken(5)
    let started = false
    await scope(
      async (s) => {
        void s.run(() => {
          for (const end = performance.now() + 10; performance.now() < end;);
        })
        const late = s.run(() => (started = true), { token: timeout })
        assert.equal(await rejection(late), timeout.error)
      },
      { concurrency: 1 },
    )
    assert.equal(started, false)
  })

  test('a cancellation that was not told, and is seen when the turn comes, drops the task', async () => {
    const signal = new OtherSignal()
    const first = puppet()
    let error: unknown
    await scope(
      async (s) => {
        void s.run(first.work)
        const dropped = s.run(() => assert.fail('started'), { token: signal })
        signal.aborted = true // and no event
        first.resolve(0)
        error = await rejection(dropped)
        assert.deepEqual(s.unfinished(), [])
        assert.equal(await s.run(() => 'next'), 'next')
      },
      { concurrency: 1 },
    )
    assert.ok(isCancellation(error))
  })

  test('for a map it ends the map alone: the source is closed, the items are cancelled, the scope goes on', async () => {
    const one = new SimpleToken()
    let closed = 0
    async function* source() {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed++
      }
    }
    const seen: CancellationToken[] = []
    const result = await scope(async (s) => {
      const mapped = s.map(source(), (_item, token) => patient((seen.push(token), token)), {
        concurrency: 3,
        token: one,
      })
      await turn()
      one.cancel()
      assert.equal(await rejection(mapped), one.error)
      assert.equal(s.token.cancelled, false)
      return 'goes on'
    })
    assert.deepEqual([result, closed, seen.length], ['goes on', 1, 3])
    assert.ok(seen.every((token) => token.error === one.error))
    const never = await scope(async (s) => rejection(s.map([1], () => assert.fail('started'), { token: CANCELLED })))
    assert.equal(never, CANCELLED.error)
  })

  test('bad ones are refused by name', async () => {
    const bad: readonly [(s: Scope) => Promise<unknown>, RegExp][] = [
      [(s) => s.run(() => 1, { token: 5 as never }), /^TypeError: token must be a token, .* got 5$/],
      [
        (s) => s.map([1], () => 1, { token: {} as never }),
        /^TypeError: token must be a token, .* got \[object Object\]$/,
      ],
      [(s) => s.start(() => 1, { token: 'x' as never }), /^TypeError: token must be a token, .* got "x"$/],
      [(s) => s.run(() => 1, { survive: 1 as never }), /^TypeError: survive must be a boolean, got 1$/],
      [(s) => s.start(() => 1, { survive: true } as never), /^TypeError: there is no option "survive"/],
      [(s) => s.start(5 as never), /^TypeError: task must be a function, got 5$/],
    ]
    for (const [run, message] of bad) assert.match(String(await rejection(scope(run))), message)
  })
})

describe('survive', () => {
  test('a failure rejects the promise, and the scope goes on', async () => {
    const other = puppet<string>()
    const result = await scope(async (s) => {
      const goesOn = s.run(other.work)
      assert.equal(await rejection(s.run(fails, { survive: true })), boom)
      const thrown = s.run(
        () => {
          throw boom
        },
        { survive: true },
      )
      assert.equal(await rejection(thrown), boom)
      assert.equal(other.token?.cancelled, false)
      other.resolve('fine')
      return goesOn
    })
    assert.equal(result, 'fine')
  })

  test('a cancellation needs no handler', async () => {
    const one = new SimpleToken()
    await scope(async (s) => {
      void s.run(patient, { survive: true })
      void s.run(patient, { survive: true, token: one })
      void s.run(async () => 1, { survive: true })
      one.cancel()
      await turn()
      s.cancel()
    })
    await turn()
  })

  test('the body that passes it on fails all the same', async () => {
    assert.equal(await rejection(scope((s) => s.run(fails, { survive: true }))), boom)
  })

  test('false is as without it', async () => {
    const whole = scope((s) => {
      void s.run(fails, { survive: false })
    })
    assert.equal(await rejection(whole), boom)
  })

  test('the scope waits for the task', async () => {
    const slow = puppet()
    const whole = scope(async (s) => {
      void s.run(slow.work, { survive: true }).catch(() => {})
    })
    assert.equal(await stateOf(whole), 'pending')
    slow.reject(boom)
    await whole
  })
})

describe('start', () => {
  test('resolves when the task is ready; the scope waits for its end', async () => {
    const server = puppet()
    let port: number | undefined
    const whole = scope(async (s) => {
      port = await s.start<number>(async (token, ready) => {
        await turn()
        ready(8080)
        ready(1)
        await server.work(token)
      })
      assert.equal(s.unfinished().length, 1)
    })
    await turn()
    assert.equal(await stateOf(whole), 'pending')
    assert.equal(port, 8080)
    server.resolve(0)
    await whole
  })

  test('a failure before it is ready rejects, and is no failure of the scope', async () => {
    const result = await scope(async (s) => {
      assert.equal(await rejection(s.start(fails)), boom)
      const thrown = s.start(() => {
        throw boom
      })
      assert.equal(await rejection(thrown), boom)
      return s.token.cancelled
    })
    assert.equal(result, false)
  })

  test('a failure after that is one of the scope', async () => {
    const sibling = puppet()
    const whole = scope(async (s) => {
      void s.run(sibling.work)
      await s.start(async (_token, ready) => {
        ready()
        await turn()
        throw boom
      })
    })
    await turn()
    await turn()
    assert.equal(sibling.token?.kind, 'sibling')
    sibling.resolve(0)
    assert.equal(await rejection(whole), boom)
  })

  test('a task that ends without being ready rejects, with its name', async () => {
    await scope(async (s) => {
      const named = await rejection(s.start(async () => 1, { name: 'serve' }))
      assert.equal(String(named), 'Error: the task "serve" has ended without a call of ready()')
      const unnamed = await rejection(s.start((() => async () => {})()))
      assert.equal(String(unnamed), 'Error: the task has ended without a call of ready()')
    })
  })

  test('ready() takes no promise: the scope would wait for it for ever', async () => {
    const never = new Promise<number>(() => {})
    // oxlint-disable-next-line unicorn/no-thenable -- it is meant to be one
    for (const value of [never, { then() {} }]) {
      await scope(async (s) => {
        const error = await rejection(s.start((_token, ready) => ready(value)))
        assert.equal(String(error), 'TypeError: ready() takes no promise: await it first')
      })
    }
  })

  test('a cancellation before it is ready rejects with the error of the token, and needs no handler', async () => {
    const one = new SimpleToken()
    await scope(async (s) => {
      void s.start(patient, { token: one })
      void s.start(async (token) => void (await token.wait()), { token: one })
      const quiet = s.start(async (token) => void (await token.wait()), { token: one })
      one.cancel()
      assert.equal(await rejection(quiet), one.error)
    })
    await turn()
  })

  test('a cancellation after that is none of the caller', async () => {
    const one = new SimpleToken()
    await scope(async (s) => {
      const value = await s.start<string>(
        (token, ready) => {
          ready('up')
          return patient(token)
        },
        { token: one },
      )
      assert.equal(value, 'up')
      one.cancel()
    })
  })

  test('it waits for its turn like any task, and is dropped like any', async () => {
    const first = puppet()
    const one = new SimpleToken()
    await scope(
      async (s) => {
        void s.run(first.work)
        const dropped = s.start(() => assert.fail('started'), { token: one })
        const started = s.start<number>((_token, ready) => ready(1))
        one.cancel()
        assert.equal(await rejection(dropped), one.error)
        assert.equal(await stateOf(started), 'pending')
        first.resolve(0)
        assert.equal(await started, 1)
      },
      { concurrency: 1 },
    )
  })

  test('works where the scope keeps no traces', async () => {
    const seen: number[] = []
    await scope(
      async (s) => {
        for await (const one of s.stream([5], (item) => item, { concurrency: 1 })) seen.push(one)
        seen.push(await s.start<number>((_token, ready) => ready(6)), await s.run(() => 7, { survive: true }))
      },
      { trace: false },
    )
    assert.deepEqual(seen, [5, 6, 7])
  })

  test('a scope that has ended starts nothing', async () => {
    let kept: Scope | undefined
    await scope((s) => {
      kept = s
    })
    for (const promise of [kept?.start(() => 1), kept?.run(() => 1, { survive: true })]) {
      assert.ok((await rejection(promise as Promise<unknown>)) instanceof ScopeClosedError)
    }
  })
})
