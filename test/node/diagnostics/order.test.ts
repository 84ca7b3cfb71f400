import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CancelEvent, SimpleToken } from 'calloff'
import 'calloff/node'
import fc from 'fast-check'
import { runs } from '../../property/runs.js'
import { heard } from './hearing.js'

/** A token: the tokens before it that it derives from, and which token its listener cancels, if it has one. */
const shape = fc.record({
  parents: fc.uniqueArray(fc.nat(30), { maxLength: 2 }),
  cancels: fc.option(fc.nat(30), { nil: undefined }),
  isHeard: fc.boolean(),
})

it('each cancellation is published once, and after the one whose listener has caused it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(shape, { minLength: 1, maxLength: 12 }),
      fc.array(fc.record({ at: fc.nat(30), polls: fc.boolean() }), { maxLength: 12 }),
      async (shapes, steps) => {
        const tokens: SimpleToken[] = []
        /** Which token's listener was the first to cancel a token. */
        const causes: (readonly [SimpleToken, SimpleToken])[] = []
        const pick = (at: number) => tokens[at % tokens.length] as SimpleToken
        for (const { parents } of shapes) {
          const from = tokens.length === 0 ? [] : Array.from(new Set(parents.map(pick)))
          tokens.push(new SimpleToken({ name: `${tokens.length}` }, ...from))
        }
        for (const [at, { cancels, isHeard }] of shapes.entries()) {
          if (cancels === undefined && !isHeard) continue
          tokens[at]?.onCancel(() => {
            if (cancels === undefined || pick(cancels).error) return
            causes.push([tokens[at] as SimpleToken, pick(cancels)])
            pick(cancels).cancel()
          })
        }
        const events = await heard<CancelEvent>('calloff:cancel', () => {
          for (const { at, polls } of steps) {
            if (polls) void pick(at).cancelled
            else pick(at).cancel()
          }
        })
        const errors = events.map(({ error }) => error)
        assert.equal(new Set(errors).size, events.length, 'one was published twice')
        const found = new Set(tokens.flatMap(({ error }) => error ?? []))
        assert.deepEqual(new Set(errors), found)
        for (const { token, origin, error } of events) {
          assert.equal(token.error, error)
          assert.equal(token.cancelledBy, origin)
        }
        for (const [from, to] of causes) {
          const [first, second] = [from, to].map(({ error }) => errors.indexOf(error as never)) as [number, number]
          assert.ok(first < second, `${from.name} has cancelled ${to.name}, and was published after it`)
        }
      },
    ),
    runs(1_000),
  )
})
