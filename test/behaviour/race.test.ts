// oxlint-disable unicorn/no-thenable -- the thenables of these tests are meant to be some
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  from,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { blocking, deferred, OtherSignal, rejection, stateOf, turn, uncaught } from './helpers.js'
import { deadKinds } from './kinds.js'

/** A promise of somebody's own make. */
class Thenable implements PromiseLike<number> {
  then<A>(resolve?: ((value: number) => A | PromiseLike<A>) | null): PromiseLike<A> {
    return Promise.resolve(resolve?.(2) as A)
  }
}

/** What many clients throw when their signal is aborted. */
class ClientAbort extends Error {
  override readonly name = 'AbortError'
}

const forever = () => new Promise<never>(() => {})

describe('9. race settles as the first of the tasks does', () => {
  it('with its value, for promises, thenables and functions of any kind', async () => {
    const token = new SimpleToken()
    assert.equal(await token.race(Promise.resolve(1)), 1)
    assert.equal(await token.race(new Thenable()), 2)
    assert.equal(await token.race(() => 3), 3)
    assert.equal(await token.race(async () => 4), 4)
    assert.equal(await token.race([forever(), async () => 5, forever]), 5)
    assert.equal(await token.race([forever, Promise.resolve(6)] as const), 6)
    assert.equal(await NEVER.race(async () => 7), 7)
    assert.equal(await token.race(() => undefined), undefined)
    assert.equal(token.cancelled, false)
  })

  it('with its failure, thrown or rejected', async () => {
    const failure = new Error('broken')
    for (const work of [
      Promise.reject(failure),
      () => Promise.reject(failure),
      () => {
        throw failure
      },
    ]) {
      assert.equal(await rejection(new SimpleToken().race([forever, work])), failure)
    }
  })

  it('and the later ones do not matter, whether they win or fail', async () => {
    const [first, second] = [deferred<string>(), deferred<string>()]
    const racing = new SimpleToken().race([first.promise, second.promise])
    second.resolve('second')
    assert.equal(await racing, 'second')
    first.reject(new Error('late'))
    await turn()
  })

  it('as the work does, also after a long time', async () => {
    using clock = manualClock()
    const racing = new SimpleToken().race(async (token) => {
      await token.sleep(1_000)
      return 'done'
    })
    await clock.advance(999)
    assert.equal(await stateOf(racing), 'pending')
    await clock.advance(1)
    assert.equal(await racing, 'done')
  })
})

describe('9. race rejects when the token is cancelled', () => {
  it('with the token’s error, wherever that comes from', async () => {
    const source = new SimpleToken()
    for (const token of [new SimpleToken(source), source.plus(new SimpleToken()), source]) {
      const outcome = rejection(token.race([forever(), forever]))
      assert.equal(await stateOf(outcome), 'pending')
      if (token === source) source.cancel('source')
      else token.cancel('itself')
      assert.equal(await outcome, token.error)
    }
  })

  it('by its deadline, its condition or a foreign signal', async () => {
    using clock = manualClock()
    const controller = new AbortController()
    let over = false
    const racing = [new TimeoutToken(20), new SimpleToken(new ConditionToken(() => over)), from(controller.signal)].map(
      (token) => rejection(token.race(forever)),
    )
    controller.abort()
    over = true
    await clock.advance(20)
    assert.deepEqual(
      (await Promise.all(racing)).map((error) => (error as CancellationError).kind),
      ['timeout', 'condition', 'signal'],
    )
  })

  for (const { name, make } of deadKinds) {
    it(`at once when it is cancelled, without starting functions: ${name}`, async () => {
      const token = make()
      const work = () => assert.fail('started')
      const error = await rejection(token.race([work, async () => work(), forever()]))
      assert.equal(error, token.error)
      assert.ok(isCancellation(error, token))
    })
  }

  it('and does not start what comes after a function that cancels it', async () => {
    const token = new SimpleToken()
    const outcome = rejection(token.race([() => (token.cancel('first'), forever()), () => assert.fail('started')]))
    assert.equal(await outcome, token.error)
  })

  it('though a work was done in the same moment', async () => {
    const token = new SimpleToken()
    const outcome = rejection(
      token.race(async () => {
        token.cancel()
        return 'done'
      }),
    )
    assert.equal(await outcome, token.error)
  })

  it('at once when it is cancelled, though a promise has been fulfilled', async () => {
    const token = new SimpleToken().cancel()
    assert.equal(await rejection(token.race([Promise.resolve('done')])), token.error)
  })
})

describe('9. race rejects with a TimeoutCancellationError when `timeout` passes', () => {
  it('and the token lives on', async () => {
    using clock = manualClock()
    for (const token of [new SimpleToken(), NEVER, new TimeoutToken(1_000)]) {
      const outcome = rejection(token.race(forever, { timeout: 50 }))
      await clock.advance(49)
      assert.equal(await stateOf(outcome), 'pending')
      await clock.advance(1)
      const error = await outcome
      assert.ok(error instanceof TimeoutCancellationError)
      assert.equal(isCancellation(error, token), false)
      assert.equal(token.cancelled, false)
    }
  })

  it('and the tasks that were started are cancelled by it', async () => {
    using clock = manualClock()
    let given: CancellationToken | undefined
    const outcome = rejection(
      new SimpleToken().race(
        (token) => {
          given = token
          return forever()
        },
        { timeout: 50 },
      ),
    )
    assert.equal(given?.remaining, 50)
    await clock.advance(50)
    const error = await outcome
    assert.equal(given?.cancelled, true)
    assert.equal((error as CancellationError).kind, 'timeout')
  })

  it('but not when a task wins in time', async () => {
    using clock = manualClock()
    const racing = new SimpleToken().race((token) => token.sleep(20).then(() => 'won'), { timeout: 50 })
    await clock.advance(100)
    assert.equal(await racing, 'won')
    assert.equal(await new SimpleToken().race(async () => 'quick', { timeout: Infinity }), 'quick')
  })
})

describe('9. works given as functions get a token of their own', () => {
  it('that is cancelled with the token of the race', async () => {
    const source = new SimpleToken()
    const given: CancellationToken[] = []
    const outcome = rejection(
      new SimpleToken(source).race([1, 2].map(() => (token: CancellationToken) => (given.push(token), forever()))),
    )
    assert.equal(given.length, 2)
    assert.notEqual(given[0], given[1])
    source.cancel('above')
    for (const token of given) assert.equal(token.error, source.error)
    assert.equal(await outcome, source.error)
  })

  it('that is cancelled, kind race, as soon as the race is over: the losers really stop', async () => {
    const outer = new SimpleToken()
    const stopped: string[] = []
    let given: CancellationToken | undefined
    const result = await outer.race([
      async (token) => {
        given = token
        await token.sleep(1_000_000).catch((error: unknown) => stopped.push((error as CancellationError).kind))
        return 'slow'
      },
      async () => 'quick',
    ])
    assert.equal(result, 'quick')
    await turn()
    assert.deepEqual(stopped, ['race'])
    assert.equal(given?.error?.kind, 'race')
    assert.equal(given?.error?.token, given)
    assert.equal(outer.cancelled, false)
  })

  it('that the winner finds cancelled as well, once it has returned', async () => {
    let given: CancellationToken | undefined
    await new SimpleToken().race(async (token) => {
      given = token
      assert.equal(token.cancelled, false)
    })
    assert.equal(given?.cancelled, true)
    assert.equal(given?.error?.kind, 'race')
  })

  it('that ends also when the race is lost by a failure', async () => {
    let given: CancellationToken | undefined
    await rejection(
      new SimpleToken().race([(token) => (given = token).wait(), () => Promise.reject(new Error('broken'))]),
    )
    assert.equal(given?.error?.kind, 'race')
  })

  it('that can be cancelled without harm to the others', async () => {
    const outer = new SimpleToken()
    const racing = outer.race([
      (token) => {
        token.cancel('I give up')
        return forever()
      },
      (token) => (assert.equal(token.cancelled, false), Promise.resolve('the other')),
    ])
    assert.equal(await racing, 'the other')
    assert.equal(outer.cancelled, false)
  })
})

describe('9. a task that throws an error of its own for the cancellation does not hide that of the token', () => {
  const errors: Readonly<Record<string, (reason: unknown) => Error>> = {
    'keeps the reason as cause': (reason) => new ClientAbort('stopped', { cause: reason }),
    'drops the reason': () => new ClientAbort('stopped'),
    'answers with a code': () => Object.assign(new Error('canceling statement'), { code: '57014' }),
  }
  for (const [what, make] of Object.entries(errors)) {
    /** A client that rejects in the very moment of the abort, before the race hears of it. */
    const client = ({ signal }: CancellationToken) =>
      new Promise<never>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(make(signal.reason)))
      })

    it(`where it ${what}`, async () => {
      const token = new SimpleToken()
      const race = rejection(token.race(client))
      token.cancel('enough')
      assert.equal(await race, token.error)
      const limited = await rejection(new SimpleToken().race(client, { timeout: 5 }))
      assert.deepEqual([(limited as CancellationError).kind, isCancellation(limited)], ['timeout', true])
    })
  }
})

describe('9. a work that has failed by the time of the cancellation wins over it', () => {
  it('even if no listener was called yet', async () => {
    const failure = new Error('says more')
    const token = new SimpleToken()
    const outcome = rejection(token.race([Promise.reject(failure), forever()]))
    token.cancel()
    assert.equal(await outcome, failure)
  })

  it('as one that failed in its function does', async () => {
    const failure = new Error('says more')
    const token = new SimpleToken()
    const ready = deferred<void>()
    const outcome = rejection(
      token.race(async () => {
        ready.resolve()
        throw failure
      }),
    )
    await ready.promise
    token.cancel()
    assert.equal(await outcome, failure)
  })

  it('as one that fails because of it does not: the error stays the token’s', async () => {
    const token = new SimpleToken()
    const outcome = rejection(
      token.race(async (own) => {
        await own.wait()
        await turn()
        throw new Error('cancelled')
      }),
    )
    token.cancel()
    assert.equal(await outcome, token.error)
  })
})

describe('9. nothing is left behind', () => {
  it('late rejections of losers never become unhandled ones', async () => {
    const late = deferred<never>()
    const token = new SimpleToken()
    await token.race([late.promise, async () => 'won', () => turn().then(() => Promise.reject(new Error('too late')))])
    late.reject(new Error('later'))
    const dead = new SimpleToken().cancel()
    await rejection(
      dead.race([Promise.reject(new Error('unheard')), turn().then(() => Promise.reject(new Error('later')))]),
    )
    const outcome = rejection(token.race(turn().then(() => Promise.reject(new Error('later')))))
    token.cancel()
    await outcome
    await turn()
    await turn()
  })

  it('on a long-lived token: no listener, neither when it is won nor lost', async () => {
    const signal = new OtherSignal()
    const token = new SimpleToken(signal)
    for (let i = 0; i < 10; i++) {
      await token.race([async () => i, forever])
      await rejection(token.race(() => Promise.reject(new Error('lost'))))
      await rejection(token.race(forever, { timeout: 0 }))
      await token.race([Promise.resolve(i)])
    }
    assert.equal(signal.listeners.size, 0)
    assert.ok(signal.added > 0)
  })

  it('nor on one that waits and sleeps', async () => {
    const signal = new OtherSignal()
    const token = new SimpleToken(signal)
    await token.sleep(0)
    await rejection(token.wait({ timeout: 1 }))
    for await (const tick of token.every(1)) if (tick > 1) break
    for await (const item of token.iterate([1, 2])) assert.ok(item > 0)
    await token.checkpoint()
    assert.equal(signal.listeners.size, 0)
  })
})

/** Thenables that break the rules of promises, each in its own way. */
const unruly: readonly (readonly [string, (value: unknown) => PromiseLike<unknown>])[] = (
  [
    ['answers with a promise that never settles', (_, ok) => ok(new Promise(() => {}))],
    ['answers with a thenable that never settles', (_, ok) => ok({ then() {} })],
    ['never answers', () => {}],
    ['answers with itself', (_, ok, _failed, self) => ok(self)],
    ['answers twice', (value, ok) => (ok(value), ok('again'))],
    ['answers, then fails', (value, ok, failed) => (ok(value), failed(new Error('late')))],
    ['fails, then answers', (value, ok, failed) => (failed(new Error('broken')), ok(value))],
    [
      'answers, then throws',
      (value, ok) => {
        ok(value)
        throw new Error('late')
      },
    ],
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    ['answers later, and twice', (value, ok) => void setTimeout(() => (ok(value), ok('again')))],
  ] as readonly (readonly [
    string,
    (value: unknown, ok: (value: unknown) => void, failed: (error: unknown) => void, self: unknown) => void,
  ])[]
).map(([name, answer]) => [
  name,
  (value) => {
    const self: PromiseLike<unknown> = {
      then(ok, failed) {
        answer(value, ok as (value: unknown) => void, failed as (error: unknown) => void, self)
        return forever()
      },
    }
    return self
  },
])

describe('19. race takes thenables in, and does not trust them', () => {
  for (const [name, make] of unruly) {
    for (const [how, work] of [
      ['given', make],
      ['from a function', (value: unknown) => () => make(value)],
      ['from an async function', (value: unknown) => async () => make(value)],
    ] as const) {
      it(`${how}, one that ${name}: it ends as await would have it, or with the limit`, async () => {
        const outcome = async (promise: PromiseLike<unknown>): Promise<string> => {
          try {
            return String(await promise)
          } catch (error) {
            return (error as Error).name
          }
        }
        // What await itself makes of it, but for the one by which it goes in circles for ever.
        const native = name.includes('itself')
          ? 'TypeError'
          : await outcome(Promise.race([make('value'), turn().then(turn)]))
        if (name.includes('itself') && how === 'from an async function') return // which is for ever in the platform
        // The short limit is for what never ends: the rest has all the time that a busy machine may need.
        const timeout = native === 'undefined' ? 30 : 60_000
        const raced = await outcome(new SimpleToken().race(work('value'), { timeout }))
        assert.equal(raced, native === 'undefined' ? 'TimeoutError' : native)
      })
    }
  }

  it('whose `then` throws when it is read', async () => {
    const failure = new Error('unreadable')
    const unreadable = Object.defineProperty({}, 'then', {
      get() {
        throw failure
      },
    }) as PromiseLike<never>
    const others = [Promise.reject(new Error('unheard')), forever()]
    assert.equal(await rejection(new SimpleToken().race([...others, unreadable])), failure)
    assert.equal(await rejection(new SimpleToken().race(() => unreadable)), failure)
  })

  it('whose `then` can be read once', async () => {
    let reads = 0
    const once = Object.defineProperty({}, 'then', {
      get() {
        if (reads++ > 1) throw new Error('read too often')
        return (ok: (value: string) => void) => ok('value')
      },
    }) as PromiseLike<string>
    assert.equal(await new SimpleToken().race(once), 'value')
  })

  it('a promise whose own `then` never answers', async () => {
    const deaf = Object.assign(Promise.resolve(), { then: () => forever() })
    assert.equal(((await rejection(new SimpleToken().race(deaf, { timeout: 5 }))) as Error).name, 'TimeoutError')
  })
})

describe('25. a time limit as an option is the same as a TimeoutToken', () => {
  type Start = (token: CancellationToken, work: () => unknown, ms: number) => Promise<unknown>
  const ways: readonly (readonly [string, Start])[] = [
    ['option', (token, work, timeout) => token.race(work, { timeout })],
    ['token', (token, work, ms) => new SimpleToken(token, new TimeoutToken(ms)).race(work)],
  ]

  for (const [name, start] of ways) {
    it(`under 0 nothing is started: ${name}`, async () => {
      const error = await rejection(start(new SimpleToken(), () => assert.fail('started'), 0))
      assert.equal((error as CancellationError).kind, 'timeout')
    })

    it(`a success after it is too late, in a program that was blocked: ${name}`, async () => {
      using program = blocking()
      const work = deferred<string>()
      const racing = start(new SimpleToken(), () => work.promise, 50_000)
      program.block(60_000) // no timer has run by then
      work.resolve('too late')
      assert.equal(((await rejection(racing)) as CancellationError).kind, 'timeout')
    })

    it(`also a success of the function itself: ${name}`, async () => {
      using program = blocking()
      const racing = start(new SimpleToken(), () => (program.block(60_000), 'too late'), 50_000)
      assert.equal(((await rejection(racing)) as CancellationError).kind, 'timeout')
    })

    it(`a failure tells more: ${name}`, async () => {
      using program = blocking()
      const failure = new Error('broken')
      const work = deferred<never>()
      const racing = start(new SimpleToken(), () => work.promise, 50_000)
      program.block(60_000)
      work.reject(failure)
      assert.equal(await rejection(racing), failure)
    })

    it(`a token that was cancelled before comes first: ${name}`, async () => {
      const token = new SimpleToken().cancel()
      assert.equal(await rejection(start(token, () => assert.fail('started'), 0)), token.error)
    })
  }

  it('but it is not the token’s: the message says which operation on which token it was', async () => {
    const job = new SimpleToken({ name: 'job' })
    const error = (await rejection(job.race(forever, { timeout: 0 }))) as Error
    assert.equal(error.message, 'race on token "job" ran out of time after 0 ms')
    assert.equal(isCancellation(error, job), false)
    assert.equal(job.cancelled, false)
    const unnamed = (await rejection(new SimpleToken().race(forever, { timeout: 5 }))) as Error
    assert.equal(unnamed.message, 'race ran out of time after 5 ms')
  })
})

describe('race gives back what comes late', () => {
  /** A race, and what it was told of late values. */
  const watched = () => {
    const given: unknown[] = []
    return { given, late: (value: unknown) => void given.push(value) }
  }

  it('of each loser, once, when the race was won', async () => {
    const [slow, slower] = [deferred<string>(), deferred<string>()]
    const { given, late } = watched()
    assert.equal(await new SimpleToken().race([slow.promise, () => slower.promise, async () => 'won'], { late }), 'won')
    slow.resolve('slow')
    await turn()
    slower.resolve('slower')
    await turn()
    assert.deepEqual(given, ['slow', 'slower'])
  })

  it('when it was lost: by a cancel, by its limit, by a failure, under a dead token, for bad input', async () => {
    using clock = manualClock()
    const lose: readonly (readonly [
      string,
      (work: Promise<string>, late: (value: unknown) => void) => Promise<unknown>,
    ])[] = [
      [
        'cancel',
        (work, late) => {
          const token = new SimpleToken()
          const racing = token.race(work, { late })
          token.cancel()
          return racing
        },
      ],
      ['limit', (work, late) => new SimpleToken().race(work, { late, timeout: 5 })],
      ['limit of 0', (work, late) => new SimpleToken().race(work, { late, timeout: 0 })],
      ['failure', (work, late) => new SimpleToken().race([work, Promise.reject(new Error('broken'))], { late })],
      ['dead', (work, late) => new SimpleToken().cancel().race(work, { late })],
      ['bad input', (work, late) => new SimpleToken().race([work, 5 as never], { late })],
      ['bad limit', (work, late) => new SimpleToken().race(work, { late, timeout: -1 })],
    ]
    for (const [name, start] of lose) {
      const work = deferred<string>()
      const { given, late } = watched()
      const outcome = rejection(start(work.promise, late))
      await clock.advance(5)
      await outcome
      work.resolve('client')
      await Promise.resolve()
      await Promise.resolve()
      assert.deepEqual(given, ['client'], name)
    }
  })

  it('when the winner itself was too late', async () => {
    const token = new SimpleToken()
    const { given, late } = watched()
    const work = deferred<string>()
    const racing = token.race(work.promise, { late })
    token.cancel()
    work.resolve('in the same moment')
    assert.equal(await rejection(racing), token.error)
    assert.deepEqual(given, ['in the same moment'])
    assert.equal(await rejection(token.race(() => 'not started', { late })), token.error)
    const own = new SimpleToken()
    assert.equal(await rejection(own.race(() => (own.cancel(), 'of the function'), { late })), own.error)
    assert.deepEqual(given, ['in the same moment', 'of the function'])
  })

  it('but not what the race has given, nor failures', async () => {
    const { given, late } = watched()
    const failing = deferred<never>()
    assert.equal(await new SimpleToken().race([failing.promise, async () => 'won'], { late }), 'won')
    failing.reject(new Error('late'))
    await turn()
    assert.deepEqual(given, [])
  })

  it('of a promise in several races to each that asked for it', async () => {
    const client = deferred<string>()
    const [one, two, three] = [watched(), watched(), watched()]
    const token = new SimpleToken()
    await rejection(token.race(client.promise, { timeout: 0, late: one.late }))
    await rejection(token.race(client.promise, { timeout: 0, late: two.late }))
    await rejection(token.race(client.promise, { timeout: 0 }))
    const racing = token.race(client.promise, { late: three.late })
    client.resolve('client')
    assert.equal(await racing, 'client')
    assert.deepEqual([one.given, two.given, three.given], [['client'], ['client'], []])
  })

  it('and what it throws surfaces', async () => {
    const errors = await uncaught(async () => {
      const work = deferred<string>()
      await new SimpleToken().race([work.promise, async () => 'won'], {
        late: () => {
          throw new Error('cannot give it back')
        },
      })
      work.resolve('late')
      await turn()
    })
    assert.deepEqual(errors.map(String), ['Error: cannot give it back'])
  })

  it('but refuses what is no function', async () => {
    assert.match(
      String(await rejection(new SimpleToken().race(forever(), { late: 5 as never }))),
      /late must be a function/,
    )
  })
})

describe('27. race leaves one reaction on a promise', () => {
  /** A promise that counts how often it is asked. */
  const counting = () => {
    const { promise, resolve } = deferred<string>()
    const counted = Object.assign(promise, {
      asked: 0,
      then(...handlers: Parameters<Promise<string>['then']>) {
        counted.asked++
        return Promise.prototype.then.apply(promise, handlers)
      },
    })
    return { counted, resolve }
  }

  it('however often it is raced, in turn or at the same time', async () => {
    const { counted, resolve } = counting()
    const token = new SimpleToken()
    for (let i = 0; i < 5; i++) assert.equal(await token.race([counted, async () => i]), i)
    const racing = [1, 2, 3].map(() => token.race(counted))
    await rejection(token.race(() => counted, { timeout: 0 }))
    resolve('value')
    assert.deepEqual(await Promise.all(racing), ['value', 'value', 'value'])
    assert.equal(counted.asked, 1)
    assert.equal(await token.race(counted), 'value')
  })

  it('however many races go on at the same time', async () => {
    const { promise, resolve } = deferred<number>()
    const token = new SimpleToken()
    const racing = Array.from({ length: 500 }, (_, i) => token.race([promise, i % 2 === 0 ? promise : forever()]))
    assert.deepEqual(await Promise.all([1, 2, 3].map((i) => token.race([promise, Promise.resolve(i)]))), [1, 2, 3])
    resolve(4)
    assert.deepEqual([...new Set(await Promise.all(racing))], [4])
  })

  it('and tells each race in the order they began', async () => {
    const { promise, resolve } = deferred<string>()
    const token = new SimpleToken()
    const order: number[] = []
    await token.race([promise, async () => 'won'])
    const racing = [1, 2, 3].map((n) => token.race(promise).then(() => order.push(n)))
    resolve('value')
    await Promise.all(racing)
    assert.deepEqual(order, [1, 2, 3])
  })

  it('also where the race that began first was cancelled', async () => {
    const { promise, resolve } = deferred<string>()
    const token = new SimpleToken()
    const order: number[] = []
    await token.race([promise, async () => 'won'])
    const first = new SimpleToken()
    const calledOff = rejection(first.race(promise))
    const second = token.race(promise).then(() => order.push(2))
    first.cancel()
    await calledOff
    const third = token.race(promise).then(() => order.push(3))
    resolve('value')
    await Promise.all([second, third])
    assert.deepEqual(order, [2, 3])
  })

  it('but asks a mere thenable each time, which may begin something each time', async () => {
    let asked = 0
    const query: PromiseLike<number> = {
      then: (ok) => Promise.resolve(++asked).then(ok),
    }
    const token = new SimpleToken()
    assert.deepEqual(await Promise.all([token.race(query), token.race(query)]), [1, 2])
  })
})
