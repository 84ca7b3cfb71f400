/**
 * Single tasks with tokens of their own, scopes that share limits, and streams, against naive models under random schedules.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationToken, Limit, openScope, scope, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { subscribers } from './inside.js'
import { runs } from './runs.js'

const stray: unknown[] = []
process.on('unhandledRejection', (reason) => stray.push(reason))

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const maybe = <T>(what: fc.Arbitrary<T>) => fc.option(what, { nil: undefined })

/** Lets microtasks run until nothing more comes of them. */
async function rest(): Promise<void> {
  for (let i = 0; i < 3; i++) await turn()
}

// ---- Tasks of scopes under limits, some with a token of their own

type Step =
  /** Passes a task to a scope: with the token `own` of that number, if there is one. */
  | { readonly do: 'run'; readonly scope: number; readonly own: number | undefined; readonly survive: boolean }
  /** Ends a task that runs: the one of that number, counted from the oldest. */
  | { readonly do: 'succeed' | 'fail'; readonly task: number }
  | { readonly do: 'cancel own'; readonly own: number }
  | { readonly do: 'cancel scope'; readonly scope: number }

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('run' as const),
        scope: fc.nat(2),
        own: maybe(fc.nat(3)),
        survive: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('succeed' as const), task: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), task: fc.nat(5) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel own' as const), own: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel scope' as const), scope: fc.nat(2) }) },
  ),
  { maxLength: 40 },
)

/** What the model knows of a task: plain data, and lists that are searched from the front. */
interface Modelled {
  readonly id: number
  readonly scope: number
  readonly own: number | undefined
  readonly survive: boolean
  state: 'waiting' | 'running' | 'over'
  outcome: unknown
}

/** Which limits the scopes have: 'shared' is the one that all with it share; a number is one of the scope alone. */
type Limits = readonly ('shared' | number | undefined)[]

async function playTasks(plan: readonly Step[], limits: Limits, sharedMax: number): Promise<void> {
  const limit = new Limit(sharedMax)
  const owns = Array.from({ length: 4 }, () => new SimpleToken())
  const roots = limits.map(() => new SimpleToken())
  const scopes = limits.map((of, i) =>
    openScope(roots[i], of === undefined ? {} : { concurrency: of === 'shared' ? limit : of }),
  )
  const real = {
    order: [] as number[],
    outcomes: new Map<number, unknown>(),
    ends: new Map<number, { resolve: () => void; reject: (error: unknown) => void; token: CancellationToken }>(),
  }

  // The model
  const tasks: Modelled[] = []
  const order: number[] = []
  const isOver = limits.map(() => false)
  const failures = limits.map((): unknown[] => [])
  const placesOf = (at: number) => {
    const of = limits[at]
    const isShared = of === 'shared'
    const taken = tasks.filter(
      ({ state, scope: s }) => state === 'running' && (isShared ? limits[s] === 'shared' : s === at),
    )
    return (isShared ? sharedMax : (of ?? Infinity)) - taken.length
  }
  const admit = () => {
    for (const task of tasks) {
      // In the order in which they came; one that cannot start keeps back those behind it in its own queue only.
      if (task.state !== 'waiting' || placesOf(task.scope) < 1) continue
      task.state = 'running'
      order.push(task.id)
    }
  }
  const close = (task: Modelled, outcome: unknown) => {
    task.state = 'over'
    task.outcome = outcome
  }
  const cancelScope = (at: number, error: unknown) => {
    if (isOver[at]) return
    isOver[at] = true
    for (const task of tasks) if (task.scope === at && task.state !== 'over') close(task, error)
  }

  const compare = async (what: string) => {
    await rest()
    assert.deepEqual(real.order, order, `${what}: what was started, and in which order`)
    for (const { id, state, outcome } of tasks) {
      assert.equal(real.outcomes.has(id), state === 'over', `${what}: task ${id} is ${state}`)
      if (state === 'over') assert.equal(real.outcomes.get(id), outcome, `${what}: the outcome of task ${id}`)
    }
    scopes.forEach((s, at) => {
      const left = tasks.filter((task) => task.scope === at && task.state !== 'over')
      assert.deepEqual(
        s.unfinished().map(({ name, state }) => `${name} ${state}`),
        left.map(({ id, state }) => `${id} ${state}`),
        what,
      )
    })
    const shared = tasks.filter((task) => limits[task.scope] === 'shared')
    assert.equal(limit.running, shared.filter(({ state }) => state === 'running').length, what)
    assert.equal(limit.waiting, shared.filter(({ state }) => state === 'waiting').length, what)
  }

  for (const [at, step] of plan.entries()) {
    const what = `step ${at}, ${JSON.stringify(step)}`
    if (step.do === 'run') {
      const index = step.scope % scopes.length
      const id = tasks.length
      const own = step.own === undefined ? undefined : owns[step.own]
      const promise = scopes[index]?.run(
        (token) => {
          assert.equal(token.cancelled, false, 'nothing is started under a token that is cancelled')
          real.order.push(id)
          return new Promise<number>((resolve, reject) => {
            real.ends.set(id, { resolve: () => resolve(id), reject, token })
            token.onCancel(reject)
          })
        },
        { name: String(id), token: own, survive: step.survive },
      ) as Promise<number>
      promise.then(
        (value) => real.outcomes.set(id, value),
        (error: unknown) => real.outcomes.set(id, error),
      )
      const task: Modelled = { ...step, id, scope: index, state: 'waiting', outcome: undefined }
      tasks.push(task)
      if (isOver[index]) close(task, scopes[index]?.token.error)
      else if (own?.cancelled) close(task, own.error)
    } else if (step.do === 'cancel own') {
      const token = owns[step.own]?.cancel()
      for (const task of tasks) if (task.own === step.own && task.state !== 'over') close(task, token?.error)
    } else if (step.do === 'cancel scope') {
      const index = step.scope % scopes.length
      const token = roots[index]?.cancel()
      cancelScope(index, token?.error)
    } else {
      const running = tasks.filter(({ state }) => state === 'running')
      const task = running[step.task % Math.max(1, running.length)]
      const end = task && real.ends.get(task.id)
      if (!task || !end) continue
      if (step.do === 'succeed') {
        end.resolve()
        close(task, task.id)
      } else {
        const error = new Error(`failure of ${task.id}`)
        end.reject(error)
        close(task, error)
        if (!task.survive) {
          failures[task.scope]?.push(error)
          // The error of the siblings is made then.
          await rest()
          cancelScope(task.scope, scopes[task.scope]?.token.error)
        }
      }
    }
    admit()
    await compare(what)
  }

  for (const [at, s] of scopes.entries()) {
    const [failure] = failures[at] as unknown[]
    const wasCancelled = roots[at]?.cancelled
    roots[at]?.cancel('in the end')
    const thrown = await s.close().then(
      () => undefined,
      (error: unknown) => error,
    )
    assert.equal(thrown, failure ?? roots[at]?.error, `what scope ${at} throws, cancelled: ${wasCancelled}`)
  }
  assert.deepEqual([limit.running, limit.waiting], [0, 0], 'the limit is free in the end')
  for (const token of [...owns, ...roots]) assert.equal(subscribers(token), 0, 'nothing is left on a token')
  await rest()
  assert.deepEqual(stray.splice(0), [], 'no rejection is unhandled')
}

test('tasks with tokens of their own, in scopes that share a limit, start and end as a naive model says', async () => {
  const limits = fc.array(fc.constantFrom<'shared' | number | undefined>('shared', 'shared', 1, 2, undefined), {
    minLength: 1,
    maxLength: 3,
  })
  await fc.assert(fc.asyncProperty(steps, limits, fc.integer({ min: 1, max: 3 }), playTasks), runs(300))
})

// ---- Streams

interface StreamPlan {
  /** How each item ends, and after how many steps. */
  readonly items: readonly { readonly how: 'succeeds' | 'fails' | 'hangs' | 'cancels itself'; readonly steps: number }[]
  /** The source pulls as many items and then fails, if it is not at its end before. */
  readonly sourceFailsAt: number | undefined
  readonly sourceSteps: number
  readonly concurrency: number
  readonly ordered: boolean
  /** The loop is left after as many results. */
  readonly leavesAt: number | undefined
  /** Steps that the loop takes for a result. */
  readonly loopSteps: number
  readonly cancels: 'the scope' | 'the stream' | undefined
  readonly cancelsAt: number
}

async function playStream(plan: StreamPlan, scheduler: fc.Scheduler): Promise<void> {
  const { items, concurrency, ordered } = plan
  const [root, one] = [new SimpleToken(), new SimpleToken()]
  const step = () => scheduler.schedule(Promise.resolve())
  const failure = new Error('a failure')
  const pulled: number[] = []
  const taken: number[] = []
  /** The items whose tasks have succeeded, in the order of time. */
  const succeeded: number[] = []
  const selfCancelled: unknown[] = []
  let working = 0
  let hasFailed = false
  let sourceHasFailed = false
  let isClosed = false
  let isEnded = false

  async function* source() {
    try {
      for (let index = 0; index < items.length; index++) {
        for (let i = 0; i < plan.sourceSteps; i++) await step()
        if (index === plan.sourceFailsAt) {
          sourceHasFailed = !root.cancelled && !one.cancelled && !selfCancelled.length
          throw failure
        }
        pulled.push(index)
        yield index
      }
      isEnded = true
    } finally {
      isClosed = true
    }
  }
  const work = async (index: number, token: CancellationToken) => {
    assert.equal(token.cancelled, false, 'nothing is started under a token that is cancelled')
    // Under way are those that run, and those that have ended and were not taken.
    assert.ok(pulled.length - taken.length <= concurrency + 1, 'no more are pulled than may be under way')
    assert.ok(++working <= concurrency, 'no more run than may')
    try {
      const { how, steps: count } = items[index] as (typeof items)[number]
      for (let i = 0; i < count; i++) await step()
      if (how === 'hangs') throw await token.wait()
      if (how === 'fails') {
        hasFailed = true
        throw failure
      }
      if (how === 'cancels itself') {
        token.cancel()
        selfCancelled.push(token.error)
        throw token.error
      }
      succeeded.push(index)
      return index
    } finally {
      working--
    }
  }

  let ended: { readonly how: 'end' | 'left' } | { readonly how: 'threw'; readonly error: unknown } | undefined
  const whole = scope(root, async (s) => {
    try {
      ended = { how: 'end' }
      for await (const index of s.stream(source(), work, { concurrency, ordered, token: one })) {
        taken.push(index)
        for (let i = 0; i < plan.loopSteps; i++) await step()
        if (taken.length === plan.leavesAt) {
          ended = { how: 'left' }
          break
        }
      }
    } catch (error) {
      ended = { how: 'threw', error }
    }
    assert.equal(working, 0, 'the tasks are awaited')
    assert.deepEqual(s.unfinished(), [])
  }).then(
    () => undefined,
    (error: unknown) => error,
  )
  let isOver = false
  void whole.then(() => (isOver = true))
  for (let turns = 0; ; turns++) {
    await turn()
    if (isOver) break
    if (turns === plan.cancelsAt && plan.cancels) (plan.cancels === 'the scope' ? root : one).cancel()
    else if (scheduler.count()) await scheduler.waitNext(1)
    else {
      // Only items that hang, and are not cancelled, hold it up.
      assert.ok(!root.cancelled && !one.cancelled && !hasFailed && !sourceHasFailed, 'it does not end')
      assert.equal(selfCancelled.length, 0, 'it does not end')
      assert.ok(working > 0, 'it waits for nothing')
      root.cancel('in the end')
    }
  }
  const thrown = await whole
  if (thrown instanceof assert.AssertionError) throw thrown
  // A source that was asked for an item is closed, and not waited for.
  for (; scheduler.count(); await turn()) await scheduler.waitNext(1)
  await rest()

  // What a source throws while the loop is being left is dropped, or just in time.
  hasFailed ||= sourceHasFailed && (ended?.how !== 'left' || thrown === failure)

  // What the loop has got
  assert.equal(new Set(taken).size, taken.length, 'no result is given twice')
  if (ordered) assert.deepEqual(taken, [...taken.keys()], 'in the order of the items, without a gap')
  else assert.deepEqual(taken, succeeded.slice(0, taken.length), 'in the order of time')
  if (ended?.how === 'end') {
    assert.ok(isEnded, 'the source is at its end')
    assert.equal(taken.length, items.length, 'no result is lost')
  }
  if (ended?.how === 'threw') {
    const possible = hasFailed ? [failure] : [root.error, one.error, ...selfCancelled].filter(Boolean)
    assert.ok(possible.includes(ended.error), `it has thrown ${String(ended.error)}`)
  }
  if (ended?.how === 'left') assert.equal(taken.length, plan.leavesAt)
  assert.ok(isClosed || !pulled.length, 'the source is closed')

  // What the scope comes to
  if (hasFailed) assert.equal(thrown, failure, 'no failure is lost')
  else assert.equal(thrown, root.error)
  for (const token of [root, one]) assert.equal(subscribers(token), 0, 'nothing is left on a token')
  assert.deepEqual(stray.splice(0), [], 'no rejection is unhandled')
}

test('a loop over a stream comes to what the ends of its items say, and leaves nothing running', async () => {
  const item = fc.record({
    how: fc.constantFrom('succeeds', 'succeeds', 'succeeds', 'succeeds', 'fails', 'hangs', 'cancels itself'),
    steps: fc.nat(3),
  }) as fc.Arbitrary<StreamPlan['items'][number]>
  const plan = fc.record({
    items: fc.array(item, { maxLength: 8 }),
    sourceFailsAt: fc.option(fc.nat(8), { nil: undefined, freq: 4 }),
    sourceSteps: fc.nat(1),
    concurrency: fc.integer({ min: 1, max: 3 }),
    ordered: fc.boolean(),
    leavesAt: maybe(fc.integer({ min: 1, max: 4 })),
    loopSteps: fc.nat(2),
    cancels: fc.constantFrom('the scope' as const, 'the stream' as const, undefined),
    cancelsAt: fc.nat(15),
  })
  await fc.assert(fc.asyncProperty(plan, fc.scheduler(), playStream), runs(500))
})
