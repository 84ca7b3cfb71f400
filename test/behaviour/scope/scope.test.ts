import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CANCELLED,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  NEVER,
  type Scope,
  scope,
  ScopeClosedError,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, OtherSignal, rejection, stateOf, turn } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')
const bang = new Error('bang')
const fails = (error: unknown) => async () => {
  throw error
}

describe('a scope waits for what it has started', () => {
  test('it gives what the body returns', async () => {
    assert.equal(await scope(async (s) => (await s.run(async () => 20)) + (await s.run(() => 22))), 42)
    assert.equal(await scope(() => 'at once'), 'at once')
  })

  test('leaving the body waits for tasks that no caller awaits', async () => {
    const slow = puppet()
    const whole = scope((s) => {
      void s.run(slow.work)
      return 'done'
    })
    assert.equal(await stateOf(whole), 'pending')
    slow.resolve(1)
    assert.equal(await whole, 'done')
  })

  test('works can start works, while the scope waits as well', async () => {
    const [outer, inner] = [puppet(), puppet()]
    const log: string[] = []
    const whole = scope((s) => {
      void s.run(async (token) => {
        await outer.work(token)
        void s.run(inner.work).then(() => log.push('inner'))
      })
    })
    outer.resolve(0)
    assert.equal(await stateOf(whole), 'pending')
    inner.resolve(0)
    await whole
    assert.deepEqual(log, ['inner'])
  })

  test('a work is started within the call, with a token of its own below that of the scope', async () => {
    const root = new SimpleToken({ name: 'root' })
    await scope(root, async (s) => {
      const seen: CancellationToken[] = []
      void s.run((token) => seen.push(token))
      void s.run((token) => seen.push(token))
      assert.equal(seen.length, 2)
      assert.notEqual(seen[0], seen[1])
      assert.ok(!seen.includes(s.token) && s.token !== root)
      seen[0]?.cancel('alone')
      assert.deepEqual([s.token.cancelled, seen[1]?.cancelled, root.cancelled], [false, false, false])
      s.cancel()
      assert.equal(seen[1]?.cancelled, true)
      assert.equal(root.cancelled, false)
    })
  })

  test('afterwards its token is cancelled, so that nothing is linked to it; the one above lives', async () => {
    const root = new SimpleToken()
    let tokens: CancellationToken[] = []
    await scope(root, async (s) => {
      tokens = [s.token, await s.run((token) => token)]
      assert.deepEqual(
        tokens.map((token) => token.cancelled),
        [false, false],
      )
    })
    assert.deepEqual(
      tokens.map((token) => token.kind),
      ['dispose', 'dispose'],
    )
    assert.equal(root.cancelled, false)
  })

  test('scopes nest, and the inner one is over first', async () => {
    const log: string[] = []
    await scope(async (s) => {
      await s.run((token) =>
        scope(token, (inner) => {
          void inner.run(async (own) => {
            await own.sleep(1)
            log.push('inner')
          })
        }),
      )
      log.push('outer')
    })
    assert.deepEqual(log, ['inner', 'outer'])
  })
})

describe('a failure', () => {
  test('cancels the siblings, and is thrown when all have settled', async () => {
    const slow = puppet()
    const seen: CancellationError[] = []
    const whole = scope((s) => {
      void s.run(slow.work)
      void s.run((token) => token.wait().then((error) => seen.push(error)))
      void s.run(fails(boom))
    })
    assert.equal(await stateOf(whole), 'pending')
    assert.equal(seen[0]?.kind, 'sibling')
    assert.equal(seen[0]?.cause, boom)
    assert.equal(slow.token?.error, seen[0])
    slow.resolve(1)
    assert.equal(await rejection(whole), boom)
  })

  test('of the body counts like that of a work', async () => {
    let sibling: CancellationToken | undefined
    const failing = scope((s) => {
      void s.run((token) => {
        sibling = token
        return patient(token)
      })
      throw boom
    })
    assert.equal(await rejection(failing), boom)
    assert.equal(sibling?.kind, 'sibling')
    assert.equal(sibling.reason, boom)
    assert.equal(await rejection(scope(fails(bang))), bang)
  })

  test('thrown at once by a work keeps the next one from being started', async () => {
    let started = false
    const failing = scope((s) => {
      void s.run(() => {
        throw boom
      })
      void s.run(() => (started = true))
    })
    assert.equal(await rejection(failing), boom)
    assert.equal(started, false)
  })

  test('that the body passes on is one failure, not two', async () => {
    assert.equal(await rejection(scope((s) => s.run(fails(boom)))), boom)
    assert.equal(await rejection(scope((s) => Promise.all([s.run(patient), s.run(fails(boom))]))), boom)
  })

  test('that is wrapped stands for what it wraps', async () => {
    const wrapped = new Error('loading failed', { cause: new Error('again', { cause: boom }) })
    const failing = scope((s) =>
      s.run(fails(boom)).catch(() => {
        throw wrapped
      }),
    )
    assert.equal(await rejection(failing), wrapped)
    // A cancellation that is told beside a failure has the first one as its reason, which is not to hide it.
    const beside = await rejection(
      scope((s) => {
        void s.run((token) => token.wait().then((error) => Promise.reject(new AggregateError([bang, error]))))
        void s.run(fails(boom))
      }),
    )
    assert.deepEqual(
      (beside as AggregateError).errors.map((one: unknown) => (one instanceof AggregateError ? one.errors[0] : one)),
      [boom, bang],
    )
    const both = await rejection(scope((s) => Promise.any([s.run(fails(boom)), s.run(fails(bang))])))
    assert.ok(both instanceof AggregateError)
    assert.deepEqual(both.errors, [boom, bang])
  })

  test('of several works is one AggregateError, in the order of time', async () => {
    const [first, second, third] = [puppet(), puppet(), puppet()]
    const whole = scope(
      (s) => {
        for (const { work } of [first, second, third]) void s.run(work)
      },
      { name: 'sync' },
    )
    second.reject(boom)
    await turn()
    third.reject(undefined)
    await turn()
    first.reject(bang)
    const error = await rejection(whole)
    assert.ok(error instanceof AggregateError)
    assert.deepEqual(error.errors, [boom, undefined, bang])
    assert.equal(error.message, '3 tasks have failed in scope "sync", first: boom')
    assert.equal(isCancellation(error), false)
  })

  test('may be anything', async () => {
    const odd = [undefined, null, 0, 'text', Object.create(null), Symbol('odd')]
    for (const value of odd) assert.equal(await rejection(scope((s) => s.run(fails(value)))), value)
    const proxy = new Proxy(
      {},
      {
        get() {
          throw boom
        },
      },
    )
    const all = await rejection(
      scope((s) => {
        for (const value of [proxy, new Proxy(proxy, {}), boom]) void s.run(fails(value))
      }),
    )
    assert.deepEqual((all as AggregateError).errors.length, 3)
    assert.match((all as AggregateError).message, /^3 tasks have failed, first: something that has no text$/)
  })

  test('that the caller has caught still counts; within the work it is none', async () => {
    const caught = scope(async (s) => {
      await s.run(fails(boom)).catch(() => 'never mind')
      return 'fine'
    })
    assert.equal(await rejection(caught), boom)
    assert.equal(await scope((s) => s.run(() => fails(boom)().catch(() => 'never mind'))), 'never mind')
  })

  test('is what the promise of its work is rejected with, and needs no handler', async () => {
    const heard: unknown[] = []
    const failing = scope((s) => {
      void s.run(fails(boom))
      s.run(fails(bang)).catch((error: unknown) => heard.push(error))
    })
    assert.deepEqual(((await rejection(failing)) as AggregateError).errors, [boom, bang])
    assert.deepEqual(heard, [bang])
  })
})

describe('what is no failure', () => {
  test('a work that ends with the cancellation of its own token, whatever it makes of the error', async () => {
    const abort = Object.assign(new Error('The operation was aborted'), { name: 'AbortError' })
    const whole = scope((s) => {
      void s.run(patient)
      void s.run((token) => token.wait().then(() => Promise.reject(abort))) // a library that drops the reason
      void s.run((token) => token.wait().then((cause) => Promise.reject(new Error('query failed', { cause }))))
      void s.run(async (token) => {
        token.cancel('nothing to do')
        token.check()
      })
      void s.run(fails(boom))
    })
    assert.equal(await rejection(whole), boom)
  })

  test('but the cancellation of any other token is', async () => {
    const other = CANCELLED.error
    assert.equal(await rejection(scope((s) => s.run(fails(other)))), other)
    const both = await rejection(
      scope((s) => {
        void s.run(fails(boom))
        void s.run(fails(other))
      }),
    )
    assert.deepEqual((both as AggregateError).errors, [boom, other])
    const abort = new DOMException('aborted', 'AbortError')
    assert.equal(await rejection(scope((s) => s.run(fails(abort)))), abort, 'its token is not cancelled')
  })

  test('and so is a work that has called itself off, for a body that needs it', async () => {
    const error = (await rejection(
      scope((s) =>
        s.run(async (token) => {
          token.cancel('given up')
          token.check()
        }),
      ),
    )) as CancellationError
    assert.equal(error.cause, 'given up')
  })
})

describe('a cancellation from outside', () => {
  test('reaches all works, and is thrown when they have settled', async () => {
    const root = new SimpleToken()
    const slow = puppet()
    const whole = scope(root, async (s) => {
      void s.run(slow.work)
      await s.run(patient)
    })
    root.cancel('the client has left')
    assert.equal(slow.token?.error, root.error)
    assert.equal(await stateOf(whole), 'pending')
    slow.resolve(1)
    assert.equal(await rejection(whole), root.error)
  })

  test('drops what the body has returned', async () => {
    const root = new SimpleToken()
    const slow = puppet()
    const whole = scope(root, (s) => {
      void s.run(slow.work)
      return 'half of it'
    })
    root.cancel()
    slow.resolve(1)
    assert.equal(await rejection(whole), root.error)
  })

  test('after it is over is none of its business', async () => {
    const root = new SimpleToken()
    const whole = scope(root, (s) => s.run(() => 5))
    await turn()
    root.cancel()
    assert.equal(await whole, 5)
  })

  test('keeps the body from being called', async () => {
    let called = false
    for (const token of [CANCELLED, new TimeoutToken(0), AbortSignal.abort(boom)]) {
      const error = await rejection(scope(token, () => (called = true)))
      assert.ok(isCancellation(error))
      if (token instanceof SimpleToken) assert.equal(error, token.error)
    }
    assert.equal(called, false)
  })

  test('hides no failure: what has failed before or since is thrown, since the token still tells of the rest', async () => {
    const root = new SimpleToken()
    const slow = puppet()
    const whole = scope(root, (s) => {
      void s.run(slow.work)
      return s.run(patient)
    })
    root.cancel()
    slow.reject(boom)
    assert.equal(await rejection(whole), boom)

    const late = new SimpleToken()
    const ended = puppet()
    const failed = scope(late, (s) => {
      void s.run(fails(boom))
      void s.run(ended.work)
    })
    await turn()
    late.cancel()
    ended.resolve(0)
    assert.equal(await rejection(failed), boom)
  })

  test('starts nothing more', async () => {
    const root = new SimpleToken()
    let started = false
    const whole = scope(root, async (s) => {
      root.cancel()
      const late = s.run(() => (started = true))
      assert.equal(await rejection(late), root.error)
    })
    assert.equal(await rejection(whole), root.error)
    assert.equal(started, false)
  })

  test('may be a deadline, a condition, a counter or a signal', async () => {
    using clock = manualClock()
    const timeout = new TimeoutToken(100)
    const late = rejection(scope(timeout, (s) => s.run((token) => token.sleep(1_000))))
    await clock.advance(100)
    assert.equal(await late, timeout.error)

    let over = false
    const condition = new ConditionToken(() => over)
    const waiting = rejection(scope(condition, (s) => s.run((token) => token.sleep(1_000))))
    over = true
    await clock.advance(20)
    assert.equal(await waiting, condition.error)

    const counter = new CounterToken(3, { direct: false })
    const started: number[] = []
    const counted = scope(counter, async (s) => {
      for (let i = 0; i < 5; i++) void s.run(() => started.push(i))
    })
    assert.equal(await rejection(counted), counter.error)
    assert.deepEqual(started, [0, 1])

    const signal = new OtherSignal()
    const foreign = scope(signal, (s) => s.run(patient))
    await turn()
    signal.abort(boom)
    const error = (await rejection(foreign)) as CancellationError
    assert.deepEqual([error.kind, error.cause], ['signal', boom])
    assert.equal(signal.listeners.size, 0)
  })
})

describe('cancel', () => {
  test('cancels all that is under way; a body that returns all the same is heard', async () => {
    const reasons: unknown[] = []
    const found = await scope(async (s) => {
      void s.run((token) => token.wait().then(({ cause }) => reasons.push(cause)))
      void s.run(patient)
      const hit = await s.run(() => 'hit')
      s.cancel('found it')
      return hit
    })
    assert.equal(found, 'hit')
    assert.deepEqual(reasons, ['found it'])
  })

  test('of a scope whose body needs what was cancelled is thrown', async () => {
    let token: CancellationToken | undefined
    const whole = scope(async (s) => {
      token = s.token
      const never = s.run(patient)
      await s.run(() => s.cancel('give up'))
      await never
    })
    const error = (await rejection(whole)) as CancellationError
    assert.deepEqual([error.kind, error.cause], ['manual', 'give up'])
    assert.equal(error, token?.error)
  })

  test('hides no failure', async () => {
    const slow = puppet()
    const whole = scope((s) => {
      void s.run(slow.work)
      s.cancel()
    })
    slow.reject(boom)
    assert.equal(await rejection(whole), boom)
  })
})

describe('its arguments', () => {
  test('the token may be left out, and be whatever from() takes', async () => {
    const body = (s: Scope) => s.run((token) => token.name ?? 'none')
    assert.equal(await scope(body), 'none')
    assert.equal(await scope(body, { name: 'x' }), 'none')
    for (const token of [
      undefined,
      null,
      NEVER,
      new SimpleToken(),
      new AbortController(),
      new AbortController().signal,
    ]) {
      assert.equal(await scope(token, body), 'none')
      assert.equal(await scope(token, (s) => s.token.name, { name: 'it' }), 'it')
    }
    const source = new AbortController()
    const whole = scope(source, (s) => s.run(patient), { name: 'it' })
    source.abort(boom)
    assert.equal(((await rejection(whole)) as CancellationError).cause, boom)
  })

  test('bad ones are refused by name', async () => {
    const body = () => 1
    const bad: readonly [() => Promise<unknown>, RegExp, typeof TypeError | typeof RangeError][] = [
      [() => scope(5 as never, body), /^token must be a token, .* got 5$/, TypeError],
      [() => scope(undefined as never), /^body must be a function, got undefined$/, TypeError],
      [() => scope(NEVER, 'work' as never), /^body must be a function, got "work"$/, TypeError],
      [() => scope(body, 5 as never), /^options must be a plain object, got 5$/, TypeError],
      [() => scope(body, { name: 5 as never }), /^name must be a string, got 5$/, TypeError],
      [
        () => scope(body, { concurrency: '2' as never }),
        /^concurrency must be a number or a Limit, got "2"$/,
        TypeError,
      ],
      [() => scope(body, { concurrency: 0 }), /^concurrency must be a whole number of at least 1, got 0$/, RangeError],
      [() => scope(body, { concurrency: 1.5 }), /^concurrency must be a whole number .* got 1.5$/, RangeError],
      [() => scope(body, { concurrency: -1 }), /^concurrency must not be negative or NaN, got -1$/, RangeError],
      [() => scope(body, { stuckAfter: Number.NaN }), /^stuckAfter must not be negative or NaN, got NaN$/, RangeError],
      [() => scope(body, { onStuck: 'log' as never }), /^onStuck must be a function, got "log"$/, TypeError],
      [() => scope(body, { trace: 1 as never }), /^trace must be a boolean, got 1$/, TypeError],
      [() => scope(body, { ambient: 1 as never }), /^ambient must be a boolean, got 1$/, TypeError],
      [() => scope((s) => s.run(5 as never)), /^task must be a function, got 5$/, TypeError],
      [
        () => scope((s) => s.run(Promise.resolve() as never)),
        /^task must be a function, got \[object Promise\]$/,
        TypeError,
      ],
      [() => scope((s) => s.run(body, 'x' as never)), /^options must be a plain object, got "x"$/, TypeError],
      [() => scope((s) => s.run(body, { name: 1 as never })), /^name must be a string, got 1$/, TypeError],
    ]
    for (const [run, message, type] of bad) {
      const error = (await rejection(run())) as Error
      assert.match(error.message, message)
      assert.ok(error instanceof type)
    }
  })

  test('a bad one of a method is a failure of the scope, with or without a handler', async () => {
    const whole = scope((s) => {
      void s.run(undefined as never)
      void s.run(patient)
    })
    assert.match(String(await rejection(whole)), /^TypeError: task must be a function, got undefined$/)
  })

  test('a condition that throws is heard by the scope', async () => {
    let asked = 0
    const condition = new ConditionToken(
      () => {
        if (asked++ > 0) throw boom
        return false
      },
      { suppressExceptions: false },
    )
    const whole = scope(condition, (s) => {
      void s.run(() => 1)
    })
    assert.equal(await rejection(whole), boom)
  })
})

describe('after it is over', () => {
  test('it starts nothing more, and says so', async () => {
    let kept: Scope | undefined
    await scope(
      (s) => {
        kept = s
      },
      { name: 'job' },
    )
    const calls: readonly ((s: Scope) => Promise<unknown>)[] = [
      (s) => s.run(() => 1),
      (s) => s.map([1], () => 1),
      (s) => s.any([() => 1]),
      (s) => s.race([() => 1]),
      (s) => s.allSettled([() => 1]),
    ]
    for (const call of calls) {
      const error = await rejection(call(kept as Scope))
      assert.ok(error instanceof ScopeClosedError)
      assert.deepEqual([error.name, error.code], ['ScopeClosedError', 'ERR_SCOPE_CLOSED'])
      assert.equal(error.message, 'the scope "job" is closed and starts no task')
    }
    assert.deepEqual(kept?.unfinished(), [])
    kept?.cancel()
  })

  test('a thenable that calls back twice, or never settles itself, does no harm', async () => {
    const twice = {
      // oxlint-disable-next-line unicorn/no-thenable -- that is what is tried
      then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
        resolve(Promise.resolve('inner'))
        reject(boom)
        resolve('outer')
      },
    }
    assert.equal(await scope((s) => s.run(() => twice as PromiseLike<unknown>)), 'inner')
    const { promise, resolve } = deferred<string>()
    const whole = scope(() => promise)
    resolve('late')
    assert.equal(await whole, 'late')
  })
})
