import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Limit, openScope, type Scope, scope, SimpleToken } from 'calloff'
import { rejection, turn } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')

/** Counts how many run at once. */
function counter() {
  let running = 0
  const self = {
    most: 0,
    work: async () => {
      self.most = Math.max(self.most, ++running)
      await turn()
      running--
    },
  }
  return self
}

describe('a limit that scopes share', () => {
  test('lets so many of their tasks run at once, in the order in which they came', async () => {
    const limit = new Limit(2)
    const puppets = Array.from({ length: 6 }, () => puppet())
    const log: number[] = []
    const run = (s: Scope, i: number) => s.run((token) => (log.push(i), puppets[i]?.work(token)))
    const [a, b] = [openScope(undefined, { concurrency: limit }), openScope(undefined, { concurrency: limit })]
    puppets.forEach((_, i) => void run(i % 3 ? a : b, i))
    assert.deepEqual([log, limit.running, limit.waiting, limit.max], [[0, 1], 2, 4, 2])
    for (let i = 0; i < 6; i++) {
      puppets[i]?.resolve(0)
      await turn()
      assert.deepEqual(log, [0, 1, 2, 3, 4, 5].slice(0, i + 3))
    }
    await Promise.all([a.close(), b.close()])
    assert.deepEqual([limit.running, limit.waiting], [0, 0])
  })

  test('holds for a map and for a stream of a scope, beside the limit of the scope', async () => {
    for (const of of [1, 2, 3]) {
      const limit = new Limit(2)
      const seen = counter()
      await scope(
        async (s) => {
          const other = s.map(Array.from({ length: 9 }), seen.work, { concurrency: limit })
          for await (const _ of s.stream(Array.from({ length: 9 }), seen.work, { concurrency: limit }));
          await other
        },
        { concurrency: of },
      )
      assert.equal(seen.most, Math.min(of, 2))
      assert.equal(limit.running, 0)
    }
  })

  test('given twice, to the scope and to its map, a task needs one place', async () => {
    const limit = new Limit(1)
    const sizes = await scope((s) => s.map(['a', 'bb'], (text) => text.length, { concurrency: limit }), {
      concurrency: limit,
    })
    assert.deepEqual(sizes, [1, 2])
  })

  test('two limits that are taken in any order do not block each other', async () => {
    const [one, other] = [new Limit(1), new Limit(1)]
    const [first, second] = [puppet(), puppet()]
    const holders = [
      scope((s) => s.run(first.work), { concurrency: one }),
      scope((s) => s.run(second.work), { concurrency: other }),
    ]
    const both = [
      scope((s) => s.map([1, 2, 3], () => turn(), { concurrency: one }), { concurrency: other }),
      scope((s) => s.map([1, 2, 3], () => turn(), { concurrency: other }), { concurrency: one }),
    ]
    await turn()
    first.resolve(0)
    second.resolve(0)
    await Promise.all([...holders, ...both])
    assert.deepEqual([one.running, other.running], [0, 0])
  })

  test('a task that waits for its own scope has no place that other scopes could use', async () => {
    const limit = new Limit(2)
    const holder = puppet()
    const one = scope(
      (s) => Promise.all([1, 2].map((n) => s.map([n], (_n, token) => holder.work(token), { concurrency: limit }))),
      {
        concurrency: 1,
      },
    )
    await turn()
    assert.deepEqual([limit.running, limit.waiting], [1, 0])
    assert.equal(await scope((s) => s.run(() => 'free'), { concurrency: limit }), 'free')
    holder.resolve(0)
    await one
  })

  test('a task does not overtake those that wait, also where a place has just become free', async () => {
    const [one, other] = [new Limit(2), new Limit(1)]
    const root = new SimpleToken()
    const [holder, first] = [puppet(), puppet()]
    const busy = scope((s) => s.run(holder.work), { concurrency: other })
    const cancelled = scope(root, (s) => s.map([1], () => assert.fail('started'), { concurrency: other }), {
      concurrency: one,
    })
    const order: string[] = []
    await turn()
    const whole = scope(
      (s) => {
        void s.run(first.work)
        void s.run(() => {
          root.cancel() // the task that waits for its second place gives back the first
          void s.run(() => order.push('last'))
        })
        void s.run(() => order.push('next'))
      },
      { concurrency: one },
    )
    await turn()
    assert.deepEqual([one.running, one.waiting, other.waiting], [2, 2, 1])
    first.resolve(0)
    await whole
    assert.deepEqual(order, ['next', 'last'])
    assert.equal(await rejection(cancelled), root.error)
    holder.resolve(0)
    await busy
  })

  test('a task that waits for its second place, and is cancelled, gives back the first', async () => {
    const [one, other] = [new Limit(1), new Limit(1)]
    const root = new SimpleToken()
    const holder = puppet()
    const busy = scope((s) => s.run(holder.work), { concurrency: other })
    const whole = scope(root, (s) => s.map([1], () => assert.fail('started'), { concurrency: other }), {
      concurrency: one,
    })
    await turn()
    assert.deepEqual([one.running, other.waiting], [1, 1])
    root.cancel()
    assert.deepEqual([one.running, other.waiting], [0, 0])
    assert.equal(await rejection(whole), root.error)
    holder.resolve(0)
    await busy
  })

  test('tasks that are cancelled while they make room for each other are not started', async () => {
    const [one, other] = [new Limit(1), new Limit(1)]
    const root = new SimpleToken()
    const holder = puppet()
    const busy = scope((s) => s.run(holder.work), { concurrency: other })
    const whole = scope(
      root,
      async (s) => {
        void s.map([1], () => assert.fail('started'), { concurrency: other })
        await turn()
        for (let i = 0; i < 3; i++) void s.run(() => assert.fail('started'))
      },
      { concurrency: one },
    )
    await turn()
    await turn()
    assert.deepEqual([one.running, one.waiting, other.waiting], [1, 3, 1])
    root.cancel()
    assert.deepEqual([one.running, one.waiting, other.waiting], [0, 0, 0])
    assert.equal(await rejection(whole), root.error)
    holder.resolve(0)
    await busy
  })

  test('a task that waits for both, one after the other, is started once', async () => {
    const [one, other] = [new Limit(1), new Limit(1)]
    const [first, second] = [puppet(), puppet()]
    const a = scope((s) => s.run(first.work), { concurrency: one })
    const b = scope((s) => s.run(second.work), { concurrency: other })
    let started = 0
    const both = scope((s) => s.map([1], () => ++started, { concurrency: other }), { concurrency: one })
    await turn()
    first.resolve(0)
    await turn()
    assert.deepEqual([one.running, other.waiting, started], [1, 1, 0])
    second.resolve(0)
    await Promise.all([a, b, both])
    assert.equal(started, 1)
  })

  test('a scope that is cancelled, or fails, takes its waiting tasks out of the queue at once', async () => {
    const limit = new Limit(1)
    const busy = puppet()
    const [a, b] = [openScope(undefined, { concurrency: limit }), openScope(undefined, { concurrency: limit })]
    void a.run(busy.work)
    for (let i = 0; i < 3; i++) void b.run(() => assert.fail('started'))
    const last = a.run(() => 'last')
    assert.equal(limit.waiting, 4)
    b.cancel()
    assert.equal(limit.waiting, 1)
    busy.resolve(0)
    assert.equal(await last, 'last')
    await b.close()
    const failing = scope(
      (s) => {
        void s.run(() => Promise.reject(boom))
        void s.run(() => assert.fail('started'))
      },
      { concurrency: limit },
    )
    assert.equal(await rejection(failing), boom)
    assert.deepEqual([limit.running, limit.waiting], [0, 0])
    await a.close()
  })

  test('a task that fails at once gives its place back', async () => {
    const limit = new Limit(1)
    const failing = scope((s) => s.allSettled([() => Promise.reject(boom), () => 1]), { concurrency: limit })
    assert.equal((await failing)[1].status, 'fulfilled')
    assert.equal(limit.running, 0)
  })

  test('a long wait for a place, given up by many, keeps none of them in the queue', async () => {
    const limit = new Limit(1)
    const busy = puppet()
    await using s = openScope(undefined, { concurrency: limit })
    void s.run(busy.work)
    for (let i = 0; i < 1_000; i++) {
      const one = new SimpleToken()
      void s.run(() => assert.fail('started'), { token: one })
      one.cancel()
      assert.deepEqual([limit.waiting, s.unfinished().length], [0, 1])
    }
    busy.resolve(0)
  })

  test('works behind a proxy, and is the same limit there', async () => {
    const limit = new Limit(1)
    // As that of a reactive object: its methods are called on the proxy.
    const proxy = new Proxy(limit, { get: (target, key, receiver) => Reflect.get(target, key, receiver) as unknown })
    const seen = counter()
    await Promise.all([
      scope((s) => s.map([1, 2, 3], seen.work, { concurrency: limit }), { concurrency: proxy }),
      scope((s) => s.map([1, 2, 3], seen.work, { concurrency: proxy })),
    ])
    assert.deepEqual([seen.most, proxy.running, proxy.waiting, proxy.max], [1, 0, 0, 1])
  })

  test('a nested scope with a limit of its own, or with none, is not blocked', async () => {
    const limit = new Limit(1)
    const inner = await scope((s) => s.run((token) => scope(token, (nested) => nested.run(() => 42))), {
      concurrency: limit,
    })
    assert.equal(inner, 42)
  })

  test('a nested scope under the same limit waits for ever, until it is cancelled', async () => {
    const limit = new Limit(1)
    const root = new SimpleToken()
    const stuck = scope(
      root,
      (s) => s.run((token) => scope(token, (nested) => nested.run(() => 42), { concurrency: limit })),
      { concurrency: limit },
    )
    await turn()
    assert.deepEqual([limit.running, limit.waiting], [1, 1])
    root.cancel()
    assert.equal(await rejection(stuck), root.error)
    assert.deepEqual([limit.running, limit.waiting], [0, 0])
  })

  test('without an end it lets all run', async () => {
    const limit = new Limit(Infinity)
    await scope((s) => void [s.run(patient), s.run(patient), s.cancel()], { concurrency: limit })
    assert.equal(limit.running, 0)
  })

  test('a bad one is refused by name', async () => {
    for (const [make, message] of [
      [() => new Limit(0), /^RangeError: max must be a whole number of at least 1, got 0$/],
      [() => new Limit(1.5), /^RangeError: max must be a whole number/],
      [() => new Limit('2' as never), /^TypeError: max must be a number, got "2"$/],
      [() => new (Limit as unknown as new () => Limit)(), /^TypeError: max must be a number, got undefined$/],
    ] as const) {
      assert.throws(make, message)
    }
    const no = await rejection(scope(() => 1, { concurrency: {} as never }))
    assert.match(String(no), /^TypeError: concurrency must be a number or a Limit, got \[object Object\]$/)
  })
})
