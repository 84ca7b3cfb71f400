import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  anyOf,
  CANCELLED,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  DefaultToken,
  from,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { drawn } from './helpers.js'

function isFull(): boolean {
  return false
}

const rows: readonly (readonly [string, () => CancellationToken])[] = [
  ['SimpleToken()', () => new SimpleToken()],
  ["SimpleToken({ name: 'demo' })", () => new SimpleToken({ name: 'demo' })],
  ['SimpleToken({ cancelled: true })', () => new SimpleToken({ cancelled: true })],
  ['SimpleToken()', () => new SimpleToken({ cancelled: false })],
  ['SimpleToken({ cancelled: true })', () => new SimpleToken().cancel('why')],
  ["SimpleToken({ name: 'demo', cancelled: true })", () => new SimpleToken({ name: 'demo' }).cancel()],
  [
    "SimpleToken({ name: 'demo', cancelled: true }, SimpleToken())",
    () => new SimpleToken({ name: 'demo', cancelled: true }, new SimpleToken()),
  ],
  ['SimpleToken({ cancelled: true })', () => CANCELLED],
  ['SimpleToken(SimpleToken({ cancelled: true }))', () => new SimpleToken(new SimpleToken().cancel())],
  [
    'SimpleToken({ cancelled: true }, SimpleToken({ cancelled: true }))',
    () => new SimpleToken({ cancelled: true }, new SimpleToken().cancel()),
  ],
  ['SimpleToken(SimpleToken(), SimpleToken())', () => new SimpleToken().plus(new SimpleToken())],
  ['SimpleToken(SimpleToken(), SimpleToken())', () => anyOf(new SimpleToken(), new SimpleToken())],
  [
    'SimpleToken(TimeoutToken(5000), ConditionToken(λ))',
    () => new TimeoutToken(5000).plus(new ConditionToken(() => false)),
  ],
  ['TimeoutToken(1)', () => new TimeoutToken(1)],
  ['TimeoutToken(0)', () => new TimeoutToken(0)],
  ['TimeoutToken(0.5)', () => new TimeoutToken(0.5)],
  ['TimeoutToken(Infinity)', () => new TimeoutToken(Infinity)],
  ["TimeoutToken(5, { name: 'x' }, SimpleToken())", () => new TimeoutToken(5, { name: 'x' }, new SimpleToken())],
  ['TimeoutToken(5000, { cancelled: true })', () => new TimeoutToken(5_000).cancel()],
  ['CounterToken(0)', () => new CounterToken(0)],
  ['CounterToken(10000)', () => new CounterToken(10_000, { direct: true })],
  ['CounterToken(3, { direct: false })', () => new CounterToken(3, { direct: false })],
  [
    "CounterToken(3, { direct: false, name: 'tries' }, SimpleToken(), CounterToken(1))",
    () => new CounterToken(3, { direct: false, name: 'tries' }, new SimpleToken(), new CounterToken(1)),
  ],
  ['CounterToken(3, { direct: false, cancelled: true })', () => new CounterToken(3, { direct: false }).cancel()],
  ['ConditionToken(λ)', () => new ConditionToken(() => false)],
  ['ConditionToken(isFull)', () => new ConditionToken(isFull)],
  ['ConditionToken(isFull, ConditionToken(λ))', () => new ConditionToken(isFull, new ConditionToken(() => false))],
  [
    'ConditionToken(λ)',
    () => new ConditionToken(() => false, { suppressExceptions: true, default: false, caching: true }),
  ],
  [
    'ConditionToken(λ, { suppressExceptions: false })',
    () => new ConditionToken(() => false, { suppressExceptions: false }),
  ],
  ['ConditionToken(isFull, { default: true })', () => new ConditionToken(isFull, { default: true })],
  [
    'ConditionToken(isFull, { suppressExceptions: false, default: true, cancelled: true })',
    () => new ConditionToken(isFull, { suppressExceptions: false, default: true, cancelled: true }),
  ],
  ['ConditionToken(isFull, { caching: false })', () => new ConditionToken(isFull, { caching: false })],
  ['DefaultToken()', () => new DefaultToken()],
  ['DefaultToken()', () => NEVER],
  ['SimpleToken()', () => NEVER.plus(NEVER)],
]

describe('13. text reads as the call that makes the token', () => {
  for (const [text, make] of rows) {
    it(text, () => {
      const token = make()
      assert.equal(String(token), text)
      assert.equal(`${token}`, text)
      assert.equal(token.toString(), text)
    })
  }

  it('names the operands of allOf, the source of a grace and of a signal', () => {
    assert.equal(String(allOf(new SimpleToken(), new CounterToken(1))), 'allOf(SimpleToken(), CounterToken(1))')
    const grace = String(new SimpleToken({ name: 'job' }).grace(100))
    assert.match(grace, /SimpleToken\(\{ name: 'job' \}\)/)
    assert.match(grace, /grace\(100\)/)
    assert.match(String(from(new AbortController().signal)), /AbortSignal/)
  })

  it('does not say `cancelled` of what its own rule or a source has ended', () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const tokens = [
      new TimeoutToken(5),
      new CounterToken(0),
      new ConditionToken(() => true),
      new SimpleToken(source),
      new SimpleToken(AbortSignal.abort()),
    ]
    source.cancel()
    clock.tick(5)
    for (const token of tokens) {
      assert.equal(token.cancelled, true)
      assert.doesNotMatch(String(token).replace(String(source), ''), /cancelled/)
    }
  })

  it('shows names that need care as they would be written', () => {
    assert.equal(String(new SimpleToken({ name: "it's" })), "SimpleToken({ name: 'it\\'s' })")
    assert.equal(String(new SimpleToken({ name: 'two\nlines' })), "SimpleToken({ name: 'two\\nlines' })")
  })

  it('shows the class of a kind of the user', () => {
    class RequestToken extends SimpleToken {}
    assert.equal(String(new RequestToken({ name: 'GET /' })), "RequestToken({ name: 'GET /' })")
  })
})

describe('13. console.log draws the tree', () => {
  it('with every token on a line of its own, and what is left of deadlines and counters', () => {
    using clock = manualClock()
    const tries = new CounterToken(3, { direct: false, name: 'tries' })
    const token = new SimpleToken({ name: 'job' }, new TimeoutToken(5_000, new SimpleToken({ name: 'parent' })), tries)
    clock.tick(1_000)
    token.keepOn()
    const lines = drawn(token).split('\n')
    assert.equal(lines.length, 4)
    assert.match(lines[0] as string, /^SimpleToken\(\{ name: 'job' \}\)/)
    assert.match(lines[1] as string, /TimeoutToken\(5000\).*4000 ms/)
    assert.match(lines[2] as string, /SimpleToken\(\{ name: 'parent' \}\)/)
    assert.match(lines[3] as string, /CounterToken\(3, .*2 left/)
  })

  it('with the token that cancelled it', () => {
    const parent = new SimpleToken({ name: 'parent' })
    const token = new SimpleToken({ name: 'job' }, new SimpleToken({ name: 'other' }), new SimpleToken(parent))
    parent.cancel('user pressed stop')
    const lines = drawn(token).split('\n')
    assert.equal(lines.length, 4)
    assert.match(lines[0] as string, /user pressed stop/)
    assert.match(lines[1] as string, /other/)
    assert.doesNotMatch(lines[1] as string, /cancelled/)
    assert.match(lines[3] as string, /parent.*cancelled/)
  })

  it('within bounds, however large it is', () => {
    let deep = new SimpleToken()
    for (let i = 0; i < 10_000; i++) deep = new SimpleToken(deep)
    const wide = new SimpleToken(undefined, ...Array.from({ length: 1_000 }, () => new SimpleToken()))
    for (const token of [deep, wide]) assert.ok(drawn(token).split('\n').length <= 1_000)
  })
})
