/** Observers, under random graphs of tokens and random scopes: each cancellation once, and each task to its end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type CancelEvent,
  type CancellationError,
  scope,
  type Scope,
  type ScopeEvent,
  SimpleToken,
  type TaskEvent,
  trace,
} from 'calloff'
import fc from 'fast-check'
import { runs } from './runs.js'
import { derivation, operation, World } from './world.js'

test('each cancellation is reported once, with the token that has it, and tokens say the same as without an observer', async () => {
  let reported = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(derivation, { minLength: 1, maxLength: 8 }),
      fc.array(operation, { maxLength: 30 }),
      fc.boolean(),
      async (graph, operations, fromTheEnd) => {
        const events: CancelEvent[] = []
        const errors = new Set<CancellationError>()
        using world = new World()
        using _ = trace({
          cancel(event) {
            assert.equal(event.token.error, event.error)
            assert.equal(event.error.token, event.origin)
            assert.deepEqual([event.kind, event.reason], [event.error.kind, event.error.cause])
            assert.ok(event.reached >= 1)
            events.push(event)
            errors.add(event.error)
          },
        })
        fc.pre(await world.play([...graph, ...operations], fromTheEnd))
        assert.equal(errors.size, events.length, 'each once')
        for (const error of world.errors) {
          // The answer of a condition without a cache is not kept, so that token is not cancelled by it.
          assert.ok(errors.has(error) || error.kind === 'condition', `nothing has reported: ${error.message}`)
        }
        reported += events.length
      },
    ),
    runs(1_500),
  )
  assert.ok(reported > 0)
})

test('a cancellation is reported before all that its listeners cancel', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 2, maxLength: 20 }), (causes) => {
      // Each token is cancelled by a listener of an earlier one.
      const tokens = causes.map(() => new SimpleToken())
      tokens.forEach((token, i) => {
        if (i) tokens[(causes[i] as number) % i]?.onCancel(() => token.cancel(i))
      })
      const order: unknown[] = []
      using _ = trace({ cancel: ({ token }) => void order.push(token) })
      tokens[0]?.cancel()
      assert.equal(order.length, tokens.length)
      tokens.forEach((token, i) => {
        const cause = tokens[(causes[i] as number) % i]
        if (i) assert.ok(order.indexOf(cause) < order.indexOf(token))
      })
    }),
    runs(500),
  )
})

const plan = fc.record({
  ending: fc.constantFrom('succeeds', 'fails', 'fails at once', 'hangs', 'cancels the scope'),
  steps: fc.nat(2),
  children: fc.nat(2),
})

test('each task that has started is reported to end, or is unfinished', async () => {
  let ended = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(plan, { minLength: 1, maxLength: 6 }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      fc.scheduler(),
      async (plans, concurrency, scheduler) => {
        const running = new Map<TaskEvent, ScopeEvent | undefined>()
        const scopes = new Set<ScopeEvent>()
        using _ = trace({
          scopeStart: (event) => void scopes.add(event),
          scopeEnd(event) {
            assert.ok(scopes.delete(event))
            assert.deepEqual(event.unfinished(), [])
            for (const its of running.values()) assert.notEqual(its, event)
          },
          taskStart(event) {
            assert.ok(event.scope && scopes.has(event.scope))
            running.set(event, event.scope)
          },
          taskEnd(event, { state, error }) {
            assert.ok(running.delete(event))
            assert.equal(state === 'succeeded', error === undefined)
            ended++
          },
        })
        const check = () => {
          for (const event of scopes) {
            const names = event.unfinished().flatMap(({ name, state }) => (state === 'running' ? [name] : []))
            const started = [...running].flatMap(([{ name }, its]) => (its === event ? [name] : []))
            assert.deepEqual(new Set(names), new Set(started))
          }
        }
        let count = 0
        const work = async (
          s: Scope,
          token: SimpleToken,
          { ending, steps, children }: (typeof plans)[number],
        ): Promise<void> => {
          for (let i = 0; i < children; i++) start(s, { ending: 'succeeds', steps: 0, children: 0 })
          for (let i = 0; i < steps; i++) {
            await scheduler.schedule(Promise.resolve())
            check()
          }
          if (ending === 'fails') throw new Error('failed')
          if (ending === 'hangs') await token.wait()
          if (ending === 'cancels the scope') s.cancel()
        }
        const start = (s: Scope, one: (typeof plans)[number]) => {
          const options = { name: `task ${++count}` }
          if (one.ending === 'fails at once') {
            void s.run(() => {
              throw new Error('at once')
            }, options)
          } else void s.run((token) => work(s, token, one), options)
        }
        const root = new SimpleToken()
        const whole = scope(
          root,
          (s) => {
            for (const one of plans) start(s, one)
          },
          concurrency === undefined ? {} : { concurrency },
        ).catch(() => {})
        await scheduler.waitAll()
        root.cancel()
        await scheduler.waitFor(whole)
        assert.deepEqual([running.size, scopes.size], [0, 0])
      },
    ),
    runs(300),
  )
  assert.ok(ended > 0)
})
