import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { blocking, isPage, rejection, stateOf, thrown, turn } from './helpers.js'
import { kinds } from './kinds.js'

const counting = (answer: (asked: number) => boolean) => {
  const condition = Object.assign(() => answer(++condition.asked), { asked: 0 })
  return condition
}

describe('7. wait() resolves with the error that says who and why', () => {
  it('when the token is cancelled, and not before', async () => {
    const token = new SimpleToken({ name: 'work' })
    const waiting = token.wait()
    assert.equal(await stateOf(waiting), 'pending')
    token.cancel('why')
    const error = await waiting
    assert.equal(error, token.error)
    assert.equal(error.token, token)
    assert.equal(error.cause, 'why')
  })

  it('when a source is, however far up', async () => {
    const source = new SimpleToken()
    const waiting = new SimpleToken(new SimpleToken(), new SimpleToken(new TimeoutToken(1_000_000, source))).wait()
    queueMicrotask(() => source.cancel())
    assert.equal((await waiting).token, source)
  })

  it('at once when it is cancelled already', async () => {
    const token = new SimpleToken().cancel()
    assert.equal(await stateOf(token.wait()), 'resolved')
    assert.equal(await token.wait({ timeout: 0, step: 0 }), token.error)
    assert.equal((await new TimeoutToken(0).wait()).kind, 'timeout')
  })

  it('to all who wait, with the same error', async () => {
    const source = new SimpleToken()
    const tokens = Array.from({ length: 100 }, () => new SimpleToken(source))
    const waiting = Promise.all([...tokens, source].map((token) => token.wait()))
    source.cancel()
    for (const error of await waiting) assert.equal(error, source.error)
  })

  it('when its deadline passes, not earlier, a hundred at the same time', async () => {
    using clock = manualClock()
    const waiting = Promise.all(Array.from({ length: 100 }, () => new TimeoutToken(50).wait()))
    await clock.advance(49)
    assert.equal(await stateOf(waiting), 'pending')
    await clock.advance(1)
    for (const error of await waiting) assert.equal(error.kind, 'timeout')
  })

  it('in real time too', async () => {
    const start = performance.now()
    const error = await new SimpleToken(new TimeoutToken(20)).wait()
    assert.ok(error instanceof TimeoutCancellationError)
    assert.ok(performance.now() - start >= 19)
  })

  it('never for a DefaultToken', async () => {
    using clock = manualClock()
    const waiting = NEVER.wait({ timeout: 50 })
    const failed = rejection(waiting)
    await clock.advance(50)
    assert.ok((await failed) instanceof TimeoutCancellationError)
  })
})

describe('25. a wait whose limit has passed in a program that was blocked', () => {
  it('is over, though the token is cancelled before a timer runs', async () => {
    using program = blocking()
    const token = new SimpleToken({ name: 'job' })
    const waiting = token.wait({ timeout: 50_000 })
    program.block(60_000)
    token.cancel()
    const error = (await rejection(waiting)) as CancellationError
    assert.equal(error.message, 'wait on token "job" ran out of time after 50000 ms')
    assert.equal(isCancellation(error, token), false)
  })

  it('but not when the deadline of the token came first, or the cancel', async () => {
    using program = blocking()
    const deadline = new TimeoutToken(40_000)
    const token = new SimpleToken()
    const waiting = [deadline.wait({ timeout: 50_000 }), token.wait({ timeout: 50_000 })]
    program.block(45_000)
    token.cancel()
    program.block(15_000)
    assert.equal(deadline.cancelled, true)
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ kind }) => kind),
      ['timeout', 'manual'],
    )
  })

  it('also while a condition is asked', async () => {
    using program = blocking()
    let asked = 0
    const slow = new ConditionToken(() => (program.block(60_000), ++asked > 1))
    const error = (await rejection(slow.wait({ timeout: 100_000 }))) as CancellationError
    assert.ok(error instanceof TimeoutCancellationError)
    assert.equal(slow.cancelled, true)
  })
})

describe('7. wait() with a timeout', () => {
  for (const { name, make } of [...kinds, { name: 'NEVER', make: () => NEVER }]) {
    it(`rejects with a TimeoutCancellationError when it passes, and leaves the token alone: ${name}`, async () => {
      using clock = manualClock()
      const token = make()
      const outcome = rejection(token.wait({ timeout: 20 }))
      await clock.advance(19)
      assert.equal(await stateOf(outcome), 'pending')
      await clock.advance(1)
      const error = await outcome
      assert.ok(error instanceof TimeoutCancellationError)
      assert.equal(error.kind, 'timeout')
      assert.notEqual(error.token, token)
      assert.equal(isCancellation(error, token), false)
      assert.equal(token.cancelled, false)
    })
  }

  it('of 0 is a question: over or not?', async () => {
    assert.ok((await rejection(new SimpleToken().wait({ timeout: 0 }))) instanceof TimeoutCancellationError)
    assert.ok((await new SimpleToken().cancel().wait({ timeout: 0 })) instanceof CancellationError)
  })

  it('may be a fraction, Infinity or longer than timers go', async () => {
    assert.ok((await rejection(new SimpleToken().wait({ timeout: 0.1 }))) instanceof TimeoutCancellationError)
    for (const timeout of [Infinity, 2 ** 31, Number.MAX_VALUE, undefined]) {
      const token = new SimpleToken()
      const waiting = token.wait({ timeout })
      await turn()
      assert.equal(await stateOf(waiting), 'pending')
      token.cancel()
      assert.equal(await waiting, token.error)
    }
  })

  it('does not matter any more when the token is cancelled before', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const waiting = token.wait({ timeout: 20 })
    await clock.advance(19)
    token.cancel()
    await clock.advance(100)
    assert.equal(await waiting, token.error)
  })
})

describe('7. only what must be polled is polled, every `step` ms', () => {
  for (const [step, options] of [
    [10, {}],
    [3, { step: 3 }],
    [40, { step: 40, timeout: 100_000 }],
  ] as const) {
    it(`a condition, with options ${JSON.stringify(options)}`, async () => {
      using clock = manualClock()
      const condition = counting((asked) => asked === 5)
      const token = new ConditionToken(condition)
      const waiting = new SimpleToken(new SimpleToken(), token).wait(options)
      let resolvedAt: number | undefined
      void waiting.then(() => (resolvedAt = clock.now))
      await clock.advance(step * 3)
      assert.equal(condition.asked, 4)
      await clock.advance(step)
      await turn()
      assert.equal((await waiting).token, token)
      assert.equal(resolvedAt, step * 4)
      await clock.advance(1_000)
      assert.equal(condition.asked, 5)
    })
  }

  it('and nothing is asked any more once the wait has given up', async () => {
    using clock = manualClock()
    const condition = counting(() => false)
    const outcome = rejection(new SimpleToken(new ConditionToken(condition)).wait({ timeout: 50 }))
    await clock.advance(50)
    await outcome
    const { asked } = condition
    await clock.advance(1_000)
    assert.equal(condition.asked, asked)
  })

  it('while everything else is pushed, whatever the step', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const controller = new AbortController()
    const waiting = [
      token.wait({ step: 100_000 }),
      new TimeoutToken(5).wait({ step: 100_000 }),
      from(controller.signal).wait({ step: 100_000 }),
      allOf(token, new TimeoutToken(7)).wait({ step: 100_000 }),
    ]
    token.cancel()
    controller.abort()
    await clock.advance(7)
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ kind }) => kind),
      ['manual', 'timeout', 'signal', 'timeout'],
    )
  })

  it('a condition is polled by the wait’s step also while a listener has another pace', async () => {
    using clock = manualClock()
    let over = false
    const token = new ConditionToken(() => over, { pollEvery: 1_000 })
    token.onCancel(() => {})
    const waiting = token.wait({ step: 5 })
    over = true
    await clock.advance(5)
    assert.equal(await stateOf(waiting), 'resolved')
  })
})

describe('8. waitSync() blocks until the token is cancelled', () => {
  it('for as long as its deadline is away', () => {
    using clock = manualClock()
    assert.equal(new SimpleToken(new TimeoutToken(50)).waitSync().kind, 'timeout')
    assert.equal(clock.now, 50)
  })

  it('in real time, at its deadline; but never in a page, which is told what to do instead', () => {
    const start = performance.now()
    const token = new TimeoutToken(20)
    if (isPage) {
      const refused = thrown(() => token.waitSync())
      assert.ok(refused instanceof TypeError)
      assert.match(refused.message, /may not block .* await wait\(\)/)
      return
    }
    assert.equal(token.waitSync(), token.error)
    assert.ok(performance.now() - start >= 20)
  })

  it('not at all when it is cancelled', () => {
    using clock = manualClock()
    const token = new SimpleToken().cancel('why')
    assert.equal(token.waitSync(), token.error)
    assert.equal(token.waitSync({ timeout: 0 }), token.error)
    assert.equal(clock.now, 0)
  })

  it('without spinning: a condition is asked once a step', () => {
    for (const [step, options] of [
      [10, {}],
      [25, { step: 25 }],
    ] as const) {
      using clock = manualClock()
      const condition = counting((asked) => asked === 4)
      assert.equal(new SimpleToken(new ConditionToken(condition)).waitSync(options).kind, 'condition')
      assert.equal(condition.asked, 4)
      assert.equal(clock.now, 3 * step)
    }
  })

  it('and throws a TimeoutCancellationError when `timeout` passes before', () => {
    for (const token of [new SimpleToken(), NEVER, new ConditionToken(() => false), new TimeoutToken(1_000)]) {
      using clock = manualClock()
      const error = thrown(() => token.waitSync({ timeout: 20 }))
      assert.ok(error instanceof TimeoutCancellationError)
      assert.notEqual(error.token, token)
      assert.equal(clock.now, 20)
      assert.equal(token.cancelled, false)
    }
    assert.ok(thrown(() => new SimpleToken().waitSync({ timeout: 0 })) instanceof TimeoutCancellationError)
  })

  const hopeless: readonly (readonly [string, () => CancellationToken])[] = [
    ['a SimpleToken', () => new SimpleToken()],
    ['a DefaultToken', () => NEVER],
    ['a sum', () => new SimpleToken().plus(new SimpleToken())],
    ['a counter that only direct polls consume', () => new CounterToken(3)],
    ['a deadline at Infinity', () => new TimeoutToken(Infinity)],
    ['a signal', () => from(new AbortController().signal)],
    ['allOf nothing', () => allOf()],
    ['allOf with one that has no end', () => allOf(new TimeoutToken(5), new SimpleToken())],
    ['the grace of a token without an end', () => new SimpleToken().grace(5)],
    ['an endless grace', () => new SimpleToken().cancel().grace(Infinity)],
  ]
  for (const [name, make] of hopeless) {
    it(`and throws rather than hang for ever, where only this thread could cancel: ${name}`, () => {
      using clock = manualClock()
      const token = make()
      const error = thrown(() => token.waitSync())
      assert.ok(error instanceof Error)
      assert.equal(isCancellation(error), false)
      assert.equal(isCancellation(thrown(() => token.waitSync({ timeout: Infinity }))), false)
      assert.ok(thrown(() => token.waitSync({ timeout: 5 })) instanceof TimeoutCancellationError)
      assert.equal(clock.now, 5)
    })
  }

  it('but waits where the end is in sight behind others', () => {
    for (const [make, end] of [
      [() => new SimpleToken(new SimpleToken(), new TimeoutToken(30), new TimeoutToken(Infinity)), 30],
      [() => allOf(new TimeoutToken(5), new TimeoutToken(40)), 40],
      [() => new SimpleToken(new TimeoutToken(5).grace(20)), 25],
      [() => new SimpleToken().cancel().grace(20), 20],
    ] as const) {
      using clock = manualClock()
      assert.ok(make().waitSync() instanceof CancellationError)
      assert.equal(clock.now, end)
    }
  })

  it('with listeners called before it returns', () => {
    using clock = manualClock()
    const token = new SimpleToken(new TimeoutToken(5))
    let calls = 0
    token.onCancel(() => calls++)
    token.waitSync()
    assert.equal(calls, 1)
    assert.equal(clock.now, 5)
  })
})
