import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  allOf,
  type CancelEvent,
  type LateErrorEvent,
  latest,
  type Observer,
  openScope,
  scope,
  SimpleToken,
  TimeoutToken,
  trace,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { rejection } from '../helpers.js'

/** Lets an observer look on while `body` runs. */
async function under<T>(observer: Observer, body: () => T | Promise<T>): Promise<T> {
  const tracing = trace(observer)
  try {
    return await body()
  } finally {
    tracing[Symbol.dispose]()
  }
}

/** Returns the warnings that the library gives meanwhile. */
async function warnings(body: () => Promise<unknown>): Promise<string[]> {
  const given: string[] = []
  const { process, console } = globalThis as unknown as {
    process?: { emitWarning?: unknown }
    console: { warn: unknown }
  }
  const places = [process ? { at: process, key: 'emitWarning' } : { at: console, key: 'warn' }] as const
  const [{ at, key }] = places as unknown as [{ at: Record<string, unknown>; key: string }]
  const before = at[key]
  at[key] = (warning: string) => given.push(warning)
  try {
    await body()
    await new Promise((resolve) => setTimeout(resolve))
  } finally {
    at[key] = before
  }
  return given
}

describe('an observer of cancellations', () => {
  it('hears of a cancel by hand once, with who, why and how many it has reached', async () => {
    const events: CancelEvent[] = []
    const root = new SimpleToken({ name: 'root' })
    const child = new SimpleToken(root)
    const unheard = new SimpleToken(root)
    child.onCancel(() => {})
    await under({ cancel: (event) => void events.push(event) }, () => {
      root.cancel('why')
      assert.equal(unheard.cancelled, true)
    })
    assert.equal(events.length, 1)
    const [event] = events as [CancelEvent]
    assert.equal(event.token, root)
    assert.equal(event.origin, root)
    assert.equal(event.kind, 'manual')
    assert.equal(event.reason, 'why')
    assert.equal(event.reached, 2)
    assert.deepEqual(event.tokens(), [root, child])
    assert.equal(event.error, child.error)
    assert.equal(event.madeAt, undefined)
    assert.ok(event.at <= performance.now())
  })

  it('is told the tokens that each cancellation has reached', async () => {
    const reached: unknown[] = []
    const root = new SimpleToken({ name: 'root' })
    const gone = new SimpleToken({ name: 'gone' }, root)
    const below = new SimpleToken({ name: 'below' }, gone)
    for (const token of [root, below]) token.onCancel(() => {})
    await under({ cancel: (event) => void reached.push(event.tokens().map(({ name }) => name)) }, () => {
      gone.cancel()
      root.cancel()
    })
    assert.deepEqual(reached, [['gone', 'below'], ['root']])
  })

  it('hears of it after all tokens are cancelled, and before any listener', async () => {
    const heard: string[] = []
    const root = new SimpleToken()
    const child = new SimpleToken(root)
    root.onCancel(() => void heard.push('listener'))
    child.onCancel(() => void heard.push('listener of the child'))
    child.signal.addEventListener('abort', () => heard.push('signal'))
    await under({ cancel: () => void heard.push(`observer ${child.error !== undefined}`) }, () => root.cancel())
    assert.equal(heard[0], 'observer true')
    assert.equal(heard.length, 4)
  })

  it('hears of a cancellation before it hears of those that its listeners cause', async () => {
    const names: unknown[] = []
    const first = new SimpleToken({ name: 'first' })
    const second = new SimpleToken({ name: 'second' })
    first.onCancel(() => second.cancel())
    await under({ cancel: ({ origin }) => void names.push(origin.name) }, () => first.cancel())
    assert.deepEqual(names, ['first', 'second'])
  })

  it('hears of a deadline that a poll notices, and where it was made', async () => {
    using clock = manualClock()
    const events: CancelEvent[] = []
    await under({ cancel: (event) => void events.push(event), deadlines: true }, () => {
      const token = new TimeoutToken(100)
      clock.tick(150)
      assert.equal(events.length, 0)
      assert.equal(token.cancelled, true)
      assert.equal(token.cancelled, true)
    })
    assert.equal(events.length, 1)
    assert.equal(events[0]?.kind, 'timeout')
    assert.match(events[0]?.madeAt ?? '', /trace\.test/)
  })

  it('does not hear where a deadline was made, unless it asks', async () => {
    using clock = manualClock()
    const heard: unknown[] = []
    await under({ cancel: ({ kind, madeAt }) => void heard.push(kind, madeAt) }, () => {
      const token = new TimeoutToken(100)
      clock.tick(100)
      assert.equal(token.cancelled, true)
    })
    assert.deepEqual(heard, ['timeout', undefined])
  })

  it('does not hear of a grace, which repeats a cancellation', async () => {
    using clock = manualClock()
    const kinds: string[] = []
    const token = new SimpleToken()
    const graces = [token.grace(0), token.grace(10)]
    for (const grace of graces) grace.onCancel(() => {})
    await under({ cancel: ({ kind }) => void kinds.push(kind) }, () => {
      token.cancel()
      clock.tick(20)
      assert.ok(graces.every(({ cancelled }) => cancelled))
    })
    assert.deepEqual(kinds, ['manual'])
  })

  it('hears of a deadline that comes after a cancellation that does not count', async () => {
    using clock = manualClock()
    const kinds: string[] = []
    const token = new TimeoutToken(100)
    const lasting = token.except('manual')
    lasting.onCancel(() => {})
    await under({ cancel: ({ kind }) => void kinds.push(kind) }, () => {
      token.cancel()
      clock.tick(200)
      assert.equal(lasting.cancelled, true)
    })
    assert.deepEqual(kinds, ['manual', 'timeout'])
  })

  it('sees in the stack of the error who has cancelled, also where no call says it', async () => {
    let stack: string | undefined
    await under({ cancel: ({ error }) => void (stack = error.stack) }, function theBlock() {
      // eslint-disable-next-line @typescript-eslint/no-unused-vars -- it is there to be disposed
      using _ = new SimpleToken()
    })
    assert.match(stack ?? '', /trace\.test/)
    assert.doesNotMatch(stack ?? '', /observers\./) // the frames are few
  })

  it('hears nothing after its end, and nothing that was before', async () => {
    const heard: unknown[] = []
    new SimpleToken().cancel()
    await under({ cancel: (event) => void heard.push(event) }, () => {})
    new SimpleToken().cancel()
    assert.deepEqual(heard, [])
  })
})

describe('an observer that fails', () => {
  it('harms no other observer, no listener and no caller, and is named once', async () => {
    for (const [error, text] of [
      [new Error('it is broken'), /it is broken/],
      ['it is broken', /has failed: it is broken/],
      [Object.create(null), /^an observer of calloff has failed$/],
    ] as const) {
      await fails(error, text)
    }
  })

  async function fails(broken: unknown, text: RegExp): Promise<void> {
    let others = 0
    let listeners = 0
    const warned = await warnings(async () => {
      const bad: Observer = {
        cancel() {
          throw broken
        },
        taskStart: () => Promise.reject(new Error('and this is its promise')) as never,
        around() {
          throw new Error('and it starts nothing')
        },
      }
      await under(bad, () =>
        under({ cancel: () => void others++ }, async () => {
          const token = new SimpleToken()
          token.onCancel(() => listeners++)
          token.cancel()
          assert.equal(await scope((s) => s.run(async () => 'done')), 'done')
          const threw = scope(() => {
            throw new Error('the body')
          })
          assert.match(String(await rejection(threw)), /the body/)
        }),
      )
    })
    assert.ok(others > 0)
    assert.equal(listeners, 1)
    assert.equal(warned.length, 1)
    assert.match(warned[0] ?? '', text)
  }

  it('is refused where a member has the wrong type', () => {
    for (const [observer, text] of [
      [undefined, /observer must be an object, got undefined/],
      [() => {}, /observer must be an object/],
      [{ cancel: 'loud' }, /observer\.cancel must be a function, got "loud"/],
      [{ deadlines: 1 }, /observer\.deadlines must be a boolean, got 1/],
    ] as const) {
      assert.throws(() => trace(observer as never), { name: 'TypeError', message: text })
    }
  })
})

describe('an observer that changes what it observes', () => {
  it('may cancel a token that it notices: the listener that has made it known is called', async () => {
    const token = new SimpleToken()
    await under({ notice: (one) => one.cancel('noticed') }, async () => {
      const error = await rejection(token.race(new Promise(() => {})))
      assert.equal(error, token.error)
    })
  })

  for (const [text, make] of [
    ['one parent', (parent: SimpleToken) => new SimpleToken(parent)],
    ['the last of two parents', (parent: SimpleToken) => new SimpleToken(new SimpleToken(), parent)],
    [
      'the last of two parents of an all-of',
      (parent: SimpleToken) => allOf(new SimpleToken({ cancelled: true }), parent),
    ],
  ] as const) {
    it(`may cancel ${text} when it notices that parent`, async () => {
      const parent = new SimpleToken()
      const token = make(parent)
      const notice = (one: unknown) => void (one === parent && parent.cancel('noticed'))
      await under({ notice }, async () => {
        const error = await rejection(token.race(new Promise(() => {})))
        assert.equal(error, parent.error)
      })
    })
  }

  it('hears nothing after it was removed, not even from an observer that is called before it', async () => {
    const heard: string[] = []
    const removed: Disposable[] = []
    await under({ cancel: () => removed[0]?.[Symbol.dispose]() }, () => {
      removed.push(trace({ cancel: () => void heard.push('the second one') }))
      new SimpleToken().cancel()
    })
    assert.deepEqual(heard, [])
  })

  it('hears no end of a scope or a task whose start it has not heard', async () => {
    const heard: string[] = []
    const late: Disposable[] = []
    await under({ taskEnd: () => void heard.push('task'), scopeEnd: () => void heard.push('scope') }, async () => {
      await scope(async (s) => {
        const task = s.run(() => Promise.resolve())
        const unasked = () => void heard.push('without a start')
        late.push(trace({ taskEnd: unasked, scopeEnd: unasked }))
        await task
      })
    })
    late[0]?.[Symbol.dispose]()
    assert.deepEqual(heard, ['task', 'scope'])
  })

  it('does not come between a task and the observers after it, whether it calls run twice or not at all', async () => {
    for (const around of [(_: unknown, run: () => void) => (run(), run()), () => {}]) {
      const heard: string[] = []
      await under({ around }, () =>
        under(
          {
            around(_, run) {
              heard.push('around')
              run()
            },
          },
          () => scope(() => void heard.push('body')),
        ),
      )
      assert.deepEqual(heard, ['around', 'body'])
    }
  })

  it('may fail in the promise of around, or have members that throw when they are read later', async () => {
    let isBroken = false
    const broken = <T>(value: T): T => {
      if (isBroken) throw new Error('broken')
      return value
    }
    const observer: Observer = {
      get around() {
        return broken((_: unknown, run: () => void) => run())
      },
      get deadlines() {
        return broken(false)
      },
    }
    const rejecting = { around: () => Promise.reject(new Error('async')) } as unknown as Observer
    const warned = await warnings(() =>
      under(rejecting, () =>
        under(observer, async () => {
          isBroken = true
          trace({})[Symbol.dispose]()
          assert.equal(await scope(() => 5), 5)
        }),
      ),
    )
    assert.equal(warned.length, 2)
  })
})

describe('an observer of late failures', () => {
  const late = async (body: () => Promise<unknown>) => {
    const events: LateErrorEvent[] = []
    await under({ lateError: (event) => void events.push(event) }, async () => {
      await body().catch(() => {})
      await new Promise((resolve) => setTimeout(resolve))
    })
    return events.map(({ error, operation }) => `${operation}: ${(error as Error).message}`)
  }
  const failing = () => {
    let fail!: (error?: unknown) => void
    const promise = new Promise<never>((_, reject) => {
      fail = (error = new Error('disk full')) => reject(error)
    })
    return { promise, fail }
  }

  it('hears of a loser of a race that fails after it', async () => {
    const { promise, fail } = failing()
    const heard = await late(async () => {
      const token = new SimpleToken()
      const race = token.race(() => promise)
      token.cancel()
      await race.catch(() => {})
      fail()
    })
    assert.deepEqual(heard, ['race: disk full'])
  })

  it('hears once of a promise that many races have left, and not while one of them waits for it', async () => {
    for (const waits of [false, true]) {
      const { promise, fail } = failing()
      const heard = await late(async () => {
        for (let i = 0; i < 10; i++) await new SimpleToken().race([promise, Promise.resolve(i)])
        const last = waits && new SimpleToken().race(promise).catch(() => {})
        fail()
        await last
      })
      assert.deepEqual(heard, waits ? [] : ['race: disk full'])
    }
  })

  it('hears of a promise that was given to a race under a cancelled token', async () => {
    const { promise, fail } = failing()
    const heard = await late(async () => {
      await new SimpleToken()
        .cancel()
        .race(promise)
        .catch(() => {})
      fail()
    })
    assert.deepEqual(heard, ['race: disk full'])
  })

  it('hears nothing of losers that are cancelled, that succeed, or that fail in time', async () => {
    const heard = await late(async () => {
      const token = new SimpleToken()
      await token.race([(own) => own.sleep(60_000), async () => 1])
      await token
        .race(async () => {
          throw new Error('in time')
        })
        .catch(() => {})
      await token.race([async () => 1, async () => 2])
    })
    assert.deepEqual(heard, [])
  })

  it('hears of losers in a scope', async () => {
    for (const method of ['any', 'race'] as const) {
      const heard = await late(() =>
        scope((s) =>
          s[method]([
            async () => 'first',
            async (token) => {
              await token.wait()
              throw new Error('disk full')
            },
          ]),
        ),
      )
      assert.deepEqual(heard, [`${method}: disk full`])
    }
  })

  it('hears of a source that fails after its loop was cancelled', async () => {
    const heard = await late(async () => {
      const token = new SimpleToken()
      const source = {
        next: () => new Promise<never>(() => {}),
        return: () => Promise.reject(new Error('cannot close')),
        [Symbol.asyncIterator]() {
          return this
        },
      }
      const next = token.iterate(source)[Symbol.asyncIterator]().next()
      token.cancel()
      await next.catch(() => {})
    })
    assert.deepEqual(heard, ['iterate: cannot close'])
  })

  it('hears of a call of latest that fails after it was superseded', async () => {
    const { promise, fail } = failing()
    const heard = await late(async () => {
      const run = latest((_, which: number) => (which ? Promise.resolve(which) : promise), { wait: false })
      const first = run(0).catch(() => {})
      await run(1)
      await first
      fail()
    })
    assert.deepEqual(heard, ['latest: disk full'])
  })

  it('hears of an attempt that fails after its retry was cancelled', async () => {
    const { promise, fail } = failing()
    const heard = await late(async () => {
      const token = new SimpleToken()
      const retry = token.retry(() => promise)
      token.cancel()
      await retry.catch(() => {})
      fail()
    })
    assert.deepEqual(heard, ['retry: disk full'])
  })
})

describe('an observer of scopes and tasks', () => {
  it('hears of the start and the end of each, with how it has ended', async () => {
    const heard: string[] = []
    const observer: Observer = {
      scopeStart: ({ name, startedAt }) => void heard.push(`${name} starts ${/trace\.test/.test(startedAt ?? '')}`),
      scopeEnd: ({ name }, { state }) => void heard.push(`${name} ${state}`),
      taskStart: ({ name, scope: its, startedAt }) =>
        void heard.push(`${its?.name}/${name} starts ${/trace\.test/.test(startedAt ?? '')}`),
      taskEnd: ({ name }, { state }) => void heard.push(`${name} ${state}`),
    }
    await under(observer, async () => {
      const running = scope(
        async (s) => {
          void s.run(async () => 1, { name: 'good' })
          void s.run(async (token) => token.sleep(60_000), { name: 'slow' })
          await s.map([1], async () => {}, { name: 'item' })
          throw new Error('disk full')
        },
        { name: 'work' },
      )
      assert.match(String(await rejection(running)), /disk full/)
    })
    const expected = ['work starts true', 'good succeeded', 'item[0] succeeded', 'slow cancelled', 'work failed']
    for (const name of ['good', 'slow', 'item[0]']) expected.push(`work/${name} starts true`)
    assert.deepEqual(heard.toSorted(), expected.toSorted())
    assert.equal(heard[0], 'work starts true')
    assert.equal(heard.at(-1), 'work failed')
  })

  it('can ask a scope for its state, and sees no lines where the scope keeps none', async () => {
    const heard: unknown[] = []
    const observer: Observer = {
      taskStart: ({ scope: its, startedAt }) =>
        void heard.push(its?.isBodyRunning, its?.startedAt, startedAt, its?.unfinished().length),
    }
    await under(observer, () => scope((s) => s.run(async () => {}), { trace: false }))
    assert.deepEqual(heard, [true, undefined, undefined, 1])
  })

  it('sets a context around each body and task, and cannot start one twice', async () => {
    const inside: string[] = []
    let current = ''
    const observer: Observer = {
      around({ name }, run) {
        const before = current
        current = name ?? ''
        run()
        run()
        current = before
      },
    }
    await under(observer, () =>
      scope(
        (s) => {
          inside.push(current)
          return s.run(async () => void inside.push(current), { name: 'task' })
        },
        { name: 'body' },
      ),
    )
    assert.deepEqual(inside, ['body', 'task'])
  })

  it('is called for the start of an open scope, whose block the library does not run', async () => {
    const heard: unknown[] = []
    const observer: Observer = {
      around({ name }, run) {
        heard.push(`${name} starts`)
        run()
        heard.push(`${name} has started`)
      },
      scopeEnd: ({ name }) => void heard.push(`${name} ends`),
    }
    await under(observer, () => openScope(undefined, { name: 'held' }).close())
    assert.deepEqual(heard, ['held starts', 'held has started', 'held ends'])
  })

  it('hears no more once it has left, also where it leaves at a start', async () => {
    const starts = ['scopeStart', 'taskStart'] as const
    for (const leaving of starts) {
      const heard: string[] = []
      const hear = (name: string) => {
        heard.push(name)
        if (name === leaving) tracing[Symbol.dispose]()
      }
      const observer: Observer = {
        scopeStart: () => hear('scopeStart'),
        taskStart: () => hear('taskStart'),
        around: (_, run) => {
          hear('around')
          run()
        },
      }
      let tracing = trace(observer)
      assert.equal(await scope((s) => s.run(async () => 'run')), 'run')
      tracing = trace(observer)
      const held = openScope()
      assert.equal(await held.run(async () => 'run'), 'run')
      await held.close()
      const before = leaving === 'scopeStart' ? ['scopeStart'] : ['scopeStart', 'around', 'taskStart']
      assert.deepEqual(heard, [...before, ...before])
    }
  })

  it('hears of a scope that does not stop', async () => {
    using clock = manualClock()
    const heard: unknown[] = []
    const stuck: Observer['stuck'] = ({ scope: name, token, unfinished }) =>
      void heard.push(name, token.cancelledBy === token, unfinished[0]?.name)
    await under({ stuck }, async () => {
      let finish!: () => void
      const held = openScope(undefined, { name: 'held', stuckAfter: 100, onStuck: () => {} })
      void held.run(() => new Promise<void>((resolve) => (finish = resolve)), { name: 'deaf' })
      held.cancel()
      clock.tick(101)
      finish()
      await held.close()
    })
    assert.deepEqual(heard, ['held', true, 'deaf'])
  })
})

it('an observer is shown each token that is named or listened to, once', async () => {
  const heard: unknown[] = []
  await under({ notice: (token) => void heard.push(token) }, () => {
    const root = new SimpleToken()
    const named = new SimpleToken({ name: 'named' }, root)
    const quiet = new SimpleToken(root)
    assert.equal(quiet.cancelled, false)
    named.onCancel(() => {})
    named.onCancel(() => {})
    assert.deepEqual(heard, [named, root])
  })
})
