/** Tokens and scopes as data. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  allOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  inspect,
  NEVER,
  openScope,
  type ParentReport,
  scope,
  SimpleToken,
  TimeoutToken,
  type TokenReport,
  trace,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { share, SharedToken } from 'calloff/threads'
import { deferred, rejection, thrown, turn } from './helpers.js'
import { deadKinds, endingKinds, kinds, nestingKinds } from './kinds.js'

const nothing = () => {}
const proxied = <T extends object>(value: T): T => new Proxy(value, {})
const all = [...kinds, ...endingKinds, ...deadKinds, { name: 'NEVER', make: (): CancellationToken => NEVER }]

/** Draws a report as `console.log` draws the token. */
function drawn(report: ParentReport): string {
  const lines: string[] = []
  const draw = (one: ParentReport, first: string, rest: string) => {
    const { timeLeft, pollsLeft, cancellation, isOrigin, parents } = one
    const left = [
      ...(timeLeft === undefined ? [] : [`${Math.ceil(timeLeft)} ms left`]),
      ...pollsLeft.map((n) => `${n} left`),
    ]
    const how = one === report || isOrigin ? `cancelled: ${cancellation?.message}` : 'cancelled'
    const state = one.state === 'live' ? left.join(', ') : how
    lines.push(`${first}${one.text}${state ? ` ${state}` : ''}`)
    for (const [i, parent] of parents.entries()) {
      const isLast = i === parents.length - 1
      draw(parent, `${rest}${isLast ? '└─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`)
    }
  }
  draw(report, '', '')
  return lines.join('\n')
}

const printed = (token: CancellationToken): string =>
  (token as unknown as Record<symbol, () => string>)[Symbol.for('nodejs.util.inspect.custom')]?.() as string

/** What arrives of a report as JSON, but for the moment by the wall clock. */
const written = (report: TokenReport): unknown =>
  JSON.parse(JSON.stringify(report, (key, value: unknown) => (key === 'at' ? undefined : value)))

describe('the report of a token', () => {
  for (const { name, make } of all) {
    it(`of ${name} has all that is printed`, () => {
      using _ = manualClock()
      const token = make()
      const parent = new SimpleToken({ name: 'parent' }, token)
      for (const one of [token, parent, token.grace(5)]) assert.equal(drawn(inspect(one)), printed(one))
      if (token === NEVER) return
      parent.cancel('stop')
      token.cancel('too late, perhaps')
      for (const one of [token, parent, token.grace(5)]) assert.equal(drawn(inspect(one)), printed(one))
    })

    it(`of ${name} says what the token says`, () => {
      using _ = manualClock()
      const token = make()
      const { remaining, state, cancellation, text, call } = inspect(token)
      assert.equal(state, token.error ? 'cancelled' : 'live')
      assert.equal(remaining, token.remaining)
      assert.equal(cancellation?.message, token.error?.message)
      assert.equal(cancellation?.kind, token.kind)
      assert.ok(text.startsWith(`${call}(`), text)
    })

    it(`of ${name} is the same at a view and through a proxy, and JSON can express it`, () => {
      using _ = manualClock()
      const token = make()
      const report = written(inspect(token))
      for (const one of [token.view, proxied(token), proxied(token.view)]) {
        assert.deepEqual(written(inspect(one)), report)
      }
    })
  }

  for (const { name, make } of kinds) {
    it(`of ${name} counts who is told, and forgets who has left`, async () => {
      const token = make()
      const counts = () => {
        const { listeners, waits, derived } = inspect(token)
        return [listeners, waits, derived]
      }
      assert.deepEqual(counts(), [0, 0, 0])
      const first = token.onCancel(nothing)
      const second = token.onCancel(nothing)
      assert.deepEqual(counts(), [2, 0, 0])
      const waiting = token.wait()
      assert.deepEqual(counts(), [2, 1, 0])
      const child = new SimpleToken(token)
      const other = new SimpleToken(token)
      assert.deepEqual(counts(), [2, 1, 0])
      const third = new SimpleToken(child).onCancel(nothing)
      const fourth = other.onCancel(nothing)
      assert.deepEqual(counts(), [2, 1, 2])
      for (const one of [first, third]) one.stop()
      assert.deepEqual(counts(), [1, 1, 1])
      for (const one of [second, fourth]) one.stop()
      token.cancel()
      await waiting
      assert.deepEqual(counts(), [0, 0, 0])
    })
  }

  for (const { name, make } of nestingKinds) {
    it(`of ${name} has its parents`, () => {
      const parent = new SimpleToken({ name: 'the parent' }).cancel('stop')
      const live = new CounterToken(5)
      const token = make(live, parent)
      const found: ParentReport[] = [inspect(token)]
      for (const one of found) found.push(...one.parents)
      const { isOrigin, cancellation } = found.find((one) => one.name === 'the parent') as ParentReport
      assert.equal(isOrigin, true)
      assert.equal(cancellation?.reason, 'stop')
      assert.deepEqual(found.find((one) => one.text === 'CounterToken(5)')?.pollsLeft, [5])
      assert.equal(found[0]?.cancellation?.path?.[0], token.error && 'the parent')
    })
  }

  it('calls no condition and uses up no counter', () => {
    let calls = 0
    const condition = new ConditionToken(() => ++calls > 1_000)
    const counter = new CounterToken(1, { direct: false })
    const tokens = [condition, counter, new SimpleToken(condition, counter), allOf(condition, counter)]
    for (const one of [...tokens, ...tokens.map((token) => token.grace(5))]) {
      for (let i = 0; i < 3; i++) assert.equal(inspect(one).state, 'live')
    }
    assert.deepEqual([calls, counter.counter], [0, 1])
  })

  it('has the time and the polls that each token has left', () => {
    using clock = manualClock()
    const limit = new TimeoutToken(1_000, { name: 'limit' })
    const token = new TimeoutToken(5_000, limit, new CounterToken(3))
    clock.tick(400)
    const { remaining, timeLeft, pollsLeft, parents } = inspect(token)
    assert.deepEqual([remaining, timeLeft, pollsLeft], [600, 4_600, []])
    assert.deepEqual(
      parents.map((one) => [one.call, one.name, one.timeLeft, one.pollsLeft]),
      [
        ['TimeoutToken', 'limit', 600, []],
        ['CounterToken', undefined, undefined, [3]],
      ],
    )
    limit.disarm()
    assert.deepEqual([inspect(limit).timeLeft, inspect(limit).remaining], [Infinity, Infinity])
    clock.tick(10_000)
    assert.deepEqual([inspect(token).timeLeft, inspect(token).remaining, inspect(token).state], [0, 0, 'cancelled'])
  })

  it('of a shared token has what is left of all that it carries', () => {
    using _ = manualClock()
    const shared = SharedToken.from(share(new CounterToken(3, new TimeoutToken(60_000))).handle)
    const { pollsLeft, timeLeft } = inspect(shared)
    assert.deepEqual(pollsLeft, [3])
    assert.ok(timeLeft !== undefined && timeLeft > 0)
  })

  it('of a token of a foreign signal has that signal as its parent', () => {
    const { call, parents } = inspect(from(new AbortController().signal))
    assert.deepEqual([call, parents.map(({ text }) => text)], ['from', ['from(AbortSignal)']])
  })

  for (const [what, length, every] of [
    ['a million tokens', 1_000_000, Infinity],
    ['many tokens with many deadlines', 20_000, 500],
  ] as const) {
    it(`of a chain of ${what} is short, and says what it leaves out`, () => {
      let token: CancellationToken = new SimpleToken({ name: 'top' })
      for (let i = 1; i < length; i++) token = i % every ? new SimpleToken(token) : new TimeoutToken(1e9, token)
      let depth = 0
      let last: ParentReport = inspect(token)
      for (; last.parents[0]; last = last.parents[0]) depth++
      assert.deepEqual([depth, last.moreParents], [20, 1])
    })
  }

  it('of a token of very many parents says how many it leaves out', () => {
    const { parents, moreParents } = inspect(allOf(...Array.from({ length: 100_000 }, () => new SimpleToken())))
    assert.deepEqual([parents.length, moreParents], [99, 99_901])
  })

  it('of a ladder of diamonds is short', () => {
    let token: CancellationToken = new SimpleToken()
    for (let i = 0; i < 200; i++) token = allOf(new SimpleToken(token), new SimpleToken(token))
    let reports = 0
    const count = ({ parents }: ParentReport) => {
      reports++
      parents.forEach(count)
    }
    count(inspect(token))
    assert.equal(reports, 100)
  })

  it('has one record of one cancellation, with the path to the inspected token', () => {
    const top = new SimpleToken({ name: 'top' })
    const token = new SimpleToken({ name: 'low' }, new SimpleToken({ name: 'middle' }, top))
    top.cancel('stop')
    const { cancellation, parents, isOrigin } = inspect(token)
    assert.deepEqual(cancellation?.path, ['top', 'middle', 'low'])
    assert.equal(parents[0]?.cancellation, cancellation)
    assert.deepEqual([isOrigin, parents[0]?.isOrigin, parents[0]?.parents[0]?.isOrigin], [false, false, true])
    assert.equal('stack' in (cancellation as object), false)
  })

  it('of a parent that was cancelled by something else has another record', () => {
    const tokens = [new SimpleToken({ name: 'a' }), new SimpleToken({ name: 'b' })] as const
    const both = allOf(...tokens)
    for (const one of tokens) one.cancel(one.name)
    const { cancellation, parents } = inspect(both)
    assert.equal(cancellation?.reason, 'b')
    assert.deepEqual(
      parents.map((one) => one.cancellation?.reason),
      ['a', 'b'],
    )
  })

  it('counts no signal, and once a promise that also keeps the process alive', async () => {
    const token = new TimeoutToken(60_000)
    void token.signal
    assert.deepEqual([inspect(token).listeners, inspect(token).waits], [0, 0])
    const promise = token.promise(nothing)
    assert.deepEqual([inspect(token).listeners, inspect(token).waits], [1, 0])
    token.cancel()
    await rejection(promise)
  })
})

describe('the report of a scope', () => {
  const hang = (token: CancellationToken) => token.wait()

  it('has the tasks that have not settled, each with its state, age and place', async () => {
    using clock = manualClock()
    const works = openScope(undefined, { name: 'works', concurrency: 1 })
    const first = works.run(hang, { name: 'load' })
    const second = works.run(hang, { name: 'save' })
    clock.tick(300)
    const { name, token, isBodyRunning, isDone, concurrency, tasks, moreTasks, age, startedAt } = inspect(works)
    assert.deepEqual([name, token.name, token.state], ['works', 'works', 'live'])
    assert.deepEqual([isBodyRunning, isDone, concurrency, moreTasks], [true, false, 1, 0])
    assert.deepEqual([age, startedAt], [undefined, undefined])
    assert.deepEqual(
      tasks.map((task) => [task.name, task.state, task.age]),
      [
        ['load', 'running', 300],
        ['save', 'waiting', 300],
      ],
    )
    for (const task of tasks) assert.match(task.startedAt as string, /inspect\.test/)
    assert.deepEqual(tasks, works.unfinished())
    works.cancel('enough')
    await Promise.allSettled([first, second])
    const closing = works.close()
    await turn()
    const after = inspect(works)
    assert.deepEqual([after.isBodyRunning, after.isDone, after.tasks], [false, true, []])
    assert.equal(after.token.cancellation?.reason, 'enough')
    await closing
  })

  it('of one without a name and a limit has its age where an observer was there', async () => {
    using clock = manualClock()
    using _ = trace({ scopeStart: nothing })
    await scope((s) => {
      clock.tick(20)
      const { name, concurrency, age, isBodyRunning, startedAt } = inspect(s)
      assert.deepEqual([name, concurrency, age, isBodyRunning], [undefined, Infinity, 20, true])
      assert.match(startedAt as string, /inspect\.test/)
    })
  })

  it('of very many tasks says how many it leaves out', async () => {
    const end = deferred<void>()
    await scope(async (s) => {
      for (let i = 0; i < 250; i++) void s.run(() => end.promise)
      const { tasks, moreTasks } = inspect(s)
      end.resolve()
      assert.deepEqual([tasks.length, moreTasks], [100, 150])
    })
  })

  it('of any object that is like one, as that of another copy, has what that tells', () => {
    const works = openScope(undefined, { name: 'works' })
    void works.run(hang).catch(nothing)
    const like = { token: works.token, unfinished: () => works.unfinished() }
    const { name, tasks, isBodyRunning, moreTasks } = inspect(like as typeof works)
    assert.deepEqual([name, tasks.length, isBodyRunning, moreTasks], ['works', 1, undefined, 0])
    works.cancel()
  })
})

describe('inspect', () => {
  const { proxy: revoked, revoke } = Proxy.revocable(new SimpleToken(), {})
  revoke()
  const broken = new Proxy(new SimpleToken(), {
    get() {
      throw new Error('a trap of the program')
    },
  })
  const refused: readonly (readonly [value: unknown, text: string])[] = [
    [undefined, 'undefined'],
    [null, 'null'],
    [5, '5'],
    ['token', '"token"'],
    [{}, '[object Object]'],
    [[new SimpleToken()], '[object Array]'],
    [new AbortController().signal, '[object AbortSignal]'],
    [new AbortController(), '[object AbortController]'],
    [{ unfinished: () => [] }, '[object Object]'],
    [{ token: new SimpleToken(), unfinished: () => 5 }, '[object Object]'],
    [Object.create(SimpleToken.prototype), ''],
    [revoked, ''],
    [broken, ''],
  ]
  for (const [index, [value, text]] of refused.entries()) {
    it(`refuses what is neither a token nor a scope: ${index}`, () => {
      const error = thrown(() => inspect(value as CancellationToken)) as Error
      assert.equal(error.name, 'TypeError')
      assert.equal(error.message.startsWith(`value must be a token or a scope, got ${text}`), true, error.message)
    })
  }
})
