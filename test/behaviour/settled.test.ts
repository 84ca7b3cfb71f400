// oxlint-disable unicorn/no-thenable -- the thenables of these tests are meant to be some
/** token.settled(): a listener that returns a promise has reacted when that has settled. */
import { afterEach, describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { allOf, type CancellationToken, ConditionToken, CounterToken, NEVER, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, rejection, stateOf, turn, uncaught } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

const all = { cancelled: true, pending: [] }

const reactions: (() => void)[] = []
/** What a listener waits for. It ends with the test at the latest, because it holds the process. */
function reaction(): ReturnType<typeof deferred<void>> {
  const made = deferred<void>()
  reactions.push(made.resolve)
  return made
}
afterEach(() => {
  for (const resolve of reactions.splice(0)) resolve()
})

describe('settled', () => {
  for (const { name, make } of kinds) {
    it(`of ${name} resolves when it is cancelled and its listeners have reacted`, async () => {
      const token = make()
      const [first, second] = [reaction(), reaction()]
      token.onCancel(() => first.promise)
      new SimpleToken(new SimpleToken(token)).onCancel(() => second.promise)
      token.onCancel(() => 5)
      const settled = token.settled()
      assert.equal(await stateOf(settled), 'pending')
      token.cancel()
      assert.equal(await stateOf(settled), 'pending')
      first.resolve()
      assert.equal(await stateOf(settled), 'pending')
      second.resolve()
      assert.deepEqual(await settled, all)
      assert.deepEqual(await token.settled(), all)
    })
  }

  for (const { name, make } of deadKinds) {
    it(`of ${name} waits for a listener that is added late, and is called at once`, async () => {
      const token = make()
      assert.deepEqual(await token.settled(), all)
      const late = reaction()
      token.onCancel(() => late.promise)
      const settled = token.settled()
      assert.equal(await stateOf(settled), 'pending')
      late.resolve()
      assert.deepEqual(await settled, all)
    })
  }

  it('waits for a listener that is added while it waits', async () => {
    const token = new SimpleToken()
    const [first, second] = [reaction(), reaction()]
    token.onCancel(() => first.promise)
    token.cancel()
    const settled = token.settled()
    token.onCancel(() => second.promise)
    first.resolve()
    assert.equal(await stateOf(settled), 'pending')
    second.resolve()
    assert.deepEqual(await settled, all)
  })

  it('says who has not reacted when the time is over', async () => {
    using clock = manualClock()
    const token = new SimpleToken({ name: 'job' })
    const below = new SimpleToken(token)
    token.onCancel(async function quick() {})
    token.onCancel(function hang() {
      return new Promise(() => {})
    })
    below.onCancel(() => new Promise(() => {}))
    await clock.advance(10)
    token.cancel()
    await clock.advance(5)
    const settled = token.settled({ timeout: 20 })
    await clock.advance(19)
    assert.equal(await stateOf(settled), 'pending')
    await clock.advance(1)
    assert.deepEqual(await settled, {
      cancelled: true,
      pending: [
        { listener: 'hang', token: 'job', ms: 25 },
        { listener: 'λ', token: undefined, ms: 25 },
      ],
    })
    assert.equal((await below.settled({ timeout: 0 })).pending.length, 1)
  })

  it('says that the token is not cancelled when the time is over', async () => {
    using clock = manualClock()
    for (const token of [new SimpleToken(), new TimeoutToken(100), NEVER, allOf()]) {
      const settled = token.settled({ timeout: 20 })
      await clock.advance(20)
      assert.deepEqual(await settled, { cancelled: false, pending: [] })
      assert.equal(token.cancelled, false)
    }
  })

  it('counts the time from the call on, before and after the cancellation', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(15)
    token.onCancel(() => new Promise(() => {}))
    const settled = token.settled({ timeout: 20 })
    await clock.advance(20)
    assert.deepEqual((await settled).pending.length, 1)
  })

  it('waits for the listeners of the token and of those that derive from it, and not for those of its parents', async () => {
    const parent = new SimpleToken()
    const [token, sibling] = [new SimpleToken(parent), new SimpleToken(parent)]
    const both = allOf(token, sibling)
    const made = [parent, sibling, token, both].map((one) => {
      const mine = reaction()
      one.onCancel(() => mine.promise)
      return mine
    })
    parent.cancel()
    const settled = token.settled()
    made[2]?.resolve()
    assert.equal(await stateOf(settled), 'pending')
    made[3]?.resolve()
    assert.deepEqual(await settled, all)
    assert.equal((await parent.settled({ timeout: 1 })).pending.length, 2)
  })

  it('surfaces the failure of a listener as an uncaught error, and does not wait for it', async () => {
    const failure = new Error('broken')
    const token = new SimpleToken()
    token.onCancel(async () => {
      throw failure
    })
    token.onCancel(() => Promise.reject(failure))
    const errors = await uncaught(async () => {
      token.cancel()
      assert.deepEqual(await token.settled(), all)
    })
    assert.deepEqual(errors, [failure, failure])
  })

  it('surfaces the error of a then that throws, and takes thenables', async () => {
    const failure = new Error('broken')
    const token = new SimpleToken()
    token.onCancel(() => ({
      get then() {
        throw failure
      },
    }))
    let done: (() => void) | undefined
    token.onCancel(() => ({ then: (fulfilled: () => void) => (done = fulfilled) }))
    assert.deepEqual(await uncaught(() => token.cancel()), [failure])
    const settled = token.settled()
    assert.equal(await stateOf(settled), 'pending')
    done?.()
    assert.deepEqual(await settled, all)
  })

  it('waits for the clean-up function of a promise of callbacks', async () => {
    for (const early of [false, true]) {
      const token = new SimpleToken()
      const stopped = reaction()
      const promise = rejection(token.promise(() => (early && token.cancel(), () => stopped.promise)))
      token.cancel()
      assert.equal(await promise, token.error)
      const settled = token.settled()
      assert.equal(await stateOf(settled), 'pending')
      stopped.resolve()
      assert.deepEqual(await settled, all)
    }
  })

  it('polls conditions and counters as a wait does', async () => {
    using clock = manualClock()
    let over = false
    for (const options of [{}, { caching: false }]) {
      over = false
      const settled = new ConditionToken(() => over, options).settled()
      over = true
      await clock.advance(10)
      assert.deepEqual(await settled, all)
    }
    const settled = new SimpleToken(new CounterToken(3, { direct: false })).settled()
    await clock.advance(30)
    assert.deepEqual(await settled, all)
    const failure = new Error('broken')
    const fails = () => {
      throw failure
    }
    assert.equal(await rejection(new ConditionToken(fails, { suppressExceptions: false }).settled()), failure)
  })

  it('can be awaited by a listener of the same token', async () => {
    const token = new SimpleToken()
    let report: unknown
    token.onCancel(() => void token.settled().then((it) => (report = it)))
    token.onCancel(() => turn())
    token.cancel()
    assert.deepEqual(await token.settled(), all)
    assert.deepEqual(report, all)
  })

  it('refuses bad options', async () => {
    const token: CancellationToken = new SimpleToken()
    assert.ok((await rejection(token.settled({ timeout: -1 }))) instanceof RangeError)
    assert.ok((await rejection(token.settled({ timeout: '5s' as never }))) instanceof TypeError)
    assert.ok((await rejection(token.settled({ time: 5 } as never))) instanceof TypeError)
  })
})
