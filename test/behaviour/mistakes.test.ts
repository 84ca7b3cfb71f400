/** What people do by mistake is said at once, rather than done without effect. */
// oxlint-disable unicorn/no-thenable -- what a condition may give by mistake
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { allOf, anyOf, ConditionToken, CounterToken, from, SimpleToken, TimeoutToken } from 'calloff'
import { SharedToken } from 'calloff/threads'
import { rejection, thrown } from './helpers.js'

const loose = (value: unknown) => value as never
const isAsync = { name: 'TypeError', message: /^fn must not be async/ }

describe('23. an async condition', () => {
  const strictness = [undefined, { suppressExceptions: true }, { suppressExceptions: false }, { default: true }]

  it('is refused where it can be told', () => {
    for (const options of strictness) {
      assert.throws(
        () =>
          new ConditionToken(
            loose(async () => true),
            options,
          ),
        isAsync,
      )
      assert.throws(
        () =>
          new ConditionToken(
            loose(async () => true),
            new SimpleToken(),
          ),
        isAsync,
      )
    }
  })

  it('is refused by each poll that gets a promise, whatever is suppressed', async () => {
    const promises: readonly (() => unknown)[] = [
      () => Promise.resolve(true),
      () => Promise.reject(new Error('nobody hears of this')),
      () => ({ then: (done: (value: boolean) => void) => done(true) }),
      () => ({
        then() {
          throw new Error('nobody hears of this')
        },
      }),
    ]
    for (const promise of promises) {
      for (const options of strictness) {
        let calls = 0
        const condition = () => {
          calls++
          return promise() as boolean
        }
        const token = options ? new ConditionToken(condition, options) : new ConditionToken(condition)
        assert.throws(() => token.cancelled, isAsync)
        assert.throws(() => token.check(), isAsync)
        assert.throws(() => new SimpleToken(token).keepOn(), isAsync)
        assert.throws(() => token.waitSync(), isAsync)
        assert.match(String(await rejection(token.wait())), /fn must not be async/)
        assert.equal(calls, 5)
        assert.equal(token.error, undefined)
        token.cancel('enough')
        assert.equal(token.reason, 'enough')
      }
    }
  })

  it('is no condition that gives something with a getter that throws', () => {
    const answer = Object.defineProperty({}, 'then', {
      get() {
        throw new Error('kek')
      },
    })
    assert.equal(new ConditionToken(() => loose(answer)).cancelled, false)
  })
})

describe('23. an array of tokens', () => {
  const tokens = loose([new SimpleToken(), new SimpleToken()])
  const calls: Readonly<Record<string, () => unknown>> = {
    anyOf: () => anyOf(tokens),
    allOf: () => allOf(tokens),
    plus: () => new SimpleToken().plus(tokens),
    'new SimpleToken': () => new SimpleToken(tokens),
    'new SimpleToken, second': () => new SimpleToken(new SimpleToken(), tokens),
    'new TimeoutToken': () => new TimeoutToken(5, tokens),
    'TimeoutToken.until': () => TimeoutToken.until(5, tokens),
    'new ConditionToken': () => new ConditionToken(() => true, tokens),
    'new CounterToken': () => new CounterToken(5, {}, tokens),
    'new SharedToken': () => new SharedToken(tokens),
  }
  for (const [name, call] of Object.entries(calls)) {
    it(`${name} says that it is to be spread`, () => {
      assert.throws(call, { name: 'TypeError', message: /: spread an array, as in anyOf\(\.\.\.tokens\)$/ })
    })
  }
})

describe('23. other mistakes', () => {
  const token = new SimpleToken()
  const calls: Readonly<Record<string, () => unknown>> = {
    'from(signal.aborted)': () => from(loose(new AbortController().signal.aborted)),
    'new TimeoutToken("5s")': () => new TimeoutToken(loose('5s')),
    'new TimeoutToken({ ms })': () => new TimeoutToken(loose({ ms: 5 })),
    'new SimpleToken("name")': () => new SimpleToken(loose('name')),
    'onCancel()': () => token.onCancel(loose(undefined)),
    'onCancel(promise)': () => token.onCancel(loose(Promise.resolve())),
    'cancelled()': () => (token.cancelled as unknown as () => void)(),
    'isCancelled("direct")': () => token.isCancelled(loose('direct')),
    'every("5s")': () => token.every(loose('5s')),
    'timeoutFor(5)': () => token.timeoutFor(loose(5)),
    'timeoutFor({ max: "5s" })': () => token.timeoutFor({ max: loose('5s') }),
    'timeoutFor({ maximum: 5 })': () => token.timeoutFor(loose({ maximum: 5 })),
  }
  for (const [name, call] of Object.entries(calls)) {
    it(`${name} is a TypeError`, () => assert.ok(thrown(call) instanceof TypeError))
  }

  it('of calls that give promises are rejections', async () => {
    for (const call of [() => token.wait(loose(5)), () => token.sleep(loose('5s')), () => token.race(loose(5))]) {
      assert.ok((await rejection(call())) instanceof TypeError)
    }
  })
})
