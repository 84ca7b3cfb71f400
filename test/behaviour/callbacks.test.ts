// oxlint-disable unicorn/no-thenable -- the thenables of these tests are meant to be some
/** token.promise(executor): a bridge to an API that calls back. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  ConditionToken,
  CounterToken,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { blocking, deferred, rejection, stateOf, turn, uncaught } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

type Executor<T> = Parameters<typeof NEVER.promise<T>>[0]
type Answer<T> = (value: T | PromiseLike<T>) => void

/** An operation with callbacks, and what was done to it. */
class Operation<T = string> {
  started = 0
  stopped = 0
  resolve!: Answer<T>
  reject!: (error?: unknown) => void

  readonly executor: Executor<T> = (resolve, reject) => {
    this.started++
    this.resolve = resolve
    this.reject = reject
    return () => void this.stopped++
  }
}

const counts = ({ started, stopped }: Operation) => [started, stopped]

describe('a promise under a token', () => {
  for (const { name, make } of [...kinds, { name: 'NEVER', make: () => NEVER }]) {
    it(`of ${name} has the outcome that the callbacks say, and the operation is not stopped`, async () => {
      const token = make()
      const [good, bad] = [new Operation(), new Operation()]
      const [value, failure] = [token.promise(good.executor), rejection(token.promise(bad.executor))]
      assert.deepEqual(
        [counts(good), counts(bad)],
        [
          [1, 0],
          [1, 0],
        ],
      )
      good.resolve('done')
      bad.reject('broken')
      assert.equal(await value, 'done')
      assert.equal(await failure, 'broken')
      if (token !== NEVER) token.cancel()
      good.resolve('again')
      bad.reject('again')
      assert.deepEqual(
        [counts(good), counts(bad)],
        [
          [1, 0],
          [1, 0],
        ],
      )
    })
  }

  for (const { name, make } of kinds) {
    it(`of ${name} rejects with its error in the call that cancels it, and the operation is stopped once`, async () => {
      const token = make()
      const operation = new Operation()
      const promise = token.promise(operation.executor)
      token.cancel('enough')
      assert.equal(operation.stopped, 1)
      operation.resolve('late')
      operation.reject('late')
      assert.equal(await rejection(promise), token.error)
      assert.deepEqual(counts(operation), [1, 1])
    })
  }

  for (const { name, make } of deadKinds) {
    it(`of ${name} rejects with its error, and starts nothing`, async () => {
      const token = make()
      const operation = new Operation()
      assert.equal(await rejection(token.promise(operation.executor)), token.error)
      assert.equal(operation.started, 0)
    })
  }

  it('hears a deadline and a condition', async () => {
    using clock = manualClock()
    let over = false
    for (const token of [new TimeoutToken(20), new SimpleToken(new ConditionToken(() => over))]) {
      const operation = new Operation()
      over = false
      const promise = rejection(token.promise(operation.executor))
      over = true
      await clock.advance(20)
      assert.equal(await promise, token.error)
      assert.equal(operation.stopped, 1)
    }
  })

  it('uses up a counter once, as each poll does', async () => {
    const token = new CounterToken(2, { direct: false })
    assert.equal(await token.promise((resolve) => resolve('first')), 'first')
    assert.equal(((await rejection(token.promise(() => assert.fail('started')))) as CancellationError).kind, 'counter')
  })

  it('rejects with the error of a condition that throws', async () => {
    const failure = new Error('broken')
    const token = new ConditionToken(
      () => {
        throw failure
      },
      { suppressExceptions: false },
    )
    assert.equal(await rejection(token.promise(() => assert.fail('started'))), failure)
  })

  it('may have its outcome while the executor runs, and then stops nothing', async () => {
    const token = new SimpleToken()
    const stop = () => assert.fail('stopped')
    assert.equal(await token.promise<number>((resolve) => (resolve(5), stop)), 5)
    assert.equal(await rejection(token.promise((_, reject) => (reject('broken'), stop))), 'broken')
    assert.equal(await token.promise<void>((resolve) => resolve()), undefined)
    token.cancel()
  })

  it('is cancelled by the executor itself: what the executor returns then is called once', async () => {
    const token = new SimpleToken()
    const operation = new Operation()
    const promise = token.promise<string>((resolve, reject) => {
      const stop = operation.executor(resolve, reject)
      token.cancel()
      assert.equal(operation.stopped, 0)
      return stop
    })
    assert.equal(operation.stopped, 1)
    assert.equal(await rejection(promise), token.error)
    const none = new SimpleToken()
    assert.equal(await rejection(none.promise(() => void none.cancel())), none.error)
  })

  it('rejects with what the executor throws, unless it has its outcome by then', async () => {
    const failure = new Error('broken')
    const fails = () => {
      throw failure
    }
    assert.equal(await rejection(new SimpleToken().promise(fails)), failure)
    assert.equal(await new SimpleToken().promise((resolve) => (resolve(1), fails())), 1)
    const token = new SimpleToken()
    assert.equal(await rejection(token.promise(() => (token.cancel(), fails()))), token.error)
  })

  it('surfaces the error of a clean-up function, whenever it is called', async () => {
    const failure = new Error('stop failed')
    const stop = () => {
      throw failure
    }
    const [early, later] = [new SimpleToken(), new SimpleToken()]
    const errors = await uncaught(async () => {
      const promise = rejection(later.promise(() => stop))
      later.cancel()
      assert.equal(await promise, later.error)
      assert.equal(await rejection(early.promise(() => (early.cancel(), stop))), early.error)
    })
    assert.deepEqual(errors, [failure, failure])
  })

  it('awaits a promise, or a thenable, that is given to resolve', async () => {
    const token = new SimpleToken()
    assert.equal(await token.promise((resolve) => resolve(Promise.resolve(1))), 1)
    const thenable = { then: (yes: Answer<number>) => yes(2) } as unknown as PromiseLike<number>
    assert.equal(await token.promise((resolve) => resolve(thenable)), 2)
    assert.equal(await rejection(token.promise((resolve) => resolve(Promise.reject('broken')))), 'broken')
    const failure = new Error('no then')
    const hostile = {
      get then() {
        throw failure
      },
    }
    assert.equal(await rejection(token.promise((resolve) => resolve(hostile as never))), failure)
    const itself: Promise<unknown> = token.promise((resolve) => setTimeout(() => resolve(itself), 0) && undefined)
    assert.ok((await rejection(itself)) instanceof TypeError)
  })

  it('is cancelled while that promise is pending, and stops the operation', async () => {
    const token = new SimpleToken()
    const [answer, operation] = [deferred<string>(), new Operation()]
    const promise = token.promise(operation.executor)
    operation.resolve(answer.promise)
    operation.resolve('second')
    operation.reject('third')
    assert.equal(await stateOf(promise.catch(() => {})), 'pending')
    token.cancel()
    assert.equal(operation.stopped, 1)
    assert.equal(await rejection(promise), token.error)
    answer.reject(new Error('late')) // no unhandled rejection
    await turn()
    // A thenable that cancels the token.
    const other = new SimpleToken()
    const canceller = { then: (yes: () => void) => (other.cancel(), yes()) }
    assert.equal(await rejection(other.promise((resolve) => resolve(canceller as never))), other.error)
  })

  it('comes too late after a deadline that was not noticed, and a failure does not', async () => {
    using time = blocking()
    const [token, operation] = [new TimeoutToken(1_000), new Operation()]
    const promise = token.promise(operation.executor)
    time.block(1_000)
    operation.resolve('late')
    assert.equal(await rejection(promise), token.error)
    assert.equal(operation.stopped, 1)

    const [second, failing] = [new TimeoutToken(1_000), new Operation()]
    const failed = second.promise(failing.executor)
    time.block(1_000)
    failing.reject('broken')
    assert.equal(await rejection(failed), 'broken')
    assert.equal(failing.stopped, 0)
  })

  it('rejects with the error of the token where a client says it in its own words, and stops the operation', async () => {
    const token = new SimpleToken()
    let stopped = 0
    const client = (answer: (resolve: Answer<string>, reject: (error: unknown) => void) => void) =>
      token.promise<string>((resolve, reject) => {
        token.signal.addEventListener('abort', () => answer(resolve, reject))
        return () => void stopped++
      })
    const abort = Object.assign(new Error('aborted'), { name: 'AbortError' })
    const promises = [client((_, reject) => reject(abort)), client((resolve) => resolve('just now'))]
    token.cancel()
    for (const promise of promises) assert.equal(await rejection(promise), token.error)
    assert.equal(stopped, 2)
    const other = new SimpleToken().cancel().error
    const failed = await rejection(new SimpleToken().promise((_, reject) => reject(other)))
    assert.equal(failed, other)
  })

  it('refuses an executor that is none, or that returns something else', async () => {
    const token = new SimpleToken()
    const promise = token.promise.bind(token) as unknown as (...given: unknown[]) => Promise<unknown>
    for (const value of [undefined, null, 5, {}]) {
      const error = await rejection(promise(value))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /executor must be a function/)
    }
    for (const value of [null, 5, {}, Promise.resolve()]) {
      const error = await rejection(promise(() => value))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /the result of executor must be a function or nothing/)
      assert.equal(isCancellation(error), false)
    }
  })
})
