import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import diagnostics from 'node:diagnostics_channel'
import { extname } from 'node:path'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  type CancelEvent,
  type LateErrorEvent,
  openScope,
  scope,
  SimpleToken,
  type StuckReport,
  TimeoutToken,
  trace,
} from 'calloff'
import 'calloff/node'
import type { ScopeMessage, TaskMessage } from 'calloff/node'
import { manualClock } from 'calloff/testing'
import { heard, STEPS, traced } from './hearing.js'

// Beside the entry point, which Bun takes from the sources.
const entry = import.meta.resolve('calloff')
const observation = (await import(new URL(`core/observation${extname(entry)}`, entry).href)) as {
  readonly reports: unknown
}
/** Whether the core has an observer. */
const isObserved = () => observation.reports !== undefined

describe('calloff:cancel', () => {
  it('has who, why and how many, for a cancel by hand', async () => {
    const root = new SimpleToken({ name: 'root' })
    const child = new SimpleToken(root)
    child.onCancel(() => {})
    const events = await heard<CancelEvent>('calloff:cancel', () => root.cancel('why'))
    assert.equal(events.length, 1)
    const [event] = events as [CancelEvent]
    assert.equal(event.token, root)
    assert.equal(event.origin, root)
    assert.equal(event.kind, 'manual')
    assert.equal(event.reason, 'why')
    assert.equal(event.reached, 2)
    assert.equal(event.error, child.error)
    assert.ok(event.at <= performance.now())
    assert.equal(event.madeAt, undefined)
  })

  it('shows in the stack who has cancelled, where no call says it and however late it is read', async () => {
    const [event] = await heard<CancelEvent>('calloff:cancel', function theCanceller() {
      // eslint-disable-next-line @typescript-eslint/no-unused-vars -- it is there to be disposed
      using _ = new SimpleToken()
    })
    await new Promise((resolve) => setTimeout(resolve))
    assert.match(event?.error.stack ?? '', /theCanceller/)
  })

  it('shows where a deadline was made', async () => {
    using clock = manualClock()
    const [event] = await heard<CancelEvent>('calloff:cancel', () => {
      new TimeoutToken(100).onCancel(() => {})
      clock.tick(101)
    })
    assert.equal(event?.kind, 'timeout')
    assert.match(event.madeAt ?? '', /channels\.test/)
  })

  it('has every subscriber hear the same, in their order', async () => {
    const order: string[] = []
    const channel = diagnostics.channel('calloff:cancel')
    const first = () => void order.push('first')
    const second = () => void order.push('second')
    channel.subscribe(first)
    diagnostics.subscribe('calloff:cancel', second)
    new SimpleToken().cancel()
    channel.unsubscribe(first)
    new SimpleToken().cancel()
    diagnostics.unsubscribe('calloff:cancel', second)
    new SimpleToken().cancel()
    assert.deepEqual(order, ['first', 'second', 'second'])
  })
})

it('calloff:late-error has a failure that no caller hears', async () => {
  const events = await heard<LateErrorEvent>('calloff:late-error', async () => {
    const token = new SimpleToken()
    let fail!: (error: unknown) => void
    const race = token.race(() => new Promise((_, reject) => (fail = reject)))
    token.cancel()
    await race.catch(() => {})
    fail(new Error('disk full'))
    await new Promise((resolve) => setTimeout(resolve))
  })
  assert.deepEqual(
    events.map(({ error, operation }) => `${operation}: ${String(error)}`),
    ['race: Error: disk full'],
  )
})

it('calloff:stuck has a scope that does not stop', async () => {
  using clock = manualClock()
  const reports = await heard<StuckReport>('calloff:stuck', async () => {
    let finish!: () => void
    const held = openScope(undefined, { name: 'held', stuckAfter: 100, onStuck: () => {} })
    void held.run(() => new Promise<void>((resolve) => (finish = resolve)), { name: 'deaf' })
    held.cancel()
    clock.tick(101)
    finish()
    await held.close()
  })
  assert.deepEqual(
    reports.map(({ scope: name, unfinished }) => `${name}: ${unfinished.map((task) => task.name).join()}`),
    ['held: deaf'],
  )
})

describe('calloff:task and calloff:scope', () => {
  /** One scope whose tasks end in each of the ways. */
  const work = () =>
    scope(
      async (s) => {
        void s.run(async () => 'good', { name: 'good' })
        void s.run(async (token) => token.sleep(60_000), { name: 'slow' })
        await s.run(
          () => {
            throw new Error('disk full')
          },
          { name: 'bad' },
        )
      },
      { name: 'work' },
    ).catch(() => {})

  for (const [end, steps] of [
    ['good', ['start', 'end', 'asyncStart', 'asyncEnd']],
    ['slow', ['start', 'end', 'asyncStart', 'asyncEnd']],
    ['bad', ['start', 'end', 'error', 'asyncStart', 'asyncEnd']],
  ] as const) {
    it(`publish the course of a task in one order, with one object: ${end}`, async () => {
      const all = await traced<TaskMessage>('calloff:task', work)
      const own = all.filter(({ message }) => message.task.name === end)
      assert.deepEqual(
        own.map(({ step }) => step),
        steps,
      )
      assert.equal(new Set(own.map(({ message }) => message)).size, 1)
      const message = own[0]?.message as TaskMessage
      assert.equal(message.task.scope?.name, 'work')
      assert.equal(message.outcome?.state, { good: 'succeeded', slow: 'cancelled', bad: 'failed' }[end])
      assert.equal('error' in message, end === 'bad')
      if (end === 'bad') assert.equal((message.error as Error).message, 'disk full')
    })
  }

  it('publish the course of a scope around its tasks', async () => {
    const steps: string[] = []
    await traced<TaskMessage>('calloff:task', async () => {
      const scopes = await traced<ScopeMessage>('calloff:scope', work)
      steps.push(...scopes.map(({ step }) => step))
      assert.equal(new Set(scopes.map(({ message }) => message)).size, 1)
      assert.equal(scopes[0]?.message.scope.name, 'work')
      assert.equal(scopes[0]?.message.outcome?.state, 'failed')
      assert.equal(String(scopes[0]?.message.error), 'Error: disk full')
    })
    assert.deepEqual(steps, ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  })

  it('publish the start of an open scope at once', async () => {
    let before: string[] = []
    const all = await traced<ScopeMessage>('calloff:scope', async () => {
      const seen = await traced<ScopeMessage>(
        'calloff:scope',
        () => void openScope(undefined, { name: 'held' }).close(),
      )
      before = seen.map(({ step }) => step)
    })
    assert.deepEqual(before, ['start', 'end', 'asyncStart', 'asyncEnd'])
    assert.deepEqual(
      all.map(({ step }) => step),
      before,
    )
  })

  it('set the store of a subscriber in the task and after its awaits, and nowhere else', async () => {
    const storage = new AsyncLocalStorage<string>()
    const { start } = diagnostics.tracingChannel<unknown, TaskMessage>('calloff:task')
    start.bindStore(storage, ({ task }) => `in ${task.name}, after ${storage.getStore() ?? 'nothing'}`)
    const inside: unknown[] = []
    try {
      await scope(async (s) => {
        inside.push(storage.getStore())
        await s.run(
          async () => {
            await Promise.resolve()
            inside.push(storage.getStore())
            await scope((inner) => inner.run(() => void inside.push(storage.getStore()), { name: 'inner' }))
          },
          { name: 'outer' },
        )
        inside.push(storage.getStore())
      })
    } finally {
      start.unbindStore(storage)
    }
    assert.deepEqual(inside, [
      undefined,
      'in outer, after nothing',
      'in inner, after in outer, after nothing',
      undefined,
    ])
    assert.equal(isObserved(), false)
  })

  it('say nothing of a scope and a task that have started before the subscription', async () => {
    let finish!: () => void
    const held = openScope()
    // Another observer is there from the start, so that the core has events for both.
    const tracing = trace({ scopeStart() {} })
    const task = held.run(() => new Promise<void>((resolve) => (finish = resolve)))
    const all = await traced('calloff:task', async () => {
      finish()
      await task
      await held.close()
    })
    tracing[Symbol.dispose]()
    assert.deepEqual(all, [])
  })
})

/** Collects garbage, on any of the runtimes. */
async function collect(): Promise<void> {
  // What a program has looked at in this turn of the event loop is kept until the next one.
  await new Promise((resolve) => setTimeout(resolve))
  const { Bun, gc } = globalThis as { Bun?: { gc(isSync: boolean): void }; gc?: () => void }
  if (Bun) return Bun.gc(true)
  if (gc) return gc()
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

describe('without a subscriber', () => {
  it('the core has no observer', () => assert.equal(isObserved(), false))

  const names = ['calloff:cancel', 'calloff:late-error', 'calloff:stuck']
  for (const name of ['scope', 'task']) names.push(...STEPS.map((step) => `tracing:calloff:${name}:${step}`))
  for (const name of names) {
    it(`and it has one exactly while ${name} is heard`, async () => {
      await collect()
      const hear = () => {}
      const storage = new AsyncLocalStorage()
      const channel = diagnostics.channel(name)
      assert.equal(isObserved(), false)
      diagnostics.subscribe(name, hear)
      assert.equal(isObserved(), true)
      channel.bindStore(storage, () => 1)
      assert.equal(diagnostics.unsubscribe(name, hear), true)
      assert.equal(isObserved(), true)
      assert.equal(channel.unbindStore(storage), true)
      assert.equal(isObserved(), false)
      assert.equal(diagnostics.unsubscribe(name, hear), false)
    })
  }
})
