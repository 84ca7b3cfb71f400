/** A scope, a retry, and a call of which the latest counts, leave nothing behind on a token that lives long, however they end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type CancellationToken,
  isCancellation,
  latest,
  Limit,
  openScope,
  type Scope,
  scope,
  SimpleToken,
} from 'calloff'
import { FLAT, FLAT_SIGNAL, leaves } from './collect.js'
import { share } from '../effort.js'
import { delay, nothing } from './lost.js'

const boom = new Error('boom')
const fail = () => {
  throw boom
}
const refused = (error: unknown): void => assert.ok(error === boom || isCancellation(error), String(error))

/** In a scope that is cancelled once the body has begun. */
const calledOff = (parent: CancellationToken, body: (s: Scope) => unknown, options = {}) => {
  const token = new SimpleToken(parent)
  const whole = scope(token, body, options).catch(refused)
  token.cancel()
  return whole
}

const shared = new Limit(1)

const uses: Readonly<Record<string, (parent: CancellationToken) => Promise<unknown>>> = {
  'a scope with nothing to do': (parent) => scope(parent, nothing),
  'a scope whose tasks succeed': (parent) => scope(parent, (s) => Promise.all([s.run(async () => 1), s.run(() => 2)])),
  'a scope with a work that fails': (parent) =>
    scope(parent, (s) => {
      void s.run((token) => token.sleep(60_000))
      void s.run(fail)
    }).catch(refused),
  'a scope whose tasks listen, and never stop to': (parent) =>
    scope(parent, (s) => {
      s.token.onCancel(nothing)
      return s.run((token) => void token.onCancel(nothing))
    }),
  'a scope that is cancelled': (parent) => calledOff(parent, (s) => s.run((token) => token.wait())),
  'a scope that is cancelled while works wait for their turn': (parent) =>
    calledOff(parent, (s) => [s.run((token) => token.wait()), s.run(nothing), s.run(nothing)], { concurrency: 1 }),
  'a scope whose tasks have waited for their turn': (parent) =>
    scope(parent, (s) => Promise.all([s.run(async () => 1), s.run(() => 2)]), { concurrency: 1 }),
  'a scope with patience': (parent) => scope(parent, (s) => s.run(async () => 1), { stuckAfter: 60_000 }),
  'a scope with patience that is cancelled': (parent) =>
    calledOff(parent, (s) => s.run((token) => token.wait()), { stuckAfter: 60_000 }),
  'a map': (parent) => scope(parent, (s) => s.map([1, 2, 3], async (item) => item, { concurrency: 2 })),
  'a map that is cancelled': (parent) => calledOff(parent, (s) => s.map([1, 2, 3], (_item, token) => token.wait())),
  'a task with a token of its own': (parent) => scope((s) => s.run(async () => 1, { token: parent })),
  'a task with a token of its own that is cancelled': (parent) =>
    scope((s) => {
      const one = new SimpleToken(parent)
      const cancelled = s.run((token) => token.wait(), { token: one })
      one.cancel()
      return cancelled
    }),
  'a task that is dropped by its own token while it waits': (parent) =>
    scope(
      async (s) => {
        const one = new SimpleToken(parent)
        const first = s.run((token) => token.sleep(0), { token: parent })
        s.run(nothing, { token: one }).catch(refused)
        one.cancel()
        await first
      },
      { concurrency: 1 },
    ),
  'a task whose failure is survived': (parent) => scope(parent, (s) => s.run(fail, { survive: true }).catch(refused)),
  'a task that is ready, and runs on': (parent) =>
    scope(parent, async (s) => {
      await s.start((token, ready) => (ready(), token.wait()))
      s.cancel()
    }),
  'a map with a token of its own': (parent) => scope((s) => s.map([1, 2], async (item) => item, { token: parent })),
  'a loop over a stream': (parent) =>
    scope(parent, async (s) => {
      for await (const _ of s.stream([1, 2, 3], async (item) => item, { concurrency: 2, token: parent }));
    }),
  'a loop over a stream that is left': (parent) =>
    scope(parent, async (s) => {
      for await (const _ of s.stream([1, 2, 3], async (item) => item, { concurrency: 2, token: parent })) break
    }),
  'a scope under a limit that lives long': (parent) =>
    scope(parent, (s) => s.map([1, 2, 3], async (item) => item), { concurrency: shared }),
  'a scope under a limit that lives long, cancelled while its tasks wait': (parent) =>
    calledOff(parent, (s) => [s.run((token) => token.wait()), s.run(nothing), s.run(nothing)], { concurrency: shared }),
  'works that compete': (parent) => scope(parent, (s) => s.any<unknown>([async () => 1, (token) => token.wait()])),
  'works that compete, with a delay between them': (parent) =>
    scope(parent, (s) => s.race<unknown>([async () => 1, (token) => token.wait()], { hedge: 60_000 })),
  'works of which all outcomes are collected': (parent) => scope(parent, (s) => s.allSettled([() => 1, fail])),
  'an open scope': async (parent) => {
    await using s = openScope(parent)
    void s.run(async () => 1)
  },
  'a scope whose tasks use signals': (parent) =>
    scope(parent, (s) => s.run(({ signal }) => signal.addEventListener('abort', nothing, { once: true }))),
  'a scope whose work is cancelled by a signal': (parent) =>
    calledOff(parent, (s) => s.run((token) => delay(60_000, token.signal))),
  'a retry that succeeds': (parent) => parent.retry(async () => 1),
  'a retry that tries again': (parent) =>
    parent.retry(
      (token, attempt) => {
        if (attempt > 1) return
        token.onCancel(nothing) // and never stops to
        throw boom
      },
      { delay: 0 },
    ),
  'a retry with a delay that follows from the failure, and a when that waits': (parent) =>
    parent.retry(async (_, attempt) => (attempt > 1 ? 1 : Promise.reject(boom)), {
      delay: () => 0,
      when: (_error, _attempt, token) => token.checkpoint().then(() => true),
    }),
  'a retry whose when never answers': (parent) => {
    const token = new SimpleToken(parent)
    const when = () => {
      token.cancel()
      return new Promise<never>(nothing)
    }
    return token.retry(fail, { when }).catch(refused)
  },
  'a retry that is cancelled': (parent) => {
    const token = new SimpleToken(parent)
    const whole = token.retry(fail, { delay: 60_000 }).catch(refused)
    token.cancel()
    return whole
  },
}

for (const [what, begin] of Object.entries(uses)) {
  test(`${what} leaves nothing on a token that lives long`, async () => {
    const usesSignal = what.includes('signal')
    const parent = usesSignal ? new SimpleToken() : new SimpleToken(new SimpleToken())
    // Half of them make errors, so these are fewer than elsewhere, and the noise is more; a token that is left has 72 bytes.
    await leaves(usesSignal ? FLAT_SIGNAL : 2 * FLAT, 4_000, () => begin(parent), 2_000)
  })
}

// A million in CI.
const many = share(1_000_000)
test(`${many} tasks of one scope leave it flat`, async () => {
  const s = openScope(new SimpleToken(), { trace: false })
  await leaves(1e6 / many, many, () => s.run(async () => 1))
  await s.close()
})

test('tasks that wait for their turn leave nothing on a scope that lives long', async () => {
  const s = openScope(new SimpleToken(), { concurrency: 10 })
  await leaves(FLAT, 50_000, () => s.run(async () => 1))
  await s.close()
})

const uses100k = share(100_000)
for (const wait of [true, false]) {
  test(`${uses100k} calls of which the latest counts leave nothing, { wait: ${wait} }`, async () => {
    const run = latest((token, _key: number) => token.sleep(60_000), {
      token: new SimpleToken(),
      key: (key) => key % 100,
      wait,
    })
    let key = 0
    await leaves(2 * FLAT, uses100k, () => void run(key++))
    run.cancel()
  })
}

test('calls with keys of their own, that succeed, leave nothing', async () => {
  const run = latest(async (_token, key: object) => key, { token: new SimpleToken(), key: (key) => key })
  await leaves(FLAT, uses100k, () => run({}))
})

test('tasks that are dropped while they wait leave nothing in the queue behind a task that never ends', async () => {
  const limit = new Limit(1)
  const root = new SimpleToken()
  const s = openScope(root, { concurrency: limit })
  void s.run((token) => token.wait())
  await leaves(FLAT, 50_000, () => {
    const one = new SimpleToken()
    const dropped = s.run(nothing, { token: one }).catch(refused)
    one.cancel()
    return dropped
  })
  root.cancel()
  await s.close().catch(refused)
})

test('a stream without an end is worked off in constant memory', async () => {
  function* numbers() {
    for (let n = 0; ; n++) yield n
  }
  for (const ordered of [false, true]) {
    const s = openScope(new SimpleToken())
    const results = s.stream(numbers(), async (n) => n, { concurrency: 4, ordered })[Symbol.asyncIterator]()
    await leaves(FLAT, 50_000, () => results.next())
    await results.return?.()
    await s.close()
  }
})
