/** 19. Whatever a task, an option or a callback of a caller does: every promise settles, and what it registered is taken back. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CancellationToken, openScope, type RetryOptions, type Scope, scope, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { turn } from '../helpers.js'
import { errorFrom, failure, type Misbehaving, type Outcome, outcomeOf, tasks, watched } from './foreign.js'

type Task = () => unknown

/** Begins the task under the token. A scope waits for all its tasks; the others give up a task that is deaf to its token. */
interface Entry {
  readonly begin: (token: CancellationToken, task: Task) => Promise<unknown>
  readonly waits: boolean
  /** What it comes to, by what the task comes to; as the task where it is left out. */
  readonly comesTo?: (outcome: Outcome) => Outcome
}

const other = async () => 'other'
const later = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
  return 'other'
}
const within = (body: (s: Scope, task: Task) => unknown, comesTo?: Entry['comesTo'], options = {}): Entry => ({
  begin: (token, task) => scope(token, async (s) => body(s, task), options),
  waits: true,
  ...(comesTo && { comesTo }),
})
const settled = (outcome: Outcome) => [
  'value' in outcome ? { status: 'fulfilled', ...outcome } : { status: 'rejected', reason: outcome.error },
]

const entries: Readonly<Record<string, Entry>> = {
  'the body of a scope': { begin: (token, task) => scope(token, () => task()), waits: true },
  's.run': within((s, task) => s.run(task)),
  's.run after another one': within(
    (s, task) => {
      void s.run(other)
      return s.run(task)
    },
    undefined,
    { concurrency: 1 },
  ),
  's.allSettled': within(
    (s, task) => s.allSettled([task]),
    (outcome) => ({ value: settled(outcome) }),
  ),
  's.any': within(
    (s, task) => s.any([task, later]),
    (outcome) => ('value' in outcome ? outcome : { value: 'other' }),
  ),
  's.any, hedged': within(
    (s, task) => s.any([task, later], { hedge: 60_000 }),
    (outcome) => ('value' in outcome ? outcome : { value: 'other' }),
  ),
  's.race': within((s, task) => s.race([task, later])),
  's.map': within(
    (s, task) => s.map([1], task),
    (outcome) => ('value' in outcome ? { value: [outcome.value] } : outcome),
  ),
  's.map, one at a time': within(
    (s, task) => s.map([1, 2], (n) => (n === 1 ? task() : n), { concurrency: 1 }),
    (outcome) => ('value' in outcome ? { value: [outcome.value, 2] } : outcome),
  ),
  'a scope within one': within((s, task) => s.run((token) => scope(token, (inner) => inner.run(task)))),
  openScope: {
    begin: async (token, task) => {
      const s = openScope(token)
      const running = s.run(task)
      await s.close()
      return running
    },
    waits: true,
  },
  retry: { begin: (token, task) => token.retry(task, { attempts: 1 }), waits: false },
  'the condition of a retry': {
    begin: (token, task) =>
      token.retry(
        () => {
          throw failure
        },
        { when: async () => (await task()) === 'good', attempts: 2, delay: 0 },
      ),
    waits: false,
    comesTo: () => ({ error: failure }),
  },
  'the condition of a retry, itself': {
    begin: (token, task) =>
      token.retry(
        () => {
          throw failure
        },
        { when: task as () => boolean, attempts: 2 },
      ),
    waits: false,
    comesTo: (outcome) => ('error' in outcome ? outcome : { error: 'a TypeError' }),
  },
}

/** Those that have an answer of their own in any case. */
const isDecidedByOthers = (name: string) => /any|race/.test(name)

function nameless(task: Task): Task {
  return new Proxy(task, {
    get(target, key, receiver) {
      if (key === 'name') throw failure
      return Reflect.get(target, key, receiver) as unknown
    },
  })
}

function outcomeFor(entry: Entry, { comesTo }: Misbehaving): Outcome {
  return (entry.comesTo ?? ((outcome) => outcome))(comesTo as Outcome)
}

describe('a task that', () => {
  for (const [how, make] of Object.entries(tasks)) {
    test(`${how}, under everything that takes one`, async () => {
      for (const [name, entry] of Object.entries(entries)) {
        const { token, signal } = watched()
        const misbehaving = make()
        const { task, comesTo, release } = misbehaving
        const promise = entry.begin(token, task)
        if (comesTo !== 'nothing') {
          const outcome = await outcomeOf(promise)
          const wanted = outcomeFor(entry, misbehaving)
          if ('error' in wanted && wanted.error === 'a TypeError') {
            assert.ok('error' in outcome && outcome.error instanceof TypeError, name)
          } else assert.deepEqual(outcome, wanted, name)
        } else {
          await turn()
          token.cancel('enough')
          // A scope waits for its tasks, for nothing of it outlives the scope.
          if (entry.waits) release?.()
          const outcome = await outcomeOf(promise)
          if (!isDecidedByOthers(name)) assert.deepEqual(outcome, { error: token.error }, name)
          release?.()
        }
        await turn()
        assert.equal(signal.listeners.size, 0, `${name} leaves a listener`)
      }
    })
  }

  test('a function whose name is a getter that throws fails before anything is started', async () => {
    const calls: Readonly<Record<string, (s: Scope, task: Task, nameless: Task) => Promise<unknown>>> = {
      's.run': (s, _, nameless) => s.run(nameless),
      's.map': (s, _, nameless) => s.map([1], nameless),
      's.allSettled': (s, task, nameless) => s.allSettled([task, nameless]),
      's.any': (s, task, nameless) => s.any([task, nameless]),
      's.any, hedged': (s, task, nameless) => s.any([task, nameless], { hedge: 0 }),
      's.race': (s, task, nameless) => s.race([task, nameless]),
    }
    for (const [name, call] of Object.entries(calls)) {
      const { token, signal } = watched()
      let started = 0
      const task = () => {
        started++
        return turn()
      }
      const outcome = await outcomeOf(scope(token, (s) => call(s, task, nameless(task))))
      assert.deepEqual([outcome, started], [{ error: failure }, 0], name)
      await turn()
      assert.equal(signal.listeners.size, 0, `${name} leaves a listener`)
    }
  })
})

describe('retry gives up what is deaf', () => {
  const silent = () => new Promise<never>(() => {})

  test('when its time is up, which holds the process until then', async () => {
    for (const deaf of [
      (token: CancellationToken) => token.retry(silent),
      (token: CancellationToken) =>
        token.retry(
          () => {
            throw failure
          },
          { when: silent },
        ),
    ]) {
      using clock = manualClock()
      const { token } = watched()
      const limit = new TimeoutToken(100, token)
      const outcome = outcomeOf(deaf(limit))
      await clock.advance(100)
      assert.deepEqual(await outcome, { error: limit.error })
    }
  })

  test('and takes what heeds its token at its word', async () => {
    const { token } = watched()
    const outcome = outcomeOf(
      token.retry(async (own) => {
        await own.wait()
        throw failure
      }),
    )
    await turn()
    token.cancel()
    assert.deepEqual(await outcome, { error: failure })
  })

  test('that has cancelled the token itself, too', async () => {
    const { token } = watched()
    const outcome = outcomeOf(
      token.retry(() => {
        token.cancel('from within')
        return silent()
      }),
    )
    assert.deepEqual(await outcome, { error: token.error })
  })
})

/** Options of which one throws when it is read. */
const throwing = (option: string) =>
  Object.defineProperty({}, option, {
    enumerable: true,
    get() {
      throw failure
    },
  })

describe('an option that is a getter that throws', () => {
  const options: Readonly<
    Record<string, readonly [readonly string[], (token: CancellationToken, given: object) => unknown]>
  > = {
    scope: [
      ['name', 'concurrency', 'patience', 'onStuck', 'trace', 'ambient'],
      (token, given) => scope(token, () => 1, given),
    ],
    openScope: [
      ['name', 'concurrency', 'patience', 'onStuck', 'trace', 'ambient', 'onLeave'],
      async (token, given) => void openScope(token, given),
    ],
    's.run': [['name'], (token, given) => scope(token, (s) => s.run(other, given))],
    's.map': [['name', 'concurrency'], (token, given) => scope(token, (s) => s.map([1], other, given))],
    's.any': [['hedge'], (token, given) => scope(token, (s) => s.any([other], given))],
    's.race': [['hedge'], (token, given) => scope(token, (s) => s.race([other], given))],
    retry: [
      ['attempts', 'delay', 'factor', 'maxDelay', 'jitter', 'shortest', 'when'],
      (token, given) => token.retry(other, given),
    ],
  }

  for (const [name, [names, begin]] of Object.entries(options)) {
    test(name, async () => {
      for (const option of names) {
        const { token, signal } = watched()
        assert.equal(await errorFrom(begin(token, throwing(option)) as Promise<unknown>), failure, option)
        assert.equal(signal.listeners.size, 0, `${option} leaves a listener`)
      }
    })
  }
})

describe('a callback that throws', () => {
  test('of a retry fails it', async () => {
    const callbacks: readonly RetryOptions[] = [
      {
        when: () => {
          throw failure
        },
      },
      { when: () => Promise.reject(failure) },
      {
        jitter: () => {
          throw failure
        },
      },
    ]
    for (const given of callbacks) {
      const { token, signal } = watched()
      const task = () => {
        throw new Error('the attempt has failed')
      }
      assert.equal(await errorFrom(token.retry(task, given)), failure)
      assert.equal(signal.listeners.size, 0)
    }
  })
})
