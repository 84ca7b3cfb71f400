import { describe, expect, it, vi } from 'vitest'
import { allOf, ConditionToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { SharedToken } from 'calloff/threads'

const nothing = () => {}

function listenedTo(times: number): SimpleToken {
  const token = new SimpleToken({ name: 'busy' })
  for (let i = 0; i < times; i++) token.onCancel(nothing)
  return token
}

function used(): SimpleToken {
  const token = new SimpleToken(new SimpleToken(), new TimeoutToken(1_000_000))
  token.onCancel(nothing)
  expect(token.signal.aborted).toBe(false)
  return token
}

const makes: Readonly<Record<string, () => object>> = {
  'a SimpleToken': () => new SimpleToken(),
  'a TimeoutToken': () => new TimeoutToken(1_000_000),
  'a ConditionToken': () => new ConditionToken(() => false),
  'a CounterToken': () => new CounterToken(5),
  'a SharedToken': () => new SharedToken(),
  'a cancelled token': () => new SimpleToken().cancel('why'),
  'an all-of': () => allOf(new SimpleToken(), new TimeoutToken(1_000_000)),
  'a token with listeners and a signal': used,
  'a token with 1,000 parents': () => new SimpleToken(...Array.from({ length: 1_000 }, () => new SimpleToken())),
  'a token with 100,000 listeners': () => listenedTo(100_000),
  'a registration among 100,000': () => listenedTo(100_000).onCancel(nothing),
}

/** A failing assertion gives its message; anything else that is thrown fails the test. */
function failure(call: () => void): string {
  try {
    call()
  } catch (error) {
    if ((error as Error).name === 'AssertionError') return (error as Error).message
    throw error
  }
  throw new Error('the assertion has not failed')
}

describe('24. in assertions of vitest', () => {
  for (const [name, make] of Object.entries(makes)) {
    it(`${name} is equal to itself alone`, () => {
      const [one, other] = [make(), make()]
      const spy = vi.fn()
      spy('id', one)
      expect(spy).toHaveBeenCalledWith('id', one)
      expect({ a: [one] }).toEqual({ a: [one] })
      expect({ a: [one] }).toStrictEqual({ a: [one] })
      expect([one]).toContainEqual(one)
      expect(one).not.toEqual(other)
      expect({ a: one }).not.toEqual({ a: other })
      for (const fail of [
        () => expect(spy).toHaveBeenCalledWith('id', other),
        () => expect(one).toBe(other),
        () => expect(one).toEqual(other),
        () => expect({ a: [one] }).toStrictEqual({ a: [other] }),
        () => expect({ a: [one] }).toEqual({ a: 5 }),
        () => expect([one]).toContainEqual(other),
      ]) {
        failure(fail)
      }
    })
  }

  it('what is shown is the text of the token', () => {
    expect(failure(() => expect(used()).toEqual(5))).toMatch(/SimpleToken/)
  })
})
