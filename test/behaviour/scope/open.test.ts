import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isCancellation, openScope, ScopeClosedError, type Scope, scope, SimpleToken, type StuckReport } from 'calloff'
import { manualClock } from 'calloff/testing'
import { rejection, stateOf, thrown, turn, uncaught } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')
const fail = async () => {
  throw boom
}

describe('an open scope', () => {
  test('waits for its works when the block is left', async () => {
    const done: string[] = []
    {
      await using s = openScope()
      void s.run(async (token) => {
        await token.sleep(1)
        done.push('work')
      })
      done.push('block')
    }
    assert.deepEqual(done, ['block', 'work'])
  })

  test('throws what failed when the block is left', async () => {
    const block = async () => {
      await using s = openScope(undefined, { name: 'it' })
      void s.run(fail)
      void s.run(patient)
    }
    assert.equal(await rejection(block()), boom)
  })

  test('does not know of an error of the block, and waits', async () => {
    const slow = puppet()
    const block = async () => {
      await using s = openScope()
      void s.run(slow.work)
      throw boom
    }
    const left = rejection(block())
    assert.equal(await stateOf(left), 'pending')
    assert.equal(slow.token?.cancelled, false)
    slow.resolve(0)
    assert.equal(await left, boom)
  })

  test("cancels what still runs with onLeave: 'cancel'", async () => {
    const kinds: unknown[] = []
    {
      await using s = openScope(undefined, { onLeave: 'cancel' })
      void s.run((token) => token.wait().then(({ kind }) => kinds.push(kind)))
    }
    assert.deepEqual(kinds, ['dispose'])
  })

  test('is closed by hand, once; after that it starts nothing', async () => {
    const slow = puppet()
    const s = openScope()
    void s.run(slow.work)
    const closing = s.close()
    assert.equal(s.close(), closing)
    assert.equal(await s.run(() => 'still waiting'), 'still waiting')
    slow.resolve(0)
    await closing
    assert.ok((await rejection(s.run(() => 1))) instanceof ScopeClosedError)
    assert.equal(s.token.kind, 'dispose')
    await s[Symbol.asyncDispose]()
  })

  test('throws once: leaving the block after close has thrown does not throw again', async () => {
    const block = async () => {
      await using s = openScope()
      void s.run(fail)
      await s.close()
    }
    assert.equal(await rejection(block()), boom)
  })

  test('cancelled from outside it throws the error of the token, cancelled by itself it does not', async () => {
    const root = new SimpleToken()
    const s = openScope(root)
    void s.run(patient)
    root.cancel()
    assert.equal(await rejection(s.close()), root.error)

    const own = openScope(new SimpleToken())
    void own.run(patient)
    own.cancel('that is all')
    await own.close()

    const dead = openScope(root)
    assert.equal(await rejection(dead.run(() => 1)), root.error)
    assert.equal(await rejection(dead.close()), root.error)
  })

  test('refuses bad input by name', () => {
    const bad: readonly [() => unknown, RegExp][] = [
      [() => openScope(5 as never), /^TypeError: token must be a token, .* got 5$/],
      [() => openScope(null, 5 as never), /^TypeError: options must be a plain object, got 5$/],
      [
        () => openScope(null, { onLeave: 'stop' as never }),
        /^TypeError: onLeave must be 'wait' or 'cancel', got "stop"$/,
      ],
      [() => openScope(null, { concurrency: 0 }), /^RangeError: concurrency must be a whole number/],
    ]
    for (const [run, message] of bad) assert.match(String(thrown(run)), message)
  })
})

describe('unfinished', () => {
  test('tells name, age, state, and where a work was started', async () => {
    using clock = manualClock()
    const [a, b] = [puppet(), puppet()]
    const load = (token: Parameters<typeof a.work>[0]) => b.work(token)
    await scope(
      async (s) => {
        assert.deepEqual(s.unfinished(), [])
        const one = s.run(a.work, { name: 'upload' })
        clock.tick(50)
        const two = s.run(load)
        const rest = s.map([0, 1], () => 1, { name: 'page' })
        await turn()
        clock.tick(10)
        const facts = s.unfinished()
        assert.deepEqual(
          facts.map(({ name, age, state }) => ({ name, age, state })),
          [
            { name: 'upload', age: 60, state: 'running' },
            { name: 'load', age: 10, state: 'running' },
            { name: 'page[0]', age: 10, state: 'waiting' },
            { name: 'page[1]', age: 10, state: 'waiting' },
          ],
        )
        for (const { startedAt } of facts) assert.match(String(startedAt), /open\.test\.[jt]s:\d+/)
        a.resolve(0)
        b.resolve(0)
        await Promise.all([one, two, rest])
        assert.deepEqual(s.unfinished(), [])
      },
      { concurrency: 2 },
    )
  })

  test('knows no place with trace: false, and no name where there is none', async () => {
    await scope(
      async (s) => {
        void s.run((token) => token.sleep(1))
        void s.any([(token) => token.sleep(1)])
        void s.race([(token) => token.sleep(1)])
        void s.allSettled([(token) => token.sleep(1)])
        void s.map([1], (_item, token) => token.sleep(1))
        const facts = s.unfinished()
        assert.equal(facts.length, 4)
        for (const { name, startedAt } of facts) assert.deepEqual([name, startedAt], [undefined, undefined])
        const items = s.map([1, 2], (_item, token) => token.wait())
        await turn()
        assert.deepEqual(
          s
            .unfinished()
            .slice(-2)
            .map(({ name }) => name),
          ['map[0]', 'map[1]'],
        )
        s.cancel()
        await items
      },
      { trace: false },
    )
  })

  test('leaves the length of stacks as it was', async () => {
    const before = (Error as { stackTraceLimit?: number }).stackTraceLimit
    await scope((s) => s.run(() => 1))
    assert.equal((Error as { stackTraceLimit?: number }).stackTraceLimit, before)
  })
})

describe('stuckAfter', () => {
  test('reports once what has not stopped in time after the scope was cancelled', async () => {
    using clock = manualClock()
    const root = new SimpleToken({ name: 'request' })
    const [deaf, body] = [puppet(), puppet()]
    const reports: StuckReport[] = []
    const whole = rejection(
      scope(
        root,
        async (s) => {
          void s.run(deaf.work, { name: 'upload' })
          await body.work(s.token)
        },
        { name: 'sync', stuckAfter: 500, onStuck: (report) => reports.push(report) },
      ),
    )
    await clock.advance(10_000)
    assert.equal(reports.length, 0)
    root.cancel('the client has left')
    await clock.advance(499)
    assert.equal(reports.length, 0)
    await clock.advance(10_000)
    const [report] = reports
    assert.equal(reports.length, 1)
    assert.equal(report?.error, root.error)
    assert.deepEqual([report?.scope, report?.stuckAfter, report?.isBodyRunning], ['sync', 500, true])
    assert.deepEqual(
      report?.unfinished.map(({ name, age }) => ({ name, age })),
      [{ name: 'upload', age: 10_499 + 1 }],
    )
    deaf.resolve(0)
    body.resolve(0)
    assert.equal(await whole, root.error)
  })

  test('begins with a failure too, of the body or of a work', async () => {
    using clock = manualClock()
    for (const fails of [(s: Scope) => void s.run(fail), () => fail()]) {
      const deaf = puppet()
      const reports: StuckReport[] = []
      const whole = rejection(
        scope(
          (s) => {
            void s.run(deaf.work)
            return fails(s)
          },
          { stuckAfter: 100, onStuck: (report) => reports.push(report) },
        ),
      )
      await clock.advance(100)
      assert.deepEqual(
        reports.map(({ error, isBodyRunning }) => [error.kind, error.cause, isBodyRunning]),
        [['sibling', boom, false]],
      )
      deaf.resolve(0)
      assert.equal(await whole, boom)
    }
  })

  test('says nothing of a scope that is in time, or was never cancelled', async () => {
    using clock = manualClock()
    const reports: StuckReport[] = []
    const options = { stuckAfter: 100, onStuck: (report: StuckReport) => reports.push(report) }
    const root = new SimpleToken()
    const whole = rejection(scope(root, (s) => s.run((token) => token.wait().then(() => turn())), options))
    root.cancel()
    await turn()
    await turn()
    assert.ok(isCancellation(await whole, root))
    const long = scope((s) => s.run((token) => token.sleep(1_000)), options)
    await clock.advance(1_000)
    await long
    await clock.advance(1_000)
    assert.equal(reports.length, 0)
  })

  test('goes for an open scope, also under a cancelled token', async () => {
    using clock = manualClock()
    const root = new SimpleToken().cancel()
    const reports: StuckReport[] = []
    const s = openScope(root, { stuckAfter: 100, onStuck: (report) => reports.push(report) })
    await clock.advance(100)
    assert.deepEqual(
      reports.map(({ isBodyRunning, unfinished }) => [isBodyRunning, unfinished]),
      [[true, []]],
    )
    assert.equal(await rejection(s.close()), root.error)
  })

  test('what onStuck throws surfaces, and stops nothing else', async () => {
    const deaf = puppet()
    const errors = await uncaught(async () => {
      using clock = manualClock()
      const s = openScope(undefined, {
        stuckAfter: 5,
        onStuck: () => {
          throw boom
        },
      })
      void s.run(deaf.work)
      s.cancel()
      clock.tick(5)
      deaf.resolve(0)
      await s.close()
    })
    assert.deepEqual(errors, [boom])
  })

  test('without onStuck it is a warning of the process, or of the console', async () => {
    using clock = manualClock()
    const heard: unknown[][] = []
    const note = (...args: unknown[]) => heard.push(args)
    const host = globalThis as unknown as { process?: { emitWarning?: unknown }; console: { warn: unknown } }
    const { process, console } = host
    const before = [process?.emitWarning, console.warn]
    const put = (emitWarning: unknown, warn: unknown) => {
      if (process) process.emitWarning = emitWarning
      console.warn = warn
    }
    put(note, process ? before[1] : note)
    try {
      const deaf = Array.from({ length: 12 }, () => puppet())
      const s = openScope(new SimpleToken({ name: 'request' }), { name: 'sync', stuckAfter: 5 })
      deaf.forEach(({ work }, i) => void s.run(work, { name: `work ${i}` }))
      s.cancel('enough')
      clock.tick(5)
      put(undefined, note) // a host with no such warnings
      const plain = openScope(undefined, { stuckAfter: 1, trace: false })
      const nameless = puppet()
      void plain.run((token) => nameless.work(token))
      plain.cancel()
      const closing = plain.close()
      clock.tick(1)
      nameless.resolve(0)
      for (const { resolve } of deaf) resolve(0)
      await Promise.all([closing, s.close()])
    } finally {
      put(before[0], before[1])
    }
    const [[text, ...rest], [other]] = heard as [unknown[], unknown[]]
    assert.match(
      String(text),
      /^scope "sync" has not stopped 5 ms after it was cancelled \(token "sync" was cancelled: enough\): its body; work 0 \(5 ms old, started at .*open\.test\.[jt]s:\d+.*work 9 .*; 2 more$/,
    )
    if (process) assert.deepEqual(rest, ['StuckScopeWarning', 'CALLOFF_STUCK_SCOPE'])
    assert.equal(
      other,
      'a scope has not stopped 1 ms after it was cancelled (token was cancelled): a task (1 ms old, started at ?)',
    )
  })
})
