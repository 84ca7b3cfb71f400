/**
 * Scopes against a naive model, under random schedules.
 *
 * Random trees of works that succeed, fail, hang until they are cancelled, ignore the cancel, or fail because of it, in scopes
 * within scopes, with and without a limit. Each takes its steps when the scheduler says so. What happens is written down;
 * the model reads it, and says what each scope must come to.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationToken, type Scope, scope, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { subscribers } from './inside.js'
import { runs } from './runs.js'

const stray: unknown[] = []
process.on('unhandledRejection', (reason) => stray.push(reason))

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** How a work ends, once it has done all else. */
type Ending =
  | 'succeeds'
  | 'fails'
  | 'hangs'
  | 'is deaf'
  | 'fails when cancelled'
  | 'calls itself off'
  | 'cancels its scope'

interface Plan {
  readonly ending: Ending
  /** Steps it takes before, whatever happens to its token. */
  readonly steps: number
  /** Works that it starts in its own scope, and whether it then waits for them. */
  readonly starts: readonly Plan[]
  readonly awaits: boolean
  /** A scope within it, below its token. */
  readonly inner: ScopePlan | undefined
}

interface ScopePlan {
  readonly body: Plan
  readonly concurrency: number | undefined
}

const endings: readonly Ending[] = [
  'succeeds',
  'succeeds',
  'fails',
  'hangs',
  'is deaf',
  'fails when cancelled',
  'calls itself off',
  'cancels its scope',
]

const planTo = (depth: number): fc.Arbitrary<Plan> =>
  fc.record({
    ending: fc.constantFrom(...endings),
    steps: fc.nat(2),
    starts: depth ? fc.array(planTo(depth - 1), { maxLength: 4 }) : fc.constant([]),
    awaits: fc.boolean(),
    inner: depth ? fc.option(scopePlanTo(depth - 1), { nil: undefined, freq: 1 }) : fc.constant(undefined),
  })

const scopePlanTo = (depth: number): fc.Arbitrary<ScopePlan> =>
  fc.record({
    body: planTo(depth),
    concurrency: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 2 }),
  })

/** What is written down of a scope. */
interface Record {
  readonly token: CancellationToken
  readonly limit: number
  running: number
  isBodyDone: boolean
  /** What works and the body have thrown, with the error their own token had by then. */
  readonly thrown: { readonly error: unknown; readonly own: unknown; readonly isBody: boolean }[]
}

/** The naive model: what a scope comes to, by what was thrown in it, and by whether its token is over. */
function expected(
  record: Record,
  before: { error: unknown; token: unknown } | undefined,
): readonly unknown[] | undefined {
  const failures = new Set(record.thrown.filter(({ error, own }) => error !== own).map(({ error }) => error))
  if (failures.size) return [...failures]
  const wasCalledOff =
    before !== undefined && (before.token !== record.token || record.thrown.some(({ isBody }) => isBody))
  return wasCalledOff ? [before.error] : undefined
}

async function play(plan: ScopePlan, scheduler: fc.Scheduler, cancelsAt: number | undefined): Promise<void> {
  const root = new SimpleToken({ name: 'root' })
  const open = new Set<Record>()
  let failures = 0
  let working = 0
  const step = (what: string) => scheduler.schedule(Promise.resolve(), what)

  const perform = async (one: Plan, s: Scope, token: CancellationToken, record: Record): Promise<void> => {
    for (let i = 0; i < one.steps; i++) await step('step')
    const started = one.starts.map((next) => s.run((own) => work(next, s, own, record, false)))
    if (one.inner) await within(one.inner, token)
    if (one.awaits) await Promise.all(started)
    switch (one.ending) {
      case 'succeeds':
        return
      case 'fails':
        throw new Error(`failure ${++failures}`)
      case 'hangs':
        throw await token.wait()
      case 'is deaf':
        return step('deaf')
      case 'fails when cancelled':
        await token.wait()
        await step('cleaning up')
        throw new Error(`failure ${++failures}`)
      case 'calls itself off':
        token.cancel('alone')
        throw token.error
      default:
        s.cancel('enough')
    }
  }

  const work = async (
    one: Plan,
    s: Scope,
    token: CancellationToken,
    record: Record,
    isBody: boolean,
  ): Promise<void> => {
    assert.equal(token.cancelled, false, 'nothing is started under a token that is over')
    if (!isBody) assert.ok(++record.running <= record.limit, 'no more than may run at once')
    working++
    try {
      await perform(one, s, token, record)
    } catch (error) {
      record.thrown.push({ error, own: token.error, isBody })
      throw error
    } finally {
      working--
      if (isBody) record.isBodyDone = true
      else record.running--
    }
  }

  const within = async ({ body, concurrency }: ScopePlan, parent: CancellationToken): Promise<void> => {
    let record: Record | undefined
    /** The cancellation of the scope, as it was before it was over. */
    let before: { error: unknown; token: unknown } | undefined
    let outcome: { readonly error: unknown } | undefined
    try {
      await scope(
        parent,
        (s) => {
          const own = { token: s.token, limit: concurrency ?? Infinity, running: 0, isBodyDone: false, thrown: [] }
          record = own
          open.add(own)
          s.token.onCancel((error) => {
            if (error.kind !== 'dispose') before = { error, token: error.token }
          })
          return work(body, s, s.token, own, true)
        },
        concurrency === undefined ? {} : { concurrency },
      )
    } catch (error) {
      outcome = { error }
    }
    if (!record) {
      assert.equal(outcome?.error, parent.error, 'under a token that is over it is not even begun')
      throw outcome?.error
    }
    open.delete(record)
    assert.deepEqual([record.running, record.isBodyDone], [0, true], 'nothing is left running')
    assert.equal(record.token.cancelled, true)
    const wanted = expected(record, before)
    if (!wanted) return assert.equal(outcome, undefined, `it should not have thrown ${String(outcome?.error)}`)
    assert.ok(outcome, `it should have thrown ${String(wanted[0])}`)
    if (wanted.length === 1) assert.equal(outcome.error, wanted[0])
    else assert.deepEqual((outcome.error as AggregateError).errors, wanted)
    // The first failure is what the others were told.
    const told = before?.error as Error & { kind: string }
    if (told.kind === 'sibling' && before?.token === record.token) {
      assert.equal(told.cause, record.thrown.find(({ error, own }) => error !== own)?.error)
    }
    throw outcome.error
  }

  const whole = within(plan, root).then(
    () => undefined,
    (error: unknown) => error,
  )
  let isOver = false
  void whole.then(() => (isOver = true))
  let turns = 0
  for (;;) {
    await turn()
    if (isOver) break
    if (turns++ === cancelsAt) root.cancel('from outside')
    else if (scheduler.count()) await scheduler.waitNext(1)
    else {
      // Works hang, or stand in each other's way; but not in a scope that has failed, or was cancelled.
      assert.equal(root.cancelled, false, 'it does not end, though it was cancelled')
      for (const { token, thrown } of open) {
        assert.equal(token.cancelled, false, 'a scope does not end, though it was cancelled')
        assert.ok(!thrown.some(({ error, own }) => error !== own), 'a failure has not cancelled the siblings')
      }
      root.cancel('in the end')
    }
  }
  const error = await whole
  if (error instanceof assert.AssertionError) throw error
  const flat = (one: unknown): unknown[] => (one instanceof AggregateError ? [one, ...one.errors.flatMap(flat)] : [one])
  for (const one of flat(error)) if (one instanceof assert.AssertionError) throw one
  assert.equal(working, 0, 'nothing is left running')
  assert.equal(subscribers(root), 0, 'nothing is left on the token')
  await turn()
  assert.deepEqual(stray.splice(0), [], 'no rejection is unhandled')
}

test('a scope comes to what a naive model says: nothing is left running, no failure is lost, none is unhandled', async () => {
  await fc.assert(
    fc.asyncProperty(scopePlanTo(3), fc.scheduler(), fc.option(fc.nat(12), { nil: undefined }), play),
    runs(400),
  )
})

// ---- Several works together

type Member = 'succeeds' | 'fails' | 'hangs' | 'is deaf' | 'fails when cancelled'

async function compete(
  members: readonly { readonly how: Member; readonly steps: number }[],
  mode: 'any' | 'race' | 'allSettled',
  concurrency: number | undefined,
  cancelsAt: number | undefined,
  scheduler: fc.Scheduler,
): Promise<void> {
  const root = new SimpleToken()
  const step = () => scheduler.schedule(Promise.resolve())
  /** In the order of time: which, and how. */
  const ends: { readonly at: number; readonly error?: unknown; readonly isOwn: boolean }[] = []
  const decisive = () => ends.find(({ error, isOwn }) => error === undefined || (mode === 'race' && !isOwn))
  let working = 0
  let started = 0

  const member = (at: number) => async (token: CancellationToken) => {
    assert.equal(token.cancelled, false, 'nothing is started under a token that is over')
    const { how, steps } = members[at] as (typeof members)[number]
    working++
    started++
    try {
      for (let i = 0; i < steps; i++) await step()
      if (how === 'hangs') throw await token.wait()
      if (how === 'is deaf') await step()
      if (how === 'fails when cancelled') {
        await token.wait()
        await step()
      }
      if (how.startsWith('fails')) throw new Error(`failure of ${at}`)
      ends.push({ at, isOwn: false })
      return at
    } catch (error) {
      ends.push({ at, error, isOwn: error === token.error })
      throw error
    } finally {
      working--
    }
  }

  let given: { value: unknown } | { error: unknown } | undefined
  const whole = scope(
    root,
    async (s) => {
      try {
        const works = members.map((_, at) => member(at))
        given = { value: await (mode === 'allSettled' ? s.allSettled(works) : s[mode](works)) }
      } catch (error) {
        given = { error }
      }
      assert.equal(working, 0, 'the losers are awaited')
      const before = started
      await step()
      assert.equal(started, before, 'nothing is started afterwards')
    },
    concurrency === undefined ? {} : { concurrency },
  ).catch((error: unknown) => {
    if (error instanceof assert.AssertionError) throw error
    return error
  })
  let isOver = false
  void whole.then(
    () => (isOver = true),
    () => (isOver = true),
  )
  for (let turns = 0; ; turns++) {
    await turn()
    if (isOver) break
    if (turns === cancelsAt) root.cancel('from outside')
    else if (scheduler.count()) await scheduler.waitNext(1)
    else {
      assert.equal(root.cancelled, false, 'it does not end, though it was cancelled')
      if (mode !== 'allSettled') assert.equal(decisive(), undefined, 'the losers were not cancelled')
      root.cancel('in the end')
    }
  }
  const thrown = await whole
  assert.ok(given)
  const first = decisive()
  const failures = ends.filter(({ error, isOwn }) => error !== undefined && !isOwn)
  if (mode === 'allSettled') {
    const outcomes = (given as { value: PromiseSettledResult<unknown>[] }).value
    outcomes.forEach((outcome, at) => {
      const end = ends.find((one) => one.at === at)
      if (!end) assert.deepEqual(outcome, { status: 'rejected', reason: root.error })
      else if (end.error === undefined) assert.deepEqual(outcome, { status: 'fulfilled', value: at })
      else assert.equal((outcome as PromiseRejectedResult).reason, end.error)
    })
  } else if (first && first.error === undefined) assert.deepEqual(given, { value: first.at })
  else if (first) assert.deepEqual(given, { error: first.error })
  else if (failures.length === members.length) {
    const errors = failures.toSorted((a, b) => a.at - b.at).map(({ error }) => error)
    assert.deepEqual((given as { error: AggregateError }).error.errors, errors)
  } else assert.deepEqual(given, { error: root.error })
  // Without a failure it is thrown that somebody has called it off, if that was in time.
  if ('error' in given && given.error !== root.error) assert.equal(thrown, given.error, 'no failure is lost')
  else assert.equal(thrown, root.error)
  assert.equal(subscribers(root), 0, 'nothing is left on the token')
  await turn()
  assert.deepEqual(stray.splice(0), [], 'no rejection is unhandled')
}

test('tasks that compete come to what the order of their ends says, and the losers are awaited', async () => {
  const member = fc.record({
    how: fc.constantFrom<Member>('succeeds', 'fails', 'fails', 'hangs', 'is deaf', 'fails when cancelled'),
    steps: fc.nat(2),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('any', 'race', 'allSettled'),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      fc.option(fc.nat(10), { nil: undefined }),
      fc.scheduler(),
      compete,
    ),
    runs(300),
  )
})
