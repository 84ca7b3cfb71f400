import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, type CancellationToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import fc from 'fast-check'
import { runs } from './runs.js'

// Names with everything that is special in a JavaScript string.
const name = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', "it's", '"', '\\', '\n', '\u2028', '${x}', '`', "\\'", '\ud800'),
)
const options = fc.record({ name, cancelled: fc.constant(true) }, { requiredKeys: [] })
const ms = fc.oneof(fc.nat(), fc.double({ min: 0, noNaN: true }), fc.constantFrom(0, -0, Infinity, 1e21, 5e-324))

const { token } = fc.letrec<{ token: CancellationToken; nested: CancellationToken[] }>((tie) => ({
  nested: fc.array(tie('token'), { maxLength: 2 }),
  token: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    options.map((given) => new SimpleToken(given)),
    fc.tuple(options, tie('nested')).map(([given, nested]) => new SimpleToken(given, ...nested)),
    fc.tuple(ms, options, tie('nested')).map(([span, given, nested]) => new TimeoutToken(span, given, ...nested)),
    fc
      .tuple(fc.nat(), fc.option(fc.boolean(), { nil: undefined }), options, tie('nested'))
      .map(([n, direct, given, nested]) => new CounterToken(n, { ...given, direct }, ...nested)),
    tie('nested').map((nested) => allOf(...nested)),
    fc.tuple(tie('token'), ms).map(([source, span]) => source.grace(span)),
    tie('nested').map((nested) => nested.reduce((sum, one) => sum.plus(one), new SimpleToken())),
  ),
}))

/** The text leaves out `new`, so these are functions. */
const scope = {
  SimpleToken: (...given: ConstructorParameters<typeof SimpleToken>) => new SimpleToken(...given),
  TimeoutToken: (...given: ConstructorParameters<typeof TimeoutToken>) => new TimeoutToken(...given),
  CounterToken: (...given: ConstructorParameters<typeof CounterToken>) => new CounterToken(...given),
  allOf,
}

function evaluate(text: string): CancellationToken {
  // oxlint-disable-next-line typescript/no-implied-eval -- that it can be evaluated is what is tested
  const make = new Function(...Object.keys(scope), `'use strict'; return ${text}`) as (
    ...given: unknown[]
  ) => CancellationToken
  return make(...Object.values(scope))
}

test('the text of a token, evaluated, makes a token of the same text', () => {
  using clock = manualClock()
  fc.assert(
    fc.property(token, fc.boolean(), (one, byHand) => {
      // What was cancelled by hand says so; an all-of and a grace have no options to say it in.
      if (byHand && !/^allOf|\.grace\([^()]*\)$/.test(String(one))) one.cancel('enough')
      const text = String(one)
      assert.equal(String(evaluate(text)), text)
      clock.tick(1)
      assert.equal(one.remaining >= 0, true)
      assert.equal(String(one), text, 'neither a look nor the time changes it')
    }),
    runs(1_000),
  )
})

test('the text is one line, however a token is called', () => {
  fc.assert(
    fc.property(name, (given) => {
      assert.doesNotMatch(String(new SimpleToken({ name: given })), /[\n\r]/)
    }),
    runs(300),
  )
})
