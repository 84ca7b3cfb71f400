import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import * as calloff from 'calloff'
import { SharedToken, startTicker } from 'calloff/threads'
import { rejection, thrown } from './helpers.js'

// As plain JavaScript would call it: nothing is checked by the compiler.
type Loose = (options: object) => unknown
const { ConditionToken, CounterToken, fromHeaders, openScope, scope, SimpleToken, TimeoutToken } = calloff

interface Row {
  readonly call: string
  readonly with: Loose
  /** All its options. */
  readonly names: readonly string[]
}

const forToken = ['name', 'cancelled']
const token = new SimpleToken({ cancelled: true })

/** Every function of the universal entry points that takes options. */
const rows: readonly Row[] = [
  { call: 'new SimpleToken', with: (options) => new SimpleToken(options), names: forToken },
  { call: 'new TimeoutToken', with: (options) => new TimeoutToken(5, options), names: forToken },
  { call: 'TimeoutToken.until', with: (options) => TimeoutToken.until(5, options), names: forToken },
  {
    call: 'new ConditionToken',
    with: (options) => new ConditionToken(() => true, options),
    names: [...forToken, 'suppressExceptions', 'default', 'before', 'after', 'caching', 'pollEvery'],
  },
  { call: 'new CounterToken', with: (options) => new CounterToken(5, options), names: [...forToken, 'direct'] },
  { call: 'new SharedToken', with: (options) => new SharedToken(options), names: forToken },
  {
    call: 'SharedToken.at',
    with: (options) => SharedToken.at(new SharedArrayBuffer(1024), 0, options),
    names: forToken,
  },
  { call: 'isCancelled', with: (options) => token.isCancelled(options), names: ['direct'] },
  { call: 'timeoutFor', with: (options) => token.timeoutFor(options), names: ['max'] },
  { call: 'wait', with: (options) => token.wait(options), names: ['timeout', 'step'] },
  { call: 'waitSync', with: (options) => token.waitSync(options), names: ['timeout', 'step'] },
  { call: 'settled', with: (options) => token.settled(options), names: ['timeout'] },
  { call: 'untilCancelled', with: (options) => token.untilCancelled(() => 5, options), names: ['grace'] },
  { call: 'race', with: (options) => token.race([() => 5], options), names: ['timeout', 'ambient'] },
  {
    call: 'retry',
    with: (options) => token.retry(() => 5, options),
    names: ['attempts', 'delay', 'factor', 'maxDelay', 'jitter', 'minAttemptTime', 'when'],
  },
  {
    call: 'scope',
    with: (options) => scope(() => 5, options),
    names: ['name', 'concurrency', 'stuckAfter', 'onStuck', 'trace', 'ambient'],
  },
  {
    call: 'openScope',
    with: (options) => openScope(token, options),
    names: ['name', 'concurrency', 'stuckAfter', 'onStuck', 'trace', 'ambient', 'onLeave'],
  },
  { call: 'latest', with: (options) => calloff.latest(() => 5, options), names: ['key', 'wait', 'token'] },
  { call: 's.run', with: (options) => scope((s) => s.run(() => 5, options)), names: ['name', 'token', 'survive'] },
  { call: 's.start', with: (options) => scope((s) => s.start(() => 5, options)), names: ['name', 'token'] },
  {
    call: 's.map',
    with: (options) => scope((s) => s.map([5], () => 5, options)),
    names: ['name', 'concurrency', 'token'],
  },
  {
    call: 's.stream',
    with: (options) => scope((s) => s.stream([5], () => 5, { concurrency: 1, ...options })),
    names: ['name', 'token', 'ordered'],
  },
  { call: 's.any', with: (options) => scope((s) => s.any([() => 5], options)), names: ['hedge'] },
  { call: 's.race', with: (options) => scope((s) => s.race([() => 5], options)), names: ['hedge'] },
  { call: 'fromHeaders', with: (options) => fromHeaders([], options), names: ['name', 'max', 'default', 'invalid'] },
  { call: 'startTicker', with: (options) => startTicker(options), names: ['resolution'] },
]

/** What a call fails with, thrown or rejected; undefined if it does not fail. */
async function failure(call: () => unknown): Promise<unknown> {
  let result: unknown
  try {
    result = call()
  } catch (error) {
    return error
  }
  if (result instanceof Promise) return rejection(result).catch(() => undefined)
  const stop = (result as { stop?: unknown } | undefined)?.stop
  if (typeof stop === 'function') stop.call(result)
  return undefined
}

describe('23. an option that does not exist', () => {
  for (const { call, with: withOptions, names } of rows) {
    it(`${call} says so, and which one was meant`, async () => {
      for (const name of names) {
        const mistyped = `${name.slice(0, -1)}${name.at(-2)}${name.at(-1)}`
        for (const value of [5, 'kek', true, null]) {
          const error = await failure(() => withOptions({ [mistyped]: value }))
          assert.ok(error instanceof TypeError, `${call} has taken ${mistyped}`)
          assert.equal(error.message, `there is no option "${mistyped}", did you mean "${name}"?`)
        }
      }
      const error = await failure(() => withOptions({ zzz: 5 }))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /^there is no option "zzz", only /)
      for (const name of names) assert.ok(error.message.includes(`"${name}"`), error.message)
    })

    it(`${call} takes all of its own`, async () => {
      for (const name of names) {
        const error = await failure(() => withOptions({ [name]: undefined }))
        assert.ok(!(error instanceof TypeError), String(error))
      }
    })
  }

  it('counts as absent while it is undefined', async () => {
    assert.equal(await token.wait({ timout: undefined } as object), token.error)
  })

  it('is seen among those that an object inherits; one that the platform has put into every object is not', async () => {
    const inherited = Object.assign(Object.create(Object.assign(Object.create(null), { timout: 5 })) as object)
    assert.match(String(await rejection(token.wait(inherited))), /there is no option "timout", did you mean "timeout"/)
    assert.equal(await token.wait(Object.create(null) as object), token.error)
    assert.equal(await token.wait({ [Symbol('a mark of some tool')]: 5 }), token.error)
    // oxlint-disable-next-line no-extend-native -- what some old libraries do
    Object.defineProperty(Object.prototype, 'kek', { value: 5, enumerable: true, configurable: true })
    try {
      assert.equal(await token.wait({}), token.error)
    } finally {
      delete (Object.prototype as { kek?: unknown }).kek
    }
  })

  it('may not be an instance of a class, which may have any', () => {
    class Options {
      timeout = 5
    }
    assert.match(String(thrown(() => token.waitSync(new Options()))), /TypeError: options must be a plain object/)
  })
})
