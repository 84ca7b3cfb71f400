/** Polls are right however many cancellations there have been: the engine's counter is started where numbers change their form. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { anotherCopy, type Package } from '../two-copies/copy.js'

/** The package with its counter of cancellations started at a number. */
async function startedAt(count: number): Promise<Package> {
  const index = anotherCopy()
  const graph = new URL('core/graph.js', index)
  const text = readFileSync(graph, 'utf8')
  const started = text.replace(/export let epoch = 1\b/, `export let epoch = ${count}`)
  assert.notEqual(started, text, 'the counter should be where this test looks for it')
  writeFileSync(graph, started)
  return (await import(index)) as Package
}

const AROUND = 12

for (const [name, edge] of [
  ['2³⁰, where Chromium keeps numbers in another form', 2 ** 30],
  ['2³¹ - 1, the last of the whole numbers that fit in 32 bits', 2 ** 31 - 1],
  ['2³¹', 2 ** 31],
  ['2³²', 2 ** 32],
  ['2³³', 2 ** 33],
  ['2⁵², far beyond any use', 2 ** 52],
] as const) {
  describe(`around ${name} cancellations`, async () => {
    const { allOf, ConditionToken, CounterToken, SimpleToken, TimeoutToken } = await startedAt(edge - AROUND)

    /** A token of each form, and its parent, which is cancelled in the end. */
    const make = () => {
      const root = new SimpleToken()
      const line = new SimpleToken(new SimpleToken(root))
      return {
        root,
        live: new SimpleToken(),
        tokens: [
          line,
          new SimpleToken(line, new SimpleToken()),
          new TimeoutToken(3_600_000, root),
          new SimpleToken(new TimeoutToken(3_600_000, line)),
          new ConditionToken(() => false, line),
          new CounterToken(1_000_000, root),
          allOf(root, line),
          line.grace(0),
        ],
      }
    }

    test('every poll of every token is right, before and after', () => {
      const old = Array.from({ length: 4 }, make)
      const all = [...old]
      // Polled at each number and at some of them only, since what they remember is the number of the last poll.
      for (let i = 0; i < 3 * AROUND; i++) {
        all.push(make())
        for (const [at, { tokens, live, root }] of all.entries()) {
          if (i % ((at % 4) + 1) !== 0) continue
          for (const token of [live, root, ...tokens]) {
            assert.equal(token.cancelled, false, `cancellation ${i}, group ${at}, ${String(token)}`)
            assert.equal(token.keepOn(), true)
            token.check()
            assert.equal(token.error, undefined)
            assert.ok(token.remaining > 0)
          }
        }
        new SimpleToken().cancel()
      }
      for (const { tokens, root, live } of all) {
        root.cancel('why')
        for (const token of tokens) {
          assert.equal(token.cancelled, true, String(token))
          assert.equal(token.error, root.error)
        }
        assert.equal(live.cancelled, false)
      }
    })

    test('listeners and signals learn of it, in order', () => {
      for (let i = 0; i < AROUND; i++) {
        const { root, tokens } = make()
        const told: unknown[] = []
        for (const token of tokens) token.onCancel((error) => told.push(error))
        const { signal } = tokens[1] as { signal: AbortSignal }
        root.cancel()
        assert.equal(told.length, tokens.length)
        assert.ok(told.every((error) => error === root.error))
        assert.equal(signal.reason, root.error)
        const [first, last] = [new SimpleToken(), new SimpleToken()]
        const both = allOf(first, last)
        last.cancel()
        first.cancel()
        assert.equal(both.cancelledBy, first)
      }
    })
  })
}
