/** Two copies of the package in one process get along. Every test runs both ways. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import * as here from 'calloff'
import { anotherCopy, type Package } from './copy.js'

const copy = anotherCopy()
const there = (await import(copy)) as Package

test('the copy is another one', () => {
  assert.notEqual(there.SimpleToken, here.SimpleToken)
  assert.equal(new there.SimpleToken() instanceof here.CancellationToken, false)
})

/** What the code says in a thread of its own, or that it is still at it after some seconds. */
async function inThread(code: string): Promise<unknown> {
  const source = `const { parentPort } = await import('node:worker_threads'); const say = (what) => parentPort.postMessage(what); ${code}`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
  try {
    const patience = delay(120_000, 'still blocked', { ref: false })
    return await Promise.race([patience, once(worker, 'message').then(([said]: unknown[]) => said)])
  } finally {
    await worker.terminate()
  }
}

/** What combines tokens, by the way a token of the other copy gets in. */
const combine: Readonly<Record<string, (mine: Package, theirs: here.CancellationToken) => here.CancellationToken>> = {
  'nested in a SimpleToken': (mine, theirs) => new mine.SimpleToken(theirs),
  'nested after options': (mine, theirs) => new mine.SimpleToken({ name: 'own' }, theirs, new mine.SimpleToken()),
  'nested in a TimeoutToken': (mine, theirs) => new mine.TimeoutToken(600_000, theirs),
  'nested in a ConditionToken': (mine, theirs) => new mine.ConditionToken(() => false, theirs),
  'nested in a CounterToken': (mine, theirs) => new mine.CounterToken(1_000, {}, theirs),
  summed: (mine, theirs) => new mine.SimpleToken().plus(theirs),
  'summed by anyOf': (mine, theirs) => mine.anyOf(new mine.SimpleToken(), theirs),
  'one of allOf': (mine, theirs) => mine.allOf(theirs, new mine.SimpleToken({ cancelled: true })),
  'made ours by from()': (mine, theirs) => mine.from(theirs),
  'made ours by the signal': (mine, theirs) => mine.from(theirs.signal),
  'with a grace': (mine, theirs) => mine.from(theirs).grace(0),
  'far below': (mine, theirs) => new mine.SimpleToken(new mine.SimpleToken(mine.from(theirs))),
}

for (const [direction, mine, theirs] of [
  ['theirs in ours', here, there],
  ['ours in theirs', there, here],
] as const) {
  describe(direction, () => {
    test('a token and a scope can be inspected', async () => {
      const source = new theirs.SimpleToken({ name: 'upload' })
      const { name, state, text, call } = mine.inspect(source)
      assert.deepEqual([name, state, text, call], ['upload', 'live', "from(SimpleToken({ name: 'upload' }))", 'from'])
      source.cancel('stop')
      const { cancellation } = mine.inspect(source.view)
      assert.deepEqual([cancellation?.cancelledBy, cancellation?.reason], ['upload', 'stop'])
      assert.equal(mine.inspect(theirs.NEVER).state, 'live')
      const works = theirs.openScope(undefined, { name: 'works' })
      const task = works.run((token) => token.wait(), { name: 'load' })
      const report = mine.inspect(works)
      assert.deepEqual([report.name, report.token.name, report.isBodyRunning], ['works', 'works', undefined])
      assert.deepEqual(
        report.tasks.map((one) => one.name),
        ['load'],
      )
      works.cancel()
      await task
      await works.close()
    })

    test('the record of an error says who, how and why', () => {
      for (const name of ['upload', undefined]) {
        const source = new theirs.SimpleToken({ name }).cancel({ ticket: 7 })
        const token = new mine.SimpleToken({ name: 'part' }, source)
        for (const one of [{}, { token }, { token: source }]) {
          const {
            at: _at,
            ago: _ago,
            path,
            ...record
          } = mine.serializeCancellation(source.error, { ...one, stack: false })
          const start = name ?? 'CancellationToken'
          // Between the two is the token that stands here for theirs.
          assert.equal((path as string[] | undefined)?.[0], one.token && start)
          assert.equal((path as string[] | undefined)?.at(-1) === 'part', one.token === token)
          assert.deepEqual(record, {
            type: 'AbortError',
            name: 'AbortError',
            message: `token ${name ? `"${name}" ` : ''}was cancelled`,
            code: 'ABORT_ERR',
            kind: 'manual',
            cancelledBy: start,
            reason: { ticket: 7 },
          })
        }
      }
    })

    for (const [how, build] of Object.entries(combine)) {
      test(`a token ${how} follows its deadline, nearer, further away, off and on again, and has its reason`, async () => {
        const moves: readonly ((source: here.TimeoutToken) => unknown)[] = [
          (source) => source.restart(0),
          (source) => [source.extend(5), source.restart(0)],
          (source) => [source.disarm(), source.restart(0)],
        ]
        for (const move of moves) {
          for (const isHeard of [false, true]) {
            const source = new theirs.TimeoutToken(3_600_000, { name: 'source', reason: 'too slow' })
            const token = build(mine, source)
            const registration = isHeard ? token.onCancel(() => {}) : undefined
            source.restart(1_800_000)
            const hasDeadline = token.remaining <= 1_800_000
            source.disarm()
            assert.equal(token.cancelled, false)
            assert.ok(token.remaining >= 599_000)
            source.restart(3_000)
            // A signal does not tell a deadline.
            if (hasDeadline) assert.ok(token.remaining <= 3_000 || token.cancelled)
            move(source)
            if (!isHeard) assert.equal(source.cancelled, true) // only a poll, or a timer, aborts a signal
            const error = isHeard ? await token.wait() : token.error
            assert.equal(token.cancelled, true)
            assert.equal(error, source.error)
            assert.deepEqual([token.kind, token.reason, error?.cause], ['timeout', 'too slow', 'too slow'])
            assert.equal(registration?.stop(), isHeard ? false : undefined)
          }
        }
      })

      test(`a token ${how} ends with it, found by a poll`, () => {
        const source = new theirs.SimpleToken({ name: 'source' })
        const token = build(mine, source)
        assert.equal(token.cancelled, false)
        assert.equal(token.error, undefined)
        source.cancel('enough')
        assert.equal(token.cancelled, true)
        assert.equal(token.error, source.error)
        assert.equal(token.reason, 'enough')
        assert.equal(token.cancelledBy, source)
        assert.throws(
          () => token.check(),
          (error) => error === source.error,
        )
      })

      test(`a token ${how} ends with it, found by a read`, () => {
        const source = new theirs.SimpleToken()
        const token = build(mine, source)
        source.cancel()
        assert.equal(token.error, source.error)
        assert.equal(token.remaining, 0)
      })

      test(`a token ${how} learns of it`, async () => {
        const source = new theirs.SimpleToken()
        const token = build(mine, source)
        const heard: unknown[] = []
        token.onCancel((error) => heard.push(error))
        token.signal.addEventListener('abort', () => heard.push(token.signal.reason))
        const stopped = token.onCancel(() => heard.push('stopped'))
        assert.equal(stopped.stop(), true)
        source.cancel()
        await delay(5)
        assert.deepEqual(heard.length, 2)
        assert.ok(heard.every((error) => error === source.error))
      })

      test(`a token ${how} is waited for, slept on and raced`, async () => {
        const source = new theirs.SimpleToken()
        const token = build(mine, source)
        const wait = token.wait()
        const refused = [
          token.sleep(600_000),
          token.race(new Promise(() => {})),
          token.race((own) => own.sleep(600_000)),
        ]
        const settled = Promise.allSettled(refused)
        await delay(2)
        source.cancel()
        assert.equal(await wait, source.error)
        for (const result of await settled) assert.equal(result.status === 'rejected' && result.reason, source.error)
      })

      test(`a token ${how} that is cancelled from the start is cancelled`, () => {
        const source = new theirs.SimpleToken().cancel('before')
        const token = build(mine, source)
        assert.equal(token.cancelled, true)
        assert.equal(token.error, source.error)
      })

      test(`a token ${how} is cancelled without it`, () => {
        const source = new theirs.SimpleToken()
        const token = build(mine, source)
        token.onCancel(() => {})
        token.cancel()
        assert.deepEqual([token.cancelled, source.cancelled], [true, false])
      })
    }

    test('cancellations are recognised, without and with a token of either copy', () => {
      const source = new theirs.SimpleToken().cancel('enough')
      const token = new mine.SimpleToken(source)
      for (const { isCancellation } of [mine, theirs]) {
        assert.equal(isCancellation(source.error), true)
        assert.equal(isCancellation(source.error, source), true)
        assert.equal(isCancellation(source.error, token), true)
        assert.equal(isCancellation(new Error('wrapped', { cause: source.error }), token), true)
        assert.equal(isCancellation(source.error, new mine.SimpleToken().cancel()), false)
        assert.equal(isCancellation(source.error, new theirs.SimpleToken().cancel()), false)
        assert.equal(isCancellation(new Error('disk full'), source), false)
      }
    })

    test('a scope takes tokens and limits of the other copy, and both copies count the tasks of such a limit', async () => {
      const [one, limit] = [new theirs.SimpleToken(), new theirs.Limit(1)]
      const order: string[] = []
      const first = theirs.scope(
        async (s) => {
          void s.run((token) => token.sleep(5).then(() => order.push('first')))
        },
        { concurrency: limit },
      )
      await mine.scope(
        async (s) => {
          const dropped = s.run(() => order.push('dropped'), { token: one })
          const second = s.run(() => order.push('second'))
          assert.deepEqual([limit.running, limit.waiting], [1, 2])
          one.cancel()
          assert.equal(limit.waiting, 1)
          assert.equal(await dropped.catch((error: unknown) => error), one.error)
          await second
        },
        { concurrency: limit },
      )
      await first
      assert.deepEqual([order, limit.running], [['first', 'second'], 0])
    })

    test('limits of both copies that are taken in any order do not block each other', async () => {
      const limits = (one: Package) => Array.from({ length: 4 }, () => new one.Limit(1))
      const [ours, foreign] = [limits(mine), limits(theirs)]
      for (const [one, other] of ours.flatMap((a) => foreign.map((b) => [a, b] as const))) {
        const root = new here.SimpleToken()
        const go = new here.SimpleToken()
        const holder = (limit: here.Limit) => mine.scope(root, (s) => s.run(() => go.wait()), { concurrency: limit })
        const both = (outer: here.Limit, inner: here.Limit) =>
          mine.scope(root, (s) => s.map([1, 2], () => 'done', { concurrency: inner }), { concurrency: outer })
        const all = [holder(one), holder(other), both(one, other), both(other, one)]
        await delay(0)
        go.cancel()
        let isDone = false
        const whole = Promise.allSettled(all).then(() => (isDone = true))
        for (let turns = 0; turns < 20 && !isDone; turns++) await delay(0)
        root.cancel()
        const wasDone = isDone
        await whole
        assert.equal(wasDone, true)
      }
    })

    test('a DefaultToken of the other copy is none: it disappears as ours does', async () => {
      for (const never of [theirs.NEVER, new theirs.DefaultToken(), theirs.from(undefined)]) {
        const source = new mine.SimpleToken()
        for (const [token, text] of [
          [new mine.SimpleToken(never), 'SimpleToken()'],
          [new mine.SimpleToken({ name: 'own' }, never), "SimpleToken({ name: 'own' })"],
          [new mine.TimeoutToken(600_000, never), 'TimeoutToken(600000)'],
          [source.plus(never), 'SimpleToken(SimpleToken())'],
          [mine.anyOf(never, source), 'SimpleToken(SimpleToken())'],
          [mine.from(never), 'DefaultToken()'],
        ] as const) {
          assert.equal(String(token), text)
          assert.equal(token.cancelled, false)
        }
        assert.ok(mine.from(never) instanceof mine.DefaultToken)
        assert.equal(mine.from(never), mine.from(never))
        assert.deepEqual([mine.from(never).canBeCancelled, mine.anyOf(never).canBeCancelled], [false, true])
        const all = mine.allOf(never, new mine.SimpleToken().cancel())
        assert.equal(all.cancelled, false)
        assert.throws(() => mine.from(never).cancel(), { code: 'ERR_IMPOSSIBLE_CANCEL' })
        assert.equal(await mine.from(never).race(async () => 'won'), 'won')
        assert.equal(await mine.scope(never, () => 'done'), 'done')
        assert.deepEqual(mine.toHeaders(never), mine.toHeaders(mine.NEVER))
      }
    })

    test('the kind of error comes through, and what cannot end is no cancellation', () => {
      const counter = new theirs.CounterToken(0)
      const { error } = new mine.SimpleToken(counter)
      assert.equal(error, counter.error)
      assert.deepEqual([error?.kind, error?.name], ['counter', 'AbortError'])
      assert.throws(
        () => theirs.NEVER.cancel(),
        (thrown) => !mine.isCancellation(thrown),
      )
    })

    test('a deadline of the other copy ends a token by itself, and says what is left', async () => {
      const token = new mine.SimpleToken(new theirs.TimeoutToken(30))
      assert.ok(token.remaining > 0 && token.remaining <= 30, `${token.remaining}`)
      const error = await token.wait()
      assert.deepEqual([error.kind, error.name], ['timeout', 'TimeoutError'])
      assert.equal(new mine.SimpleToken(new theirs.TimeoutToken(20)).waitSync().kind, 'timeout')
    })

    test('a read neither consumes a counter nor calls a condition of the other copy', () => {
      let calls = 0
      const counter = new theirs.CounterToken(3, { direct: false })
      const condition = new theirs.ConditionToken(() => ++calls > 3)
      const token = mine.anyOf(counter, condition)
      const looks = [token.error, token.reason, token.cancelledBy, token.remaining, String(token)]
      assert.equal(looks.length, 5)
      mine.isCancellation(new Error('none'), token)
      token.onCancel(() => {}).stop()
      assert.deepEqual([counter.counter, calls], [3, 0])
    })

    test('a poll is an indirect one for the other copy', () => {
      const direct = new theirs.CounterToken(3)
      const indirect = new theirs.CounterToken(3, { direct: false })
      const token = mine.anyOf(direct, indirect)
      let turns = 0
      while (turns < 10 && token.keepOn()) turns++
      assert.deepEqual([turns, direct.counter, indirect.counter], [3, 3, 0])
      assert.equal(token.error?.kind, 'counter')
    })

    test('one poll asks the other copy once, however many ways lead to it', () => {
      const counter = new theirs.CounterToken(5, { direct: false })
      const token = mine.allOf(new mine.SimpleToken(counter), mine.anyOf(counter, new mine.SimpleToken()))
      assert.equal(token.cancelled, false)
      assert.equal(counter.counter, 4)
    })

    test('a condition of the other copy is asked by polls, and by itself while it has a listener', async () => {
      let over = false
      const condition = new theirs.ConditionToken(() => over, { pollEvery: 1 })
      const token = new mine.SimpleToken(condition)
      assert.equal(token.cancelled, false)
      const wait = token.wait()
      over = true
      assert.equal((await wait).kind, 'condition')
    })

    test('a condition of the other copy without caching keeps its kind', () => {
      const condition = new theirs.ConditionToken(() => true, { caching: false })
      const token = new mine.SimpleToken(condition)
      assert.equal(token.cancelled, true)
      assert.equal(token.error?.kind, 'condition')
    })

    test('a thread may block on what the other copy polls', () => {
      const end = performance.now() + 30
      const condition = new theirs.ConditionToken(() => performance.now() > end)
      assert.equal(new mine.SimpleToken(condition).waitSync({ step: 5, timeout: 5_000 }).kind, 'condition')
      const counter = new theirs.CounterToken(3, { direct: false })
      assert.equal(new mine.SimpleToken(counter).waitSync({ step: 1 }).kind, 'counter')
    })

    test('a thread does not block on a token that nothing could cancel', async () => {
      // In a thread that can be ended from here, should it.
      const addresses = [import.meta.resolve('calloff'), copy]
      if (mine === there) addresses.reverse()
      const said = await inThread(`
        const [mine, theirs] = await Promise.all(${JSON.stringify(addresses)}.map((one) => import(one)))
        try {
          new mine.SimpleToken(new theirs.SimpleToken()).waitSync()
        } catch (error) {
          say(error.name)
        }`)
      assert.equal(said, 'TypeError')
    })

    test('a condition of the other copy that throws reaches who polls', () => {
      const broken = (): boolean => {
        throw new Error('the condition broke')
      }
      const token = new mine.SimpleToken(new theirs.ConditionToken(broken, { suppressExceptions: false }))
      assert.throws(() => token.cancelled, /the condition broke/)
      assert.equal(token.error, undefined)
    })

    test('what never ends never ends a token of the other copy', () => {
      const token = new mine.SimpleToken(theirs.NEVER)
      assert.equal(token.cancelled, false)
      assert.equal(mine.from(theirs.NEVER).remaining, Infinity)
      assert.equal(mine.from(theirs.NEVER).cancelled, false)
    })

    test('a listener is in the list of the other copy while there are listeners, once for all of them', () => {
      const source = new theirs.SimpleToken()
      let added = 0
      let stopped = 0
      const onCancel = source.onCancel.bind(source)
      source.onCancel = (listener) => {
        added++
        const registration = onCancel(listener)
        const stop = (): boolean => {
          stopped++
          return registration.stop()
        }
        return { stop, [Symbol.dispose]: () => void stop() }
      }
      const registrations = Array.from({ length: 100 }, () => new mine.SimpleToken(source).onCancel(() => {}))
      assert.deepEqual([added, stopped], [1, 0])
      for (const registration of registrations) registration.stop()
      assert.deepEqual([added, stopped], [1, 1])
    })

    test('a signal goes back and forth between the copies with the same reason', () => {
      const root = new theirs.SimpleToken()
      const back = theirs.from(mine.from(theirs.from(root.signal).signal).signal)
      const composite = AbortSignal.any([back.signal])
      root.cancel('enough')
      assert.equal(composite.reason, root.error)
      assert.equal(back.error, root.error)
      assert.equal(mine.from(composite).error, root.error)
      assert.equal(getEventListeners(root.signal, 'abort').length, 0)
    })

    test('dispose and race in one copy read as such in the other', async () => {
      const source = new theirs.SimpleToken()
      const token = new mine.SimpleToken(source)
      let own: here.CancellationToken | undefined
      await source.race((given) => {
        own = new mine.SimpleToken(given)
      })
      assert.equal(own?.error?.kind, 'race')
      source[Symbol.dispose]()
      assert.equal(token.error?.kind, 'dispose')
    })

    test('a token of the other copy prints with its own text', () => {
      const source = new theirs.SimpleToken({ name: 'server' }, new theirs.TimeoutToken(5_000))
      const token = new mine.SimpleToken(source)
      assert.match(String(token), /SimpleToken\(.*SimpleToken\(.*'server'.*TimeoutToken\(5000\)/)
      source.cancel('enough')
      assert.match(token.error?.message ?? '', /"server".*enough/)
    })

    test('neither copy clones', () => {
      const token = new mine.SimpleToken(new theirs.SimpleToken())
      assert.throws(() => structuredClone(token), { name: 'DataCloneError' })
    })
  })
}
