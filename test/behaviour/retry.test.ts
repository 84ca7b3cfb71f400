import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CANCELLED,
  type CancellationToken,
  isCancellation,
  NEVER,
  RetryBudgetError,
  type RetryOptions,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { rejection, turn } from './helpers.js'

const failures = Array.from({ length: 20 }, (_, i) => new Error(`failure ${i + 1}`))

/** Fails so many times; keeps what it was given, and when. */
function flaky(times: number, clock = { now: 0 }) {
  const calls: { readonly at: number; readonly attempt: number; readonly token: CancellationToken }[] = []
  const work = async (token: CancellationToken, attempt: number) => {
    calls.push({ at: clock.now, attempt, token })
    if (calls.length <= times) throw failures[calls.length - 1]
    return 'done'
  }
  return { calls, work }
}

describe('retry', () => {
  test('tries again after a failure, after delays that grow', async () => {
    using clock = manualClock()
    const { calls, work } = flaky(3, clock)
    const whole = new SimpleToken().retry(work, { attempts: 4, delay: 100, factor: 3, jitter: false })
    await clock.advance(2_000)
    assert.equal(await whole, 'done')
    assert.deepEqual(
      calls.map(({ at, attempt }) => [at, attempt]),
      [
        [0, 1],
        [100, 2],
        [400, 3],
        [1_300, 4],
      ],
    )
  })

  test('gives what a first success gives, at once, and takes what is not async', async () => {
    using clock = manualClock()
    assert.equal(await NEVER.retry(() => 5), 5)
    assert.equal(await NEVER.retry(async () => 'x'), 'x')
    assert.equal(clock.now, 0)
  })

  test('rejects with the last failure when the attempts are used up: 3 by default', async () => {
    using clock = manualClock()
    const { calls, work } = flaky(10)
    const whole = rejection(NEVER.retry(work))
    await clock.advance(1_000)
    assert.equal(await whole, failures[2])
    assert.equal(calls.length, 3)
    const once = flaky(10)
    assert.equal(await rejection(NEVER.retry(once.work, { attempts: 1 })), failures[0])
    const thrown = NEVER.retry(
      () => {
        throw failures[5]
      },
      { attempts: 1 },
    )
    assert.equal(await rejection(thrown), failures[5])
  })

  test('the delays never get longer than maxDelay, however many attempts', async () => {
    using clock = manualClock()
    const { calls, work } = flaky(5, clock)
    const options = { attempts: Infinity, delay: 10, factor: 1e200, maxDelay: 50, jitter: false }
    const whole = NEVER.retry(work, options)
    await clock.advance(1_000)
    assert.equal(await whole, 'done')
    assert.deepEqual(
      calls.map(({ at }) => at),
      [0, 10, 60, 110, 160, 210],
    )
  })

  test('jitter takes each delay between its half and its whole, by the function given or by Math.random', async () => {
    using clock = manualClock()
    const shares = [0, 1, 0.5]
    const given = flaky(3, clock)
    const whole = NEVER.retry(given.work, {
      attempts: 4,
      delay: 100,
      factor: 1,
      jitter: () => shares.shift() as number,
    })
    await clock.advance(1_000)
    await whole
    assert.deepEqual(
      given.calls.map(({ at }) => at),
      [0, 50, 150, 225],
    )
    const { random } = Math
    const start = clock.now
    const usual = flaky(1, clock)
    const later = NEVER.retry(usual.work, { delay: 100 })
    Math.random = () => 0.2
    try {
      await clock.advance(1_000)
    } finally {
      Math.random = random
    }
    await later
    assert.deepEqual(
      usual.calls.map(({ at }) => at - start),
      [0, 60],
    )
  })

  test('each attempt has a token of its own, cancelled once it has failed; that of the success lives on', async () => {
    using clock = manualClock()
    const root = new SimpleToken()
    const { calls, work } = flaky(2)
    const whole = root.retry(work, { delay: 1 })
    await clock.advance(10)
    await whole
    assert.deepEqual(
      calls.map(({ token }) => token.kind),
      ['dispose', 'dispose', undefined],
    )
    assert.equal(root.cancelled, false)
    root.cancel()
    assert.equal(calls[2]?.token.error, root.error)
  })
})

describe('retry with a delay that follows from the failure', () => {
  /** A server that says after how many milliseconds to come again. */
  class Busy extends Error {
    constructor(readonly retryAfter: number) {
      super('busy')
    }
  }
  const retryAfter = (error: unknown) => (error as Busy).retryAfter

  /** Starts a retry of which each attempt fails with the next of these delays. Returns when each attempt was. */
  async function attemptsAt(delays: readonly number[], options?: RetryOptions): Promise<readonly number[]> {
    using clock = manualClock()
    const moments: number[] = []
    const task = async () => {
      moments.push(clock.now)
      const next = delays[moments.length - 1]
      if (next !== undefined) throw new Busy(next)
    }
    const whole = NEVER.retry(task, { attempts: Infinity, delay: retryAfter, ...options })
    await clock.advance(1_000_000)
    await whole
    return moments
  }

  test('waits as long as the function says, with the failure and the number of the attempt', async () => {
    using clock = manualClock()
    const asked: unknown[] = []
    const { calls, work } = flaky(3, clock)
    const delay = (error: unknown, attempt: number) => {
      asked.push([error, attempt])
      return attempt * 10
    }
    const whole = NEVER.retry(work, { attempts: 4, delay })
    await clock.advance(1_000)
    assert.equal(await whole, 'done')
    assert.deepEqual(
      calls.map(({ at }) => at),
      [0, 10, 30, 60],
    )
    assert.deepEqual(asked, [
      [failures[0], 1],
      [failures[1], 2],
      [failures[2], 3],
    ])
  })

  test('the wish of a server is not changed, unless maxDelay or jitter is given', async () => {
    assert.deepEqual(await attemptsAt([40_000, 0, 5]), [0, 40_000, 40_000, 40_005])
    assert.deepEqual(await attemptsAt([100, 100], { factor: 7 }), [0, 100, 200])
    assert.deepEqual(await attemptsAt([100, 100], { maxDelay: 60 }), [0, 60, 120])
    assert.deepEqual(await attemptsAt([100, 100], { jitter: () => 0 }), [0, 50, 100])
    assert.deepEqual(await attemptsAt([100], { jitter: false }), [0, 100])
    const [, second] = await attemptsAt([100], { jitter: true })
    assert.ok(second !== undefined && second >= 50 && second <= 100, String(second))
  })

  test('a delay that the time does not allow is a RetryBudgetError at once', async () => {
    using clock = manualClock()
    for (const wish of [250, Infinity]) {
      const { calls, work } = flaky(10)
      const error = await rejection(new TimeoutToken(250).retry(work, { delay: () => wish }))
      assert.ok(error instanceof RetryBudgetError)
      assert.equal(error.message, `no time for attempt 2: ${wish} ms wanted, 250 ms left`)
      assert.deepEqual([calls.length, clock.now, error.cause], [1, 0, failures[0]])
    }
    const error = await rejection(NEVER.retry(flaky(10).work, { delay: () => Infinity }))
    assert.ok(error instanceof RetryBudgetError)
  })

  test('the function is asked only before another attempt, and what it throws is thrown', async () => {
    using clock = manualClock()
    let asked = 0
    const delay = () => asked++
    const whole = rejection(NEVER.retry(flaky(10).work, { attempts: 2, delay }))
    await clock.advance(10)
    assert.equal(await whole, failures[1])
    assert.equal(await rejection(NEVER.retry(flaky(10).work, { delay, when: () => false })), failures[0])
    assert.equal(asked, 1)
    const fails = () => {
      throw failures[9]
    }
    assert.equal(await rejection(NEVER.retry(flaky(9).work, { delay: fails })), failures[9])
  })

  test('a cancellation by the function, or during the delay, ends the retry', async () => {
    using clock = manualClock()
    const [within, later] = [new SimpleToken(), new SimpleToken()]
    const byItself = rejection(within.retry(flaky(10).work, { delay: () => (within.cancel(), 5) }))
    const waiting = rejection(later.retry(flaky(10).work, { delay: () => 60_000 }))
    await clock.advance(10)
    later.cancel()
    assert.deepEqual([await byItself, await waiting], [within.error, later.error])
  })
})

describe('retry and cancellation', () => {
  test('no delay stays none, whatever the factor; the event loop turns all the same', async () => {
    using clock = manualClock()
    const { calls, work } = flaky(3, clock)
    const whole = NEVER.retry(work, { attempts: 4, delay: 0, factor: Infinity })
    await clock.advance(0)
    assert.equal(await whole, 'done')
    assert.deepEqual([calls.length, clock.now], [4, 0])
  })

  test('under a cancelled token nothing is tried', async () => {
    const { calls, work } = flaky(0)
    assert.equal(await rejection(CANCELLED.retry(work)), CANCELLED.error)
    assert.equal(calls.length, 0)
  })

  test('a cancellation ends a delay at once', async () => {
    using clock = manualClock()
    const root = new SimpleToken()
    const { calls, work } = flaky(5)
    const whole = rejection(root.retry(work, { delay: 1_000 }))
    await clock.advance(10)
    root.cancel()
    assert.equal(await whole, root.error)
    assert.equal(calls.length, 1)
  })

  test('a cancellation is not retried, nor what fails under it', async () => {
    for (const wanted of ['cancellation', 'failure', 'success'] as const) {
      const root = new SimpleToken()
      let attempts = 0
      const whole = root.retry(async (token) => {
        attempts++
        const error = await token.wait()
        if (wanted === 'success') return 'all the same'
        throw wanted === 'failure' ? failures[0] : error
      })
      await turn()
      root.cancel()
      if (wanted === 'success') assert.equal(await whole, 'all the same')
      else assert.equal(await rejection(whole), wanted === 'failure' ? failures[0] : root.error)
      assert.equal(attempts, 1)
    }
  })

  test('the cancellation of another token is a failure like any other', async () => {
    using clock = manualClock()
    let attempts = 0
    const whole = rejection(
      NEVER.retry(
        (token) => {
          attempts++
          return token.race(new Promise<never>(() => {}), { timeout: 5 })
        },
        { delay: 1 },
      ),
    )
    await clock.advance(100)
    assert.ok(isCancellation(await whole))
    assert.equal(attempts, 3)
  })
})

describe('retry within a budget', () => {
  test('starts no delay that cannot end in time, and says so with the last failure', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(250)
    const { calls, work } = flaky(10)
    const whole = rejection(token.retry(work, { attempts: 10, delay: 100, factor: 2, jitter: false }))
    await clock.advance(100)
    const error = await whole // at 100 ms: the next delay would take 200 of the 150 that are left
    assert.ok(error instanceof RetryBudgetError)
    assert.deepEqual([error.name, error.code, error.attempts], ['RetryBudgetError', 'ERR_RETRY_BUDGET', 2])
    assert.equal(error.cause, failures[1])
    assert.equal(error.message, 'no time for attempt 3: 200 ms wanted, 150 ms left')
    assert.deepEqual([calls.length, token.cancelled, isCancellation(error)], [2, false, false])
  })

  test('a delay that ends with the deadline leaves no time', async () => {
    using clock = manualClock()
    const error = await rejection(new TimeoutToken(100).retry(flaky(10).work, { delay: 100, jitter: false }))
    assert.equal(clock.now, 0)
    assert.ok(error instanceof RetryBudgetError)
  })

  test('starts no attempt with less than `shortest` left, not even a first one', async () => {
    using clock = manualClock()
    const options: RetryOptions = { delay: 10, jitter: false, minAttemptTime: 95 }
    const { calls, work } = flaky(10)
    const error = (await rejection(new TimeoutToken(100).retry(work, options))) as RetryBudgetError
    assert.deepEqual([calls.length, error.cause, error.attempts], [1, failures[0], 1])
    assert.equal(error.message, 'no time for attempt 2: 105 ms wanted, 100 ms left')
    const none = (await rejection(new TimeoutToken(94).retry(work, options))) as RetryBudgetError
    assert.deepEqual([calls.length, none.attempts, 'cause' in none], [1, 0, false])
    const exact = new TimeoutToken(105).retry(flaky(1).work, options)
    await clock.advance(10)
    assert.equal(await exact, 'done')
  })
})

describe('retry: what is worth it', () => {
  test('when() decides, with the failure and the number of the attempt; it may take its time', async () => {
    using clock = manualClock()
    const asked: unknown[] = []
    const { calls, work } = flaky(10)
    const whole = rejection(
      NEVER.retry(work, {
        attempts: 10,
        delay: 1,
        when: async (error, attempt) => {
          asked.push([error, attempt])
          return attempt < 3
        },
      }),
    )
    await clock.advance(100)
    assert.equal(await whole, failures[2])
    assert.equal(calls.length, 3)
    assert.deepEqual(asked, [
      [failures[0], 1],
      [failures[1], 2],
      [failures[2], 3],
    ])
    assert.equal(await rejection(NEVER.retry(flaky(9).work, { when: () => false })), failures[0])
  })

  test('when() gets the token, so that it can wait under it', async () => {
    using clock = manualClock()
    const token = new SimpleToken({ name: 'import' })
    const given: unknown[] = []
    const when = async (_error: unknown, attempt: number, own: CancellationToken) => {
      given.push(own)
      await own.sleep(20)
      return attempt < 3
    }
    const whole = rejection(token.retry(flaky(10).work, { attempts: 10, delay: 0, when }))
    await clock.advance(100)
    assert.equal(await whole, failures[2])
    assert.deepEqual(given, [token, token, token])
  })

  test('a when() that never answers, or that waits under the token, ends with the token', async () => {
    for (const answer of [
      () => new Promise<never>(() => {}),
      // oxlint-disable-next-line unicorn/no-thenable -- on purpose
      () => ({ then() {} }) as PromiseLike<boolean>,
      (_error: unknown, _attempt: number, own: CancellationToken) => own.sleep(Infinity).then(() => true),
    ]) {
      const token = new SimpleToken()
      let asked = 0
      const when = (...args: [unknown, number, CancellationToken]) => (asked++, answer(...args))
      const whole = rejection(token.retry(flaky(10).work, { delay: 0, when }))
      while (!asked) await turn()
      token.cancel()
      assert.equal(await whole, token.error)
      assert.equal(asked, 1)
    }
  })

  test('what when() throws is what is thrown', async () => {
    const when = () => {
      throw failures[9]
    }
    assert.equal(await rejection(NEVER.retry(flaky(9).work, { when })), failures[9])
  })

  test('bad input is refused by name', async () => {
    const work = async () => {
      throw failures[0]
    }
    const bad: readonly [() => Promise<unknown>, RegExp][] = [
      [() => NEVER.retry(5 as never), /^TypeError: task must be a function, got 5$/],
      [() => NEVER.retry(work, 5 as never), /^TypeError: options must be a plain object, got 5$/],
      [() => NEVER.retry(work, { attempts: 0 }), /^RangeError: attempts must be a whole number of at least 1, got 0$/],
      [() => NEVER.retry(work, { attempts: 1.5 }), /^RangeError: attempts must be a whole number .* got 1.5$/],
      [() => NEVER.retry(work, { attempts: '3' as never }), /^TypeError: attempts must be a number, got "3"$/],
      [() => NEVER.retry(work, { delay: -1 }), /^RangeError: delay must not be negative or NaN, got -1$/],
      [() => NEVER.retry(work, { delay: '5' as never }), /^TypeError: delay must be a number, got "5"$/],
      [() => NEVER.retry(work, { delay: null as never }), /^TypeError: delay must be a number, got null$/],
      [() => NEVER.retry(work, { delay: () => '5' as never }), /^TypeError: delay must be a number, got "5"$/],
      [() => NEVER.retry(work, { delay: (() => {}) as never }), /^TypeError: delay must be a number, got undefined$/],
      [
        () => NEVER.retry(work, { delay: (async () => 5) as never }),
        /^TypeError: delay must be a number, got \[object Promise\]$/,
      ],
      [() => NEVER.retry(work, { delay: () => -1 }), /^RangeError: delay must not be negative or NaN, got -1$/],
      [() => NEVER.retry(work, { delay: () => Number.NaN }), /^RangeError: delay must not be .* got NaN$/],
      [() => NEVER.retry(work, { factor: Number.NaN }), /^RangeError: factor must not be negative or NaN, got NaN$/],
      [() => NEVER.retry(work, { maxDelay: -1 }), /^RangeError: maxDelay must not be negative/],
      [
        () => NEVER.retry(work, { minAttemptTime: null as never }),
        /^TypeError: minAttemptTime must be a number, got null$/,
      ],
      [() => NEVER.retry(work, { jitter: 1 as never }), /^TypeError: jitter must be a boolean or a function, got 1$/],
      [() => NEVER.retry(work, { jitter: () => 2 }), /^RangeError: jitter must give a number from 0 to 1, got 2$/],
      [() => NEVER.retry(work, { jitter: () => 'x' as never }), /^RangeError: jitter must give a number .* got x$/],
      [() => NEVER.retry(work, { when: true as never }), /^TypeError: when must be a function, got true$/],
      [
        () => NEVER.retry(work, { when: () => 1 as never }),
        /^TypeError: when must be a function that gives a boolean, got 1$/,
      ],
    ]
    for (const [run, message] of bad) assert.match(String(await rejection(run())), message)
  })
})
