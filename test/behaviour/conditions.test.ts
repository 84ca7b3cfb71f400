import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { type CancellationToken, ConditionCancellationError, ConditionToken, SimpleToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { directPolls, rejection, thrown, uncaught } from './helpers.js'

const failing = (): boolean => {
  throw new Error('broken condition')
}
/** A condition that gives whatever it likes. */
const giving = (value: unknown) => (() => value) as () => boolean
/** A condition that gives these answers in turn, then the last for ever; it counts. */
function script(...answers: boolean[]): { (): boolean; asked: number } {
  const condition = Object.assign(() => answers[Math.min(condition.asked++, answers.length - 1)] === true, { asked: 0 })
  return condition
}

describe('3. a condition is asked at each poll, and ends the token once it says true', () => {
  for (const [poll, keepsOn] of directPolls) {
    it(`by ${poll}, directly and through another token`, async () => {
      for (const wrap of [
        (token: CancellationToken) => token,
        (token: CancellationToken) => new SimpleToken(token),
        (token: CancellationToken) => new SimpleToken(new SimpleToken(), token.plus(new SimpleToken())),
      ]) {
        const condition = script(false, false, false, true)
        const source = new ConditionToken(condition)
        const token = wrap(source)
        let turns = 0
        while (await keepsOn(token)) turns++
        assert.equal(turns, 3)
        assert.equal(condition.asked, 4)
        assert.ok(token.error instanceof ConditionCancellationError)
        assert.equal(token.error.token, source)
        assert.equal(await keepsOn(token), false)
        assert.equal(condition.asked, 4)
      }
    })
  }

  it('an indirect poll asks as well', () => {
    const condition = script(false, true)
    const token = new ConditionToken(condition)
    assert.equal(token.isCancelled({ direct: false }), false)
    assert.equal(token.isCancelled({ direct: false }), true)
  })

  it('making the token, sums and tokens below it does not ask', () => {
    const token = new ConditionToken(failing, { suppressExceptions: false })
    token.plus(new SimpleToken(token), new SimpleToken()).grace(5)
    assert.equal(token.error, undefined)
  })

  it('with caching, true is for ever; without, its own polls ask again', () => {
    for (const options of [{}, { caching: true }] as const) {
      const token = new ConditionToken(script(true, false), options)
      assert.deepEqual([token.cancelled, token.cancelled, token.keepOn()], [true, true, false])
    }
    const token = new ConditionToken(script(true, false, true, false), { caching: false })
    assert.deepEqual([token.cancelled, token.cancelled, token.cancelled, token.cancelled], [true, false, true, false])
    assert.equal(token.error, undefined)
  })

  it('without caching, check() throws as long as it is true', () => {
    const token = new ConditionToken(script(true, false), { caching: false })
    const error = thrown(() => token.check())
    assert.ok(error instanceof ConditionCancellationError)
    assert.equal(error.token, token)
    token.check()
  })

  it('without caching, a token below it keeps what it was told', () => {
    const condition = script(true, false)
    const source = new ConditionToken(condition, { caching: false })
    const token = new SimpleToken(source)
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelledBy, source)
    assert.equal(condition.asked, 1)
    assert.equal(source.cancelled, false)
  })

  it('without caching, a token with a listener or a signal keeps what it was told', async () => {
    using clock = manualClock()
    for (const engage of [
      (token: CancellationToken) => token.onCancel(() => {}),
      (token: CancellationToken) => token.signal,
    ]) {
      const token = new ConditionToken(script(true, false), { caching: false })
      engage(token)
      await clock.advance(10)
      assert.equal(token.cancelled, true)
      assert.equal(token.signal.aborted, true)
    }
  })

  it('without caching, a wait ends with the error, and the next poll asks again: cantok’s', async () => {
    using clock = manualClock()
    for (const answers of [
      [false, false, true, false],
      [true, false],
    ]) {
      const token = new ConditionToken(script(...answers), { caching: false })
      const waiting = token.wait()
      await clock.advance(100)
      assert.equal((await waiting).kind, 'condition')
      assert.equal(token.cancelled, false)

      const blocked = new ConditionToken(script(...answers), { caching: false })
      assert.equal(blocked.waitSync().kind, 'condition')
      assert.equal(blocked.cancelled, false)
    }
  })
})

describe('3. only a boolean is an answer', () => {
  const noAnswers = ['kek', '', 1, 0, null, undefined, {}, [], new Boolean(true)]
  for (const value of noAnswers) {
    const shown = typeof value === 'object' ? Object.prototype.toString.call(value) : JSON.stringify(value)
    it(`${shown} counts as the default, or is a TypeError when errors are not suppressed`, () => {
      assert.equal(new ConditionToken(giving(value)).cancelled, false)
      assert.equal(new ConditionToken(giving(value), { suppressExceptions: true }).cancelled, false)
      assert.equal(new ConditionToken(giving(value), { default: false }).cancelled, false)
      assert.equal(new ConditionToken(giving(value), { default: true }).cancelled, true)
      for (const answer of [true, false]) {
        const strict = new ConditionToken(giving(value), { suppressExceptions: false, default: answer })
        assert.ok(thrown(() => strict.cancelled) instanceof TypeError)
      }
    })
  }

  it('an error of the condition counts as the default', () => {
    assert.equal(new ConditionToken(failing).cancelled, false)
    assert.equal(new ConditionToken(failing, { default: false }).cancelled, false)
    const token = new ConditionToken(failing, { default: true })
    assert.equal(token.cancelled, true)
    assert.equal(token.error?.kind, 'condition')
    assert.equal(new ConditionToken(() => true, { default: false }).cancelled, true)
    assert.equal(new ConditionToken(() => false, { default: true }).cancelled, false)
  })
})

describe('3. without suppressing, the errors of a condition reach the poller', () => {
  const pollers: readonly (readonly [string, (token: CancellationToken) => unknown])[] = [
    ['cancelled', (token) => token.cancelled],
    ['isCancelled()', (token) => token.isCancelled()],
    ['isCancelled({ direct: false })', (token) => token.isCancelled({ direct: false })],
    ['keepOn()', (token) => token.keepOn()],
    ['check()', (token) => token.check()],
    ['for…of', (token) => [...token.turns()]],
    ['for await…of', (token) => token.turns()[Symbol.asyncIterator]().next()],
    ['checkpoint()', (token) => token.checkpoint()],
    ['wait()', (token) => token.wait()],
    ['waitSync()', (token) => token.waitSync()],
    ['race()', (token) => token.race(new Promise(() => {}))],
  ]
  for (const [name, poll] of pollers) {
    it(`of ${name}, directly and through another token, and the token lives on`, async () => {
      let broken = true
      const source = new ConditionToken(() => (broken ? failing() : false), { suppressExceptions: false })
      const below = new SimpleToken(new SimpleToken(), source)
      for (const token of [source, below]) {
        const error = await rejection((async () => poll(token))())
        assert.equal((error as Error).message, 'broken condition')
        assert.equal(token.error, undefined)
      }
      broken = false
      assert.equal(below.keepOn(), true)
    })
  }

  it('of a wait that was under way', async () => {
    using clock = manualClock()
    let broken = false
    const token = new ConditionToken(() => (broken ? failing() : false), { suppressExceptions: false })
    const waiting = rejection(new SimpleToken(token).wait({ step: 5 }))
    await clock.advance(20)
    broken = true
    await clock.advance(5)
    assert.equal(((await waiting) as Error).message, 'broken condition')
    broken = false
    assert.equal(token.cancelled, false)
  })

  it('a read is no poll and does not meet them', () => {
    const token = new SimpleToken(new ConditionToken(failing, { suppressExceptions: false }))
    assert.equal(token.error, undefined)
    assert.match(String(token), /ConditionToken/)
  })

  it('from a listener’s timer they surface as uncaught, and it goes on asking', async () => {
    let answer: () => boolean = failing
    const token = new ConditionToken(() => answer(), { suppressExceptions: false })
    let told: unknown
    const errors = await uncaught(() => {
      const clock = manualClock()
      token.onCancel((error) => (told = error))
      clock.tick(10)
      answer = () => true
      clock.tick(10)
      clock.uninstall()
    })
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      ['broken condition'],
    )
    assert.ok(told instanceof ConditionCancellationError)
  })
})

describe('3. before and after run around the condition', () => {
  const calls: string[] = []
  const note =
    (name: string, fails = false) =>
    () => {
      calls.push(name)
      if (fails) throw new Error(name)
    }
  const condition = () => {
    calls.push('condition')
    return false
  }
  const rows: readonly (readonly [string, Record<string, unknown>, string[], string | undefined])[] = [
    ['in order', {}, ['before', 'condition', 'after'], undefined],
    ['in order, not suppressing', { suppressExceptions: false }, ['before', 'condition', 'after'], undefined],
    ['an error of before is suppressed', { before: note('before', true) }, ['before', 'condition', 'after'], undefined],
    ['an error of after is suppressed', { after: note('after', true) }, ['before', 'condition', 'after'], undefined],
    [
      'an error of before reaches the poller, and nothing else is called',
      { before: note('before', true), suppressExceptions: false },
      ['before'],
      'before',
    ],
    [
      'an error of after reaches the poller',
      { after: note('after', true), suppressExceptions: false },
      ['before', 'condition', 'after'],
      'after',
    ],
  ]
  for (const [name, options, expected, message] of rows) {
    it(name, () => {
      calls.length = 0
      const token = new ConditionToken(condition, { before: note('before'), after: note('after'), ...options })
      if (message === undefined) token.check()
      else assert.equal((thrown(() => token.check()) as Error).message, message)
      assert.deepEqual(calls, expected)
    })
  }

  it('at every poll, also one of a token below, never for a read', () => {
    calls.length = 0
    const token = new SimpleToken(new ConditionToken(condition, { before: note('before'), after: note('after') }))
    assert.equal(token.cancelled, false)
    assert.equal(token.error, undefined)
    assert.equal(token.keepOn(), true)
    assert.equal(calls.length, 6)
  })

  it('after runs though the condition fails, when suppressing', () => {
    calls.length = 0
    const token = new ConditionToken(failing, { before: note('before'), after: note('after') })
    assert.equal(token.cancelled, false)
    assert.deepEqual(calls, ['before', 'after'])
  })
})

describe('3. a condition with a listener', () => {
  for (const [every, options] of [
    [10, {}],
    [3, { pollEvery: 3 }],
    [250, { pollEvery: 250 }],
  ] as const) {
    it(`is asked every ${every} ms, with options ${JSON.stringify(options)}`, () => {
      using clock = manualClock()
      const condition = script(false, false, false, true)
      const told: number[] = []
      new SimpleToken(new ConditionToken(condition, options)).onCancel(() => told.push(clock.now))
      assert.equal(condition.asked, 0)
      clock.tick(every * 4 - 1)
      assert.equal(condition.asked, 3)
      clock.tick(1)
      assert.deepEqual(told, [every * 4])
      clock.tick(10_000)
      assert.equal(condition.asked, 4)
    })
  }

  it('is not called any more after the last listener', () => {
    using clock = manualClock()
    const condition = script(false)
    const source = new ConditionToken(condition)
    const registrations = [source.onCancel(() => {}), new SimpleToken(source).onCancel(() => {})]
    clock.tick(20)
    assert.equal(condition.asked, 2)
    for (const registration of registrations) registration.stop()
    clock.tick(1_000)
    assert.equal(condition.asked, 2)
  })

  it('is not asked any more when everybody who listened has been cancelled otherwise', () => {
    using clock = manualClock()
    const condition = script(false)
    const other = new SimpleToken()
    new SimpleToken(new ConditionToken(condition), other).onCancel(() => {})
    clock.tick(10)
    other.cancel()
    clock.tick(1_000)
    assert.equal(condition.asked, 1)
  })

  it('is asked once each time, however many listen', () => {
    using clock = manualClock()
    const condition = script(false)
    const source = new ConditionToken(condition)
    for (let i = 0; i < 10; i++) new SimpleToken(source).onCancel(() => {})
    clock.tick(50)
    assert.equal(condition.asked, 5)
  })

  it('aborts a signal that was made of a token below it', () => {
    using clock = manualClock()
    const condition = script(false, true)
    const { signal } = new SimpleToken(new ConditionToken(condition))
    clock.tick(10)
    assert.equal(signal.aborted, false)
    clock.tick(10)
    assert.equal(signal.aborted, true)
  })

  it('may poll its own token without end or harm', () => {
    const token: CancellationToken = new ConditionToken(() => !token.keepOn(), { suppressExceptions: false })
    assert.equal(token.cancelled, false)
    const other: CancellationToken = new ConditionToken(() => token.keepOn() && below.keepOn())
    const below = new SimpleToken(other)
    assert.equal(typeof below.cancelled, 'boolean')
  })
})
