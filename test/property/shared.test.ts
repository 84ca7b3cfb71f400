/**
 * Whatever lies above a shared token, and whatever becomes of it: the side that has opened it says the same as the side that
 * has made it, whichever of the two looks first.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allOf, type CancellationToken, SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { manualClock } from 'calloff/testing'
import { runs } from './runs.js'

/** How the tokens are made, each of those before it. */
type Made =
  | { readonly is: 'simple' }
  | { readonly is: 'timeout'; readonly ms: number; readonly of: number; readonly reason: unknown }
  | { readonly is: 'grace'; readonly ms: number; readonly of: number }
  | { readonly is: 'sum'; readonly of: number; readonly and: number }
  | { readonly is: 'all'; readonly of: number; readonly and: number }

type Step =
  | { readonly is: 'tick'; readonly ms: number }
  | { readonly is: 'cancel'; readonly which: number; readonly reason: unknown }
  | { readonly is: 'restart' | 'restart for' | 'extend' | 'disarm'; readonly which: number; readonly ms: number }
  | { readonly is: 'look'; readonly first: 'made' | 'opened' | 'handed on' }

const which = fc.nat(20)
const ms = fc.integer({ min: 0, max: 60 })
const reason = fc.constantFrom(
  undefined,
  'why',
  new RangeError('too many'),
  'x'.repeat(300),
  { message: 'm', at: 1n },
  () => 5,
)
const made: fc.Arbitrary<Made> = fc.oneof(
  fc.record({ is: fc.constant('simple' as const) }),
  fc.record({ is: fc.constant('timeout' as const), ms, of: which, reason: fc.constantFrom(undefined, 'slow') }),
  fc.record({ is: fc.constant('grace' as const), ms, of: which }),
  fc.record({ is: fc.constant('sum' as const), of: which, and: which }),
  fc.record({ is: fc.constant('all' as const), of: which, and: which }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ is: fc.constant('tick' as const), ms: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ is: fc.constant('cancel' as const), which, reason }),
  fc.record({
    is: fc.constantFrom('restart' as const, 'restart for' as const, 'extend' as const, 'disarm' as const),
    which,
    ms,
  }),
  fc.record({
    is: fc.constant('look' as const),
    first: fc.constantFrom('made' as const, 'opened' as const, 'handed on' as const),
  }),
)

function build(all: readonly Made[]): CancellationToken[] {
  const tokens: CancellationToken[] = [new SimpleToken({ name: 'root' })]
  for (const [at, one] of all.entries()) {
    const pick = (index: number) => tokens[index % tokens.length] as CancellationToken
    const name = `token ${at}`
    if (one.is === 'simple') tokens.push(new SimpleToken({ name }))
    else if (one.is === 'timeout') tokens.push(new TimeoutToken(one.ms, { name, reason: one.reason }, pick(one.of)))
    else if (one.is === 'grace') tokens.push(pick(one.of).grace(one.ms))
    else if (one.is === 'sum') tokens.push(new SimpleToken({ name }, pick(one.of), pick(one.and)))
    else tokens.push(allOf(pick(one.of), pick(one.and)))
  }
  return tokens
}

/** Another side may not say how long a time was that was moved. */
const withoutLength = (token: CancellationToken) => token.error?.message.replace(/ after [\d.]+ ms/, '')

function move(token: TimeoutToken, { is, ms }: Extract<Step, { readonly which: number; readonly ms: number }>): void {
  if (is === 'restart') token.restart()
  else if (is === 'restart for') token.restart(ms)
  else if (is === 'extend') token.extend(ms)
  else token.disarm()
}

const there = (token: SharedToken) => SharedToken.from(structuredClone(token.handle))

test('both sides of a shared token say the same', () => {
  fc.assert(
    fc.property(fc.array(made, { minLength: 1, maxLength: 8 }), fc.array(step, { maxLength: 12 }), (all, steps) => {
      using clock = manualClock()
      const tokens = build(all)
      const source = tokens.at(-1) as CancellationToken
      const mine = share(source)
      const opened = there(mine)
      const between = share(opened)
      const last = there(between)
      const sides = { made: mine, opened, 'handed on': last }
      const compare = (first: keyof typeof sides) => {
        // Whoever hands a token on has to have heard himself.
        void (first === 'handed on' && opened.remaining)
        const isOver = sides[first].cancelled
        for (const [name, side] of Object.entries(sides)) {
          assert.equal(side.cancelled, isOver, `${name} is over`)
          assert.equal(side.remaining, mine.remaining, `what is left of ${name}`)
          assert.equal(side.kind, mine.kind, `the kind of ${name}`)
          assert.equal(side.cancelledBy?.name, mine.cancelledBy?.name, `by whom ${name} was ended`)
          if (typeof mine.reason !== 'string' || mine.reason.length < 100)
            assert.equal(withoutLength(side), withoutLength(mine), `the message of ${name}`)
        }
        assert.equal(isOver, source.cancelled)
        assert.equal(mine.error, source.error)
        assert.equal(between.error, opened.error)
      }
      for (const one of steps) {
        const token = 'which' in one ? tokens[one.which % tokens.length] : undefined
        if (one.is === 'tick') clock.tick(one.ms)
        else if (one.is === 'look') compare(one.first)
        else if (one.is === 'cancel') token?.cancel(one.reason)
        else if (token instanceof TimeoutToken) move(token, one)
      }
      clock.tick(1_000)
      compare('handed on')
    }),
    runs(300),
  )
})
