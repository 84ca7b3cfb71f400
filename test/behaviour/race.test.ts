import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  from,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, OtherSignal, rejection, stateOf, turn } from './helpers.js'
import { deadKinds } from './kinds.js'

/** A promise of somebody's own make. */
class Thenable implements PromiseLike<number> {
  // oxlint-disable-next-line unicorn/no-thenable -- being one is the point
  then<A>(resolve?: ((value: number) => A | PromiseLike<A>) | null): PromiseLike<A> {
    return Promise.resolve(resolve?.(2) as A)
  }
}

const forever = () => new Promise<never>(() => {})

describe('9. race settles as the first of the works does', () => {
  it('with its value, for promises, thenables and functions of any kind', async () => {
    const token = new SimpleToken()
    assert.equal(await token.race(Promise.resolve(1)), 1)
    assert.equal(await token.race(new Thenable()), 2)
    assert.equal(await token.race(() => 3), 3)
    assert.equal(await token.race(async () => 4), 4)
    assert.equal(await token.race([forever(), async () => 5, forever]), 5)
    assert.equal(await token.race([forever, Promise.resolve(6)] as const), 6)
    assert.equal(await NEVER.race(async () => 7), 7)
    assert.equal(await token.race(() => undefined), undefined)
    assert.equal(token.cancelled, false)
  })

  it('with its failure, thrown or rejected', async () => {
    const failure = new Error('broken')
    for (const work of [
      Promise.reject(failure),
      () => Promise.reject(failure),
      () => {
        throw failure
      },
    ]) {
      assert.equal(await rejection(new SimpleToken().race([forever, work])), failure)
    }
  })

  it('and the later ones do not matter, whether they win or fail', async () => {
    const [first, second] = [deferred<string>(), deferred<string>()]
    const racing = new SimpleToken().race([first.promise, second.promise])
    second.resolve('second')
    assert.equal(await racing, 'second')
    first.reject(new Error('late'))
    await turn()
  })

  it('as the work does, also after a long time', async () => {
    using clock = manualClock()
    const racing = new SimpleToken().race(async (token) => {
      await token.sleep(1_000)
      return 'done'
    })
    await clock.advance(999)
    assert.equal(await stateOf(racing), 'pending')
    await clock.advance(1)
    assert.equal(await racing, 'done')
  })
})

describe('9. race rejects when the token is cancelled', () => {
  it('with the token’s error, wherever that comes from', async () => {
    const source = new SimpleToken()
    for (const token of [new SimpleToken(source), source.plus(new SimpleToken()), source]) {
      const outcome = rejection(token.race([forever(), forever]))
      assert.equal(await stateOf(outcome), 'pending')
      if (token === source) source.cancel('source')
      else token.cancel('itself')
      assert.equal(await outcome, token.error)
    }
  })

  it('by its deadline, its condition or a foreign signal', async () => {
    using clock = manualClock()
    const controller = new AbortController()
    let over = false
    const racing = [new TimeoutToken(20), new SimpleToken(new ConditionToken(() => over)), from(controller.signal)].map(
      (token) => rejection(token.race(forever)),
    )
    controller.abort()
    over = true
    await clock.advance(20)
    assert.deepEqual(
      (await Promise.all(racing)).map((error) => (error as CancellationError).kind),
      ['timeout', 'condition', 'signal'],
    )
  })

  for (const { name, make } of deadKinds) {
    it(`at once when it is over, without starting functions: ${name}`, async () => {
      const token = make()
      const work = () => assert.fail('started')
      const error = await rejection(token.race([work, async () => work(), forever()]))
      assert.equal(error, token.error)
      assert.ok(isCancellation(error, token))
    })
  }

  it('and does not start what comes after a function that cancels it', async () => {
    const token = new SimpleToken()
    const outcome = rejection(token.race([() => (token.cancel('first'), forever()), () => assert.fail('started')]))
    assert.equal(await outcome, token.error)
  })

  it('though a work was done in the same moment', async () => {
    const token = new SimpleToken()
    const outcome = rejection(
      token.race(async () => {
        token.cancel()
        return 'done'
      }),
    )
    assert.equal(await outcome, token.error)
  })

  it('at once when it is over, though a promise has been fulfilled', async () => {
    const token = new SimpleToken().cancel()
    assert.equal(await rejection(token.race([Promise.resolve('done')])), token.error)
  })
})

describe('9. race rejects with a TimeoutCancellationError when `timeout` passes', () => {
  it('and the token lives on', async () => {
    using clock = manualClock()
    for (const token of [new SimpleToken(), NEVER, new TimeoutToken(1_000)]) {
      const outcome = rejection(token.race(forever, { timeout: 50 }))
      await clock.advance(49)
      assert.equal(await stateOf(outcome), 'pending')
      await clock.advance(1)
      const error = await outcome
      assert.ok(error instanceof TimeoutCancellationError)
      assert.equal(isCancellation(error, token), false)
      assert.equal(token.cancelled, false)
    }
  })

  it('and the works that were started are called off by it', async () => {
    using clock = manualClock()
    let given: CancellationToken | undefined
    const outcome = rejection(
      new SimpleToken().race(
        (token) => {
          given = token
          return forever()
        },
        { timeout: 50 },
      ),
    )
    assert.equal(given?.remaining, 50)
    await clock.advance(50)
    const error = await outcome
    assert.equal(given?.cancelled, true)
    assert.equal((error as CancellationError).kind, 'timeout')
  })

  it('but not when somebody wins in time', async () => {
    using clock = manualClock()
    const racing = new SimpleToken().race((token) => token.sleep(20).then(() => 'won'), { timeout: 50 })
    await clock.advance(100)
    assert.equal(await racing, 'won')
    assert.equal(await new SimpleToken().race(async () => 'quick', { timeout: Infinity }), 'quick')
  })
})

describe('9. works given as functions get a token of their own', () => {
  it('that is cancelled with the token of the race', async () => {
    const source = new SimpleToken()
    const given: CancellationToken[] = []
    const outcome = rejection(
      new SimpleToken(source).race([1, 2].map(() => (token: CancellationToken) => (given.push(token), forever()))),
    )
    assert.equal(given.length, 2)
    assert.notEqual(given[0], given[1])
    source.cancel('above')
    for (const token of given) assert.equal(token.error, source.error)
    assert.equal(await outcome, source.error)
  })

  it('that is cancelled, kind race, as soon as the race is over: the losers really stop', async () => {
    const outer = new SimpleToken()
    const stopped: string[] = []
    let given: CancellationToken | undefined
    const result = await outer.race([
      async (token) => {
        given = token
        await token.sleep(1_000_000).catch((error: unknown) => stopped.push((error as CancellationError).kind))
        return 'slow'
      },
      async () => 'quick',
    ])
    assert.equal(result, 'quick')
    await turn()
    assert.deepEqual(stopped, ['race'])
    assert.equal(given?.error?.kind, 'race')
    assert.equal(given?.error?.token, given)
    assert.equal(outer.cancelled, false)
  })

  it('that the winner finds cancelled as well, once it has returned', async () => {
    let given: CancellationToken | undefined
    await new SimpleToken().race(async (token) => {
      given = token
      assert.equal(token.cancelled, false)
    })
    assert.equal(given?.cancelled, true)
    assert.equal(given?.error?.kind, 'race')
  })

  it('that ends also when the race is lost by a failure', async () => {
    let given: CancellationToken | undefined
    await rejection(
      new SimpleToken().race([(token) => (given = token).wait(), () => Promise.reject(new Error('broken'))]),
    )
    assert.equal(given?.error?.kind, 'race')
  })

  it('that can be cancelled without harm to the others', async () => {
    const outer = new SimpleToken()
    const racing = outer.race([
      (token) => {
        token.cancel('I give up')
        return forever()
      },
      (token) => (assert.equal(token.cancelled, false), Promise.resolve('the other')),
    ])
    assert.equal(await racing, 'the other')
    assert.equal(outer.cancelled, false)
  })
})

describe('9. a work that has failed by the time of the cancellation wins over it', () => {
  it('though nobody had heard of it yet', async () => {
    const failure = new Error('says more')
    const token = new SimpleToken()
    const outcome = rejection(token.race([Promise.reject(failure), forever()]))
    token.cancel()
    assert.equal(await outcome, failure)
  })

  it('as one that failed in its function does', async () => {
    const failure = new Error('says more')
    const token = new SimpleToken()
    const ready = deferred<void>()
    const outcome = rejection(
      token.race(async () => {
        ready.resolve()
        throw failure
      }),
    )
    await ready.promise
    token.cancel()
    assert.equal(await outcome, failure)
  })

  it('as one that fails because of it does not: the error stays the token’s', async () => {
    const token = new SimpleToken()
    const outcome = rejection(
      token.race(async (own) => {
        await own.wait()
        await turn()
        throw new Error('called off')
      }),
    )
    token.cancel()
    assert.equal(await outcome, token.error)
  })
})

describe('9. nothing is left behind', () => {
  it('late rejections of losers never become unhandled ones', async () => {
    const late = deferred<never>()
    const token = new SimpleToken()
    await token.race([late.promise, async () => 'won', () => turn().then(() => Promise.reject(new Error('too late')))])
    late.reject(new Error('later'))
    const dead = new SimpleToken().cancel()
    await rejection(
      dead.race([Promise.reject(new Error('unheard')), turn().then(() => Promise.reject(new Error('later')))]),
    )
    const outcome = rejection(token.race(turn().then(() => Promise.reject(new Error('later')))))
    token.cancel()
    await outcome
    await turn()
    await turn()
  })

  it('on a long-lived token: no listener, neither when it is won nor lost', async () => {
    const signal = new OtherSignal()
    const token = new SimpleToken(signal)
    for (let i = 0; i < 10; i++) {
      await token.race([async () => i, forever])
      await rejection(token.race(() => Promise.reject(new Error('lost'))))
      await rejection(token.race(forever, { timeout: 0 }))
      await token.race([Promise.resolve(i)])
    }
    assert.equal(signal.listeners.size, 0)
    assert.ok(signal.added > 0)
  })

  it('nor on one that waits and sleeps', async () => {
    const signal = new OtherSignal()
    const token = new SimpleToken(signal)
    await token.sleep(0)
    await rejection(token.wait({ timeout: 1 }))
    for await (const tick of token.every(1)) if (tick > 1) break
    for await (const item of token.iterate([1, 2])) assert.ok(item > 0)
    await token.checkpoint()
    assert.equal(signal.listeners.size, 0)
  })
})
