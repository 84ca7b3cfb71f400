/** Calls of which the latest counts: against a naive model, and many at once with random durations. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationError, type CancellationToken, isCancellation, latest, SimpleToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import fc from 'fast-check'
import { subscribers } from './inside.js'
import { runs } from './runs.js'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

type Command =
  | { readonly do: 'call'; readonly key: number }
  /** Settles the task with this place among those that run. */
  | { readonly do: 'succeed' | 'fail'; readonly place: number }
  | { readonly do: 'cancel' | 'cancel the parent' }

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 32, arbitrary: fc.record({ do: fc.constant('call' as const), key: fc.nat(2) }) },
    {
      weight: 24,
      arbitrary: fc.record({ do: fc.constantFrom('succeed' as const, 'fail' as const), place: fc.nat(5) }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel the parent' as const) }) },
  ),
  { maxLength: 40 },
)

/** One call, as the model sees it. */
interface Modelled {
  readonly key: number
  state: 'waits' | 'runs' | 'settled'
  /** What its caller gets: the first answer stands. */
  answer: string | undefined
}

/** Says what each call comes to, step by step, in the simplest way that there is. */
class Model {
  readonly calls: Modelled[] = []
  isParentCancelled = false

  constructor(readonly waits: boolean) {}

  running(): number[] {
    return [...this.calls.keys()].filter((at) => this.calls[at]?.state === 'runs')
  }

  call(key: number): void {
    if (this.isParentCancelled) {
      this.calls.push({ key, state: 'settled', answer: 'parent' })
      return
    }
    const others = this.calls.filter((one) => one.key === key && one.state !== 'settled')
    for (const one of others) this.cancelOne(one, 'superseded')
    const mustWait = this.waits && others.some(({ state }) => state === 'runs')
    this.calls.push({ key, state: mustWait ? 'waits' : 'runs', answer: undefined })
  }

  cancelOne(one: Modelled, why: string): void {
    one.answer ??= why
    if (one.state === 'waits') one.state = 'settled'
  }

  cancelAll(why: string): void {
    for (const one of this.calls) if (one.state !== 'settled') this.cancelOne(one, why)
  }

  settle(at: number, how: string): void {
    const one = this.calls[at] as Modelled
    one.state = 'settled'
    one.answer ??= how
    const next = this.calls.find(({ key, state }) => key === one.key && state === 'waits')
    if (next) next.state = 'runs'
  }
}

function answerOf(error: unknown, parent: CancellationToken): string {
  if (error === parent.error) return 'parent'
  return isCancellation(error) ? (error as CancellationError).kind : (error as Error).message
}

test('each call comes to what a naive model says, and nothing is left on the parent', async () => {
  await fc.assert(
    fc.asyncProperty(commands, fc.boolean(), async (steps, waits) => {
      const parent = new SimpleToken()
      const model = new Model(waits)
      const started = new Map<number, { token: CancellationToken; settle: (fails: boolean) => void }>()
      const answers: (string | undefined)[] = []
      const settled = new Set<number>()
      const run = latest(
        (token, _key: number, id: number) =>
          new Promise<string>((resolve, reject) => {
            assert.ok(!started.has(id), 'it is started once')
            const settle = (fails: boolean) => {
              settled.add(id)
              return fails ? reject(new Error(`failure ${id}`)) : resolve(`value ${id}`)
            }
            started.set(id, { token, settle })
          }),
        { wait: waits, token: parent, key: (key) => key },
      )
      for (const step of steps) {
        if (step.do === 'call') {
          const id = model.calls.length
          model.call(step.key)
          run(step.key, id).then(
            (value) => (answers[id] = value),
            (error: unknown) => (answers[id] = answerOf(error, parent)),
          )
        } else if (step.do === 'succeed' || step.do === 'fail') {
          const running = model.running()
          const at = running[step.place % running.length]
          if (at === undefined) continue
          started.get(at)?.settle(step.do === 'fail')
          model.settle(at, `${step.do === 'fail' ? 'failure' : 'value'} ${at}`)
        } else if (step.do === 'cancel') {
          run.cancel()
          model.cancelAll('manual')
        } else {
          parent.cancel()
          model.cancelAll('parent')
          model.isParentCancelled = true
        }
        await turn()
        assert.deepEqual(
          [...started.keys()].filter((id) => !settled.has(id)).toSorted((a, b) => a - b),
          model.running(),
          'these run',
        )
        assert.deepEqual(
          Array.from(model.calls, (_, id) => answers[id]),
          model.calls.map(({ answer }) => answer),
        )
      }
      while (model.running().length) {
        for (const at of model.running()) {
          started.get(at)?.settle(false)
          model.settle(at, `value ${at}`)
        }
        await turn()
      }
      assert.deepEqual(
        Array.from(model.calls, (_, id) => answers[id]),
        model.calls.map(({ answer }) => answer),
      )
      assert.equal(subscribers(parent), 0)
    }),
    runs(1_000),
  )
})

test('1,000 overlapping starts: never two at once, and the last one always completes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      using clock = manualClock()
      let state = seed
      const random = (below: number) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
        return (state >>> 8) % below
      }
      let running = 0
      let completed = -1
      const search = latest(async (token, id: number) => {
        assert.equal(++running, 1, 'never two at once')
        try {
          // Some heed the token, some take their time to clean up, some ignore it.
          const ms = random(20)
          if (random(3)) await token.sleep(ms).catch(async () => new SimpleToken().sleep(random(5)))
          else await new SimpleToken().sleep(ms)
          if (!token.cancelled) completed = id
          return id
        } finally {
          running--
        }
      })
      let last: Promise<number> | undefined
      const outcomes: Promise<unknown>[] = []
      for (let id = 0; id < 1_000; id++) {
        last = search(id)
        outcomes.push(
          last.then(
            (value) => value === id || 'another value',
            (error: unknown) => (error as CancellationError).kind,
          ),
        )
        if (random(2)) await clock.advance(random(12))
      }
      await clock.advance(1_000)
      assert.equal(await last, 999)
      assert.deepEqual([completed, running], [999, 0])
      assert.deepEqual(new Set(await Promise.all(outcomes)), new Set([true, 'superseded']))
    }),
    runs(20),
  )
})
