/** Tokens in assertions of node:assert, equal and unequal. What is asserted is that it ends, and what it says; the runner has the time limit. */
import { describe, it } from 'node:test'
import assert from 'node:assert'
import {
  allOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  openScope,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { share, SharedToken } from 'calloff/threads'

const nothing = () => {}

function listenedTo(times: number): SimpleToken {
  const token = new SimpleToken({ name: 'busy' })
  for (let i = 0; i < times; i++) token.onCancel(nothing)
  return token
}

function chain(length: number): CancellationToken {
  let token = new SimpleToken()
  for (let i = 0; i < length; i++) token = new SimpleToken(token)
  return token
}

function used(): CancellationToken {
  const token = new SimpleToken(new SimpleToken(), new TimeoutToken(1_000_000))
  token.onCancel(nothing)
  assert.equal(token.signal.aborted, false)
  return token
}

const makes: Readonly<Record<string, () => object>> = {
  'a SimpleToken': () => new SimpleToken(),
  'a TimeoutToken': () => new TimeoutToken(1_000_000),
  'a ConditionToken': () => new ConditionToken(() => false),
  'a CounterToken': () => new CounterToken(5),
  'a SharedToken': () => new SharedToken(),
  'a token that is shared': () => share(new SimpleToken()),
  'a cancelled token': () => new SimpleToken().cancel('why'),
  'an all-of': () => allOf(new SimpleToken(), new TimeoutToken(1_000_000)),
  'a grace': () => new SimpleToken().grace(5),
  'a foreign signal': () => from(new AbortController().signal),
  'a token with listeners and a signal': used,
  'a token with 1,000 parents': () => new SimpleToken(...Array.from({ length: 1_000 }, () => new SimpleToken())),
  'a token 1,000 levels down': () => chain(1_000),
  'a token with 100,000 listeners': () => listenedTo(100_000),
  'a child of such a token': () => new SimpleToken(listenedTo(100_000)),
  'a registration among 100,000': () => listenedTo(100_000).onCancel(nothing),
}

describe('24. in assertions of node:assert', () => {
  for (const [name, make] of Object.entries(makes)) {
    it(`${name} is equal to itself alone`, () => {
      const [one, other] = [make(), make()]
      for (const equal of [assert.deepEqual, assert.deepStrictEqual] as ((one: unknown, other: unknown) => void)[]) {
        equal(one, one)
        equal({ calls: [['id', one]] }, { calls: [['id', one]] })
        for (const wrong of [other, {}, undefined, 'a token']) {
          assert.throws(() => equal(one, wrong), assert.AssertionError)
          assert.throws(() => equal({ calls: [['id', one]] }, { calls: [['id', wrong]] }), assert.AssertionError)
        }
      }
      assert.notDeepStrictEqual(one, other)
      assert.throws(() => assert.strictEqual(one, other), assert.AssertionError)
      assert.throws(() => assert.notDeepStrictEqual(one, one), assert.AssertionError)
    })
  }

  it('what is shown names the tokens, and nothing that is in them', () => {
    const { message } = failure(() => assert.deepStrictEqual({ token: used() }, { token: used() }))
    assert.match(message, /SimpleToken#\d+/)
    assert.doesNotMatch(message, /sources|listeners|TimeoutToken/)
  })

  it('an error, which names its token, and a scope', async () => {
    const token = new SimpleToken(listenedTo(1_000)).cancel('why')
    const other = new SimpleToken(listenedTo(1_000)).cancel('why not')
    assert.deepStrictEqual({ error: token.error }, { error: token.error })
    assert.throws(() => assert.deepStrictEqual({ error: token.error }, { error: other.error }), assert.AssertionError)
    await using one = openScope(new SimpleToken(listenedTo(1_000)))
    assert.deepStrictEqual({ one }, { one })
    assert.throws(() => assert.deepStrictEqual({ one }, { one: 5 }), assert.AssertionError)
  })

  it('and as JSON', () => {
    assert.equal(JSON.stringify({ token: used() }), '{"token":"SimpleToken(SimpleToken(), TimeoutToken(1000000))"}')
    assert.equal(JSON.stringify(listenedTo(1_000).onCancel(nothing)), '"Registration"')
  })
})

function failure(call: () => void): Error {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  throw new Error('it has not failed')
}
