/**
 * Sharing is not to be seen in what counters say: polls that are spread over all sides of a shared token have the same answers,
 * and leave the same counters, as the same polls of a token that is not shared.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CancellationToken, CounterToken, SimpleToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { runs } from './runs.js'

/** How the tokens are made, each of those before it. */
type Made =
  | { readonly is: 'simple' }
  | { readonly is: 'counter'; readonly polls: number; readonly direct: boolean; readonly of: number }
  | { readonly is: 'sum'; readonly of: number; readonly and: number }

const ways = {
  cancelled: (token: CancellationToken) => token.cancelled,
  keepOn: (token: CancellationToken) => !token.keepOn(),
  check(token: CancellationToken) {
    try {
      token.check()
      return false
    } catch (error) {
      assert.equal(error, token.error)
      return true
    }
  },
  indirectly: (token: CancellationToken) => token.isCancelled({ direct: false }),
  'through another': (token: CancellationToken) => token.plus(new SimpleToken()).cancelled,
  'through a diamond': (token: CancellationToken) => token.plus(new SimpleToken(token)).cancelled,
  look: (token: CancellationToken) => token.error !== undefined,
}

type Side = 'source' | 'made' | 'opened' | 'opened again' | 'handed on'

type Step =
  | { readonly is: 'poll'; readonly side: Side; readonly way: keyof typeof ways }
  | { readonly is: 'cancel' | 'poll one'; readonly which: number }

const which = fc.nat(20)
const made: fc.Arbitrary<Made> = fc.oneof(
  fc.record({ is: fc.constant('simple' as const) }),
  fc.record({ is: fc.constant('counter' as const), polls: fc.nat(6), direct: fc.boolean(), of: which }),
  fc.record({ is: fc.constant('sum' as const), of: which, and: which }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      is: fc.constant('poll' as const),
      side: fc.constantFrom<Side[]>('source', 'made', 'opened', 'opened again', 'handed on'),
      way: fc.constantFrom(...(Object.keys(ways) as (keyof typeof ways)[])),
    }),
  },
  { weight: 1, arbitrary: fc.record({ is: fc.constantFrom('cancel' as const, 'poll one' as const), which }) },
)

function build(all: readonly Made[]): CancellationToken[] {
  const tokens: CancellationToken[] = [new SimpleToken({ name: 'root' })]
  for (const [at, one] of all.entries()) {
    const pick = (index: number) => tokens[index % tokens.length] as CancellationToken
    const name = `token ${at}`
    if (one.is === 'simple') tokens.push(new SimpleToken({ name }))
    else if (one.is === 'counter') tokens.push(new CounterToken(one.polls, { direct: one.direct, name }, pick(one.of)))
    else tokens.push(new SimpleToken({ name }, pick(one.of), pick(one.and)))
  }
  // Both worlds hear of a cancel as soon as it happens.
  tokens.at(-1)?.onCancel(() => {})
  return tokens
}

const there = (token: SharedToken) => SharedToken.from(structuredClone(token.handle))

function compare(all: readonly Made[], steps: readonly Step[]): void {
  const tokens = build(all)
  const twins = build(all)
  const source = tokens.at(-1) as CancellationToken
  const twin = twins.at(-1) as CancellationToken
  const mine = share(source)
  const opened = there(mine)
  const between = share(opened)
  const sides = { source, made: mine, opened, 'opened again': there(mine), 'handed on': there(between) }
  const left = (all: readonly CancellationToken[]) =>
    all.flatMap((token) => (token instanceof CounterToken ? token.counter : []))
  for (const one of steps) {
    // Listeners of another thread are called when its event loop turns: here, whoever hands a token on looks by himself.
    void [mine.error, opened.error, between.error]
    if (one.is === 'poll') {
      const { side, way } = one
      assert.equal(ways[way](sides[side]), ways[way](twin), `${side}: ${way}`)
    } else {
      const index = one.which % tokens.length
      if (one.is === 'cancel') for (const at of [tokens, twins]) at[index]?.cancel()
      else assert.equal(tokens[index]?.cancelled, twins[index]?.cancelled, `token ${index}`)
    }
    assert.deepEqual(left(tokens), left(twins))
    void [mine.error, opened.error, between.error]
    for (const [name, side] of Object.entries(sides)) {
      assert.equal(side.kind, twin.kind, `the kind of ${name}`)
      assert.equal(side.error?.message, twin.error?.message, `the message of ${name}`)
      assert.equal(side.cancelledBy?.name, twin.cancelledBy?.name, `by whom ${name} was ended`)
    }
    assert.equal(mine.error, source.error)
    assert.equal(between.error, opened.error)
  }
}

test('polls count the same, on whatever side of a shared token', () => {
  fc.assert(
    fc.property(fc.array(made, { minLength: 1, maxLength: 6 }), fc.array(step, { maxLength: 25 }), compare),
    runs(500),
  )
})
