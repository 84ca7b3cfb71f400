// oxlint-disable unicorn/no-thenable -- the thenables of these tests are meant to be some
/** token.untilCancelled(task): a cancellation as a value. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { type CancellationToken, ConditionToken, NEVER, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { blocking, deferred, rejection, stateOf, turn } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

const forever = () => new Promise<never>(() => {})
const failure = new Error('broken')
const fails = () => {
  throw failure
}

describe('untilCancelled', () => {
  for (const { name, make } of [...kinds, { name: 'NEVER', make: () => NEVER }]) {
    it(`under ${name} is the value of the task, or its failure`, async () => {
      for (const options of [undefined, {}, { grace: 5 }]) {
        const token = make()
        assert.equal(await token.untilCancelled(Promise.resolve(1), options), 1)
        assert.equal(await token.untilCancelled(async () => 2, options), 2)
        assert.equal(await token.untilCancelled(() => 3, options), 3)
        assert.equal(await token.untilCancelled({ then: (yes: (n: number) => void) => yes(4) } as never, options), 4)
        assert.equal(await token.untilCancelled(async () => null, options), null)
        for (const task of [fails, async () => fails(), Promise.reject(failure)]) {
          assert.equal(await rejection(token.untilCancelled(task, options)), failure)
        }
      }
    })
  }

  for (const { name, make } of kinds) {
    it(`under ${name} is undefined when that is cancelled, and the task is cancelled too`, async () => {
      for (const options of [undefined, { grace: 100_000 }]) {
        const token = make()
        let own: CancellationToken | undefined
        const until = token.untilCancelled((given) => (own = given).sleep(1_000_000), options)
        token.cancel()
        assert.equal(await until, undefined)
        assert.equal(own?.error, token.error)
      }
    })
  }

  for (const { name, make } of deadKinds) {
    it(`under ${name} is undefined, and starts nothing`, async () => {
      for (const options of [undefined, { grace: 100_000 }]) {
        assert.equal(await make().untilCancelled(() => assert.fail('started'), options), undefined)
        assert.equal(await make().untilCancelled(Promise.resolve('too late'), options), undefined)
      }
    })
  }

  it('swallows the cancellation of this token in whatever words, and no other', async () => {
    const abort = () => Object.assign(new Error('aborted'), { name: 'AbortError' })
    const rejectsWith = (error: () => unknown) => async (token: CancellationToken) => {
      await token.wait()
      throw error()
    }
    const parent = new SimpleToken()
    const token = new SimpleToken(parent)
    const outcomes = [
      token.untilCancelled(rejectsWith(abort)),
      token.untilCancelled(
        rejectsWith(() => new Error('wrapped', { cause: token.error })),
        { grace: 1_000 },
      ),
      token.untilCancelled(rejectsWith(() => parent.error)),
    ]
    parent.cancel()
    assert.deepEqual(await Promise.all(outcomes), [undefined, undefined, undefined])
    // While the token lives, a cancellation is that of another token.
    const other = new SimpleToken().cancel().error
    for (const error of [other, abort()]) {
      assert.equal(await rejection(new SimpleToken().untilCancelled(() => Promise.reject(error))), error)
    }
    // After it, the error of another token is still no cancellation of this one.
    const late = new SimpleToken()
    const until = late.untilCancelled(
      rejectsWith(() => other),
      { grace: 100_000 },
    )
    late.cancel()
    assert.equal(await rejection(until), other)
  })

  it('lets the failure of a task win that had failed by the time of the cancellation', async () => {
    const token = new SimpleToken()
    const until = token.untilCancelled(Promise.reject(failure))
    token.cancel()
    assert.equal(await rejection(until), failure)
  })

  it('takes a value for too late after a deadline that was not noticed', async () => {
    using time = blocking()
    const task = deferred<string>()
    const until = new TimeoutToken(1_000).untilCancelled(task.promise)
    time.block(1_000)
    task.resolve('late')
    assert.equal(await until, undefined)
  })

  it('waits for the task as long as the grace lasts, counted from the cancellation', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    const until = token.untilCancelled(forever, { grace: 50 })
    await clock.advance(149)
    assert.equal(await stateOf(until), 'pending')
    await clock.advance(1)
    assert.equal(await until, undefined)
    assert.equal(await new SimpleToken().cancel().untilCancelled(forever(), { grace: 0 }), undefined)
  })

  it('rejects with a failure within the grace, drops a value, and drops what comes later', async () => {
    using clock = manualClock()
    for (const [end, ms] of [
      ['reject', 40],
      ['resolve', 40],
      ['reject', 60],
    ] as const) {
      const [token, task] = [new SimpleToken(), deferred<unknown>()]
      const until = token.untilCancelled(task.promise, { grace: 50 }).then(
        (value) => ['value', value],
        (error: unknown) => ['failure', error],
      )
      token.cancel()
      await clock.advance(ms)
      task[end](failure)
      assert.deepEqual(await until, end === 'reject' && ms < 50 ? ['failure', failure] : ['value', undefined])
    }
    await turn() // no unhandled rejection
  })

  it('waits for ever with an endless grace', async () => {
    const [token, task] = [new SimpleToken(), deferred<string>()]
    const until = token.untilCancelled(() => task.promise, { grace: Infinity })
    token.cancel()
    assert.equal(await stateOf(until), 'pending')
    task.resolve('cleaned up')
    assert.equal(await until, undefined)
  })

  it('starts a task that is a thenable once', async () => {
    let started = 0
    const query = { then: () => void started++ } as unknown as PromiseLike<string>
    const token = new SimpleToken()
    const until = token.untilCancelled(query, { grace: 0 })
    await turn()
    token.cancel()
    assert.equal(await until, undefined)
    assert.equal(started, 1)
  })

  it('rejects with the error of a condition that throws', async () => {
    const token = new ConditionToken(fails, { suppressExceptions: false })
    assert.equal(await rejection(token.untilCancelled(forever)), failure)
  })

  it('refuses what is no task, and bad options', async () => {
    const token = new SimpleToken()
    const until = token.untilCancelled.bind(token) as (task: unknown, options?: object) => Promise<unknown>
    for (const value of [undefined, null, 5, {}, [], [forever]]) {
      const error = await rejection(until(value))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /task must be a promise or a function/)
    }
    const unknown = await rejection(until(forever, { grase: 5 }))
    assert.ok(unknown instanceof TypeError)
    assert.match(unknown.message, /"grace"/)
  })
})
