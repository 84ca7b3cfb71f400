import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { type CancellationToken, isCancellation, latest, openScope, scope, SimpleToken, TimeoutToken } from 'calloff'
import {
  cancelEverywhere,
  CancelEverywhereError,
  type CancelEverywhereOptions,
  type CancelEverywhereProblem,
  type CancelEverywhereRun,
  type CancelPointKind,
  manualClock,
} from 'calloff/testing'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** What the small programs of these tests use, and must leave as they have found it. */
class World {
  open = 0
  releases = 0
  isCommitted = false
  readonly log: string[] = []

  take(): void {
    this.open++
  }

  release(): void {
    this.open--
    this.releases++
  }
}

type Program = (token: CancellationToken, world: World) => unknown
const isClosed = ({ open }: World) => open === 0
const isWhole = ({ isCommitted, open }: World, { outcome }: CancelEverywhereRun) =>
  open === 0 && isCommitted === (outcome.status === 'fulfilled')

async function failure(
  fn: Program,
  check: (world: World, run: CancelEverywhereRun) => unknown = isClosed,
  options: CancelEverywhereOptions<World> = {},
): Promise<CancelEverywhereError> {
  const promise = cancelEverywhere(fn, check, { setup: () => new World(), ...options })
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof CancelEverywhereError, String(error))
    return error
  }
  return assert.fail('it should have found a mistake')
}

const finds = (fn: Program, check: (world: World, run: CancelEverywhereRun) => unknown = isClosed) =>
  cancelEverywhere(fn, check, { setup: () => new World() })

interface Seeded {
  readonly mistake: string
  readonly problem: CancelEverywhereProblem
  /** Where it is found. Undefined: in the run without a cancellation. */
  readonly at: CancelPointKind | undefined
  readonly wrong: Program
  /** The same without the mistake. */
  readonly right: Program
  readonly check?: (world: World, run: CancelEverywhereRun) => unknown
}

const seeded: readonly Seeded[] = [
  {
    mistake: 'a missing `finally` around an await',
    problem: 'check',
    at: 'poll',
    wrong: async (token, world) => {
      if (token.cancelled) return
      world.take()
      await token.sleep(0)
      world.release()
    },
    right: async (token, world) => {
      world.take()
      try {
        await token.sleep(0)
      } finally {
        world.release()
      }
    },
  },
  {
    mistake: 'a lock that is not released when a poll throws',
    problem: 'check',
    at: 'poll',
    wrong: (token, world) => {
      token.check()
      world.take()
      for (let i = 0; i < 3; i++) token.check()
      world.release()
    },
    right: (token, world) => {
      world.take()
      try {
        for (let i = 0; i < 3; i++) token.check()
      } finally {
        world.release()
      }
    },
  },
  {
    mistake: 'a lock that is not released when a poll of a derived token ends the loop',
    problem: 'check',
    at: 'poll',
    wrong: (token, world) => {
      const child = new SimpleToken(new TimeoutToken(60_000, token))
      if (child.cancelled) return
      world.take()
      for (let i = 0; i < 3; i++) if (!child.keepOn()) return
      world.release()
    },
    right: (token, world) => {
      const child = new SimpleToken(new TimeoutToken(60_000, token))
      world.take()
      for (let i = 0; i < 3; i++) if (!child.keepOn()) break
      world.release()
    },
  },
  {
    mistake: 'a commit, and then a cancellation all the same',
    problem: 'check',
    at: 'poll',
    check: isWhole,
    wrong: async (token, world) => {
      token.check()
      await turn()
      world.isCommitted = true
      token.check()
    },
    right: async (token, world) => {
      token.check()
      await turn()
      token.check()
      world.isCommitted = true
    },
  },
  {
    mistake: 'a commit after a cancellation that was swallowed',
    problem: 'check',
    at: 'start',
    check: ({ isCommitted, log }) => !isCommitted || log.includes('written'),
    wrong: async (token, world) => {
      try {
        await token.sleep(0)
        world.log.push('written')
      } catch {
        // swallowed
      }
      world.isCommitted = true
    },
    right: async (token, world) => {
      await token.sleep(0)
      world.log.push('written')
      world.isCommitted = true
    },
  },
  {
    mistake: 'a listener that is left behind',
    problem: 'listeners',
    at: undefined,
    wrong: async (token) => {
      token.onCancel(() => {})
      await turn()
    },
    right: async (token) => {
      using _ = token.onCancel(() => {})
      await turn()
    },
  },
  {
    mistake: 'a wait on a derived token that is left behind',
    problem: 'listeners',
    at: undefined,
    wrong: (token) => void new SimpleToken(token).wait({ hold: false }),
    right: (token) => void new SimpleToken(token),
  },
  {
    mistake: 'a resource that is released twice, by a listener and at the end',
    problem: 'check',
    at: 'read',
    check: ({ open, releases }) => open === 0 && releases <= 1,
    wrong: async (token, world) => {
      token.check()
      const registration = token.onCancel(() => world.release())
      world.take()
      await turn()
      registration.stop()
      world.release()
    },
    right: async (token, world) => {
      token.check()
      world.take()
      using registration = token.onCancel(() => world.release())
      await turn()
      if (registration.stop()) world.release()
    },
  },
  {
    mistake: 'a resource that is released twice, in `catch` and in `finally`',
    problem: 'check',
    at: 'start',
    check: ({ open, releases }) => open === 0 && releases === 1,
    wrong: async (token, world) => {
      world.take()
      try {
        await token.sleep(0)
      } catch (error) {
        world.release()
        throw error
      } finally {
        world.release()
      }
    },
    right: async (token, world) => {
      world.take()
      try {
        await token.sleep(0)
      } finally {
        world.release()
      }
    },
  },
  {
    mistake: 'a clean-up that throws',
    problem: 'failure',
    at: 'poll',
    wrong: (token, world) => {
      if (token.cancelled) return
      if (token.cancelled) throw new Error(`half done: ${world.log.join(', ')}`)
    },
    right: (token) => {
      if (token.cancelled) return
      if (token.cancelled) throw new Error('half done', { cause: token.error })
    },
  },
  {
    mistake: 'an early return after an await, for a signal that is aborted meanwhile',
    problem: 'check',
    at: 'turn',
    wrong: async ({ signal }, world) => {
      if (signal.aborted) return
      world.take()
      await turn()
      if (signal.aborted) return
      world.release()
    },
    right: async ({ signal }, world) => {
      world.take()
      await turn()
      world.release()
      signal.throwIfAborted()
    },
  },
  {
    mistake: 'a value that is lost between two awaits',
    problem: 'check',
    at: 'read',
    check: ({ open }, { outcome }) => open === 0 || outcome.status === 'fulfilled',
    wrong: async (token, world) => {
      const opened = (async () => {
        await turn()
        world.take()
      })()
      await token.race(opened)
    },
    right: async (token, world) => {
      const opened = (async () => {
        await turn()
        world.take()
      })()
      try {
        await token.race(opened)
      } catch (error) {
        await opened
        world.release()
        throw error
      }
    },
  },
]

describe('cancelEverywhere finds', () => {
  for (const { mistake, problem, at, wrong, right, check } of seeded) {
    it(mistake, async () => {
      using _ = manualClock({ auto: true })
      const error = await failure(wrong, check)
      assert.deepEqual([error.problem, error.point?.kind], [problem, at], error.message)
    })

    it(`nothing in the program without ${mistake}`, async () => {
      using _ = manualClock({ auto: true })
      const { points, runs, isComplete } = await finds(right, check)
      assert.ok(points >= 1 && runs > points && isComplete)
    })
  }

  it('a function that does not settle once it is cancelled, and says at which point', async () => {
    const hang: Program = async (token) => {
      token.check()
      await token.sleep(0).catch(() => new Promise(() => {}))
    }
    const error = await failure(hang, undefined, { timeout: 20 })
    assert.deepEqual([error.problem, error.point], ['unsettled', { kind: 'poll', number: 2 }])
    assert.match(error.message, /^fn has not settled within 20 ms after a cancellation at poll 2 \(sleep\), at /)
  })

  it('a check and a setup that never settle', async () => {
    const never = () => new Promise<never>(() => {})
    await assert.rejects(
      cancelEverywhere(() => {}, never, { timeout: 20 }),
      (error: CancelEverywhereError) => {
        assert.deepEqual([error.problem, error.point], ['check', undefined])
        assert.match(error.message, /: it has not settled within 20 ms$/)
        return true
      },
    )
    await assert.rejects(
      cancelEverywhere(
        () => {},
        () => {},
        { setup: never, timeout: 20 },
      ),
      /^Error: setup has not settled within 20 ms$/,
    )
  })

  it('a function that never settles', async () => {
    const error = await failure(() => new Promise(() => {}), undefined, { timeout: 20, maxPoints: 5 })
    assert.equal(error.problem, 'unsettled')
    assert.match(error.message, /at the last point$/)
  })

  it('an invariant that does not hold without a cancellation either', async () => {
    const error = await failure((_token, world) => world.take())
    assert.deepEqual([error.problem, error.point, error.line], ['check', undefined, undefined])
    assert.match(error.message, /^check has failed without a cancellation: it has returned false$/)
  })
})

describe('the error', () => {
  const lineOf = (error: Error) => Number(/:(\d+):\d+\)?$/.exec(error.stack?.split('\n')[1] ?? '')?.[1])

  it('has the code, the first point, the line of the poll, and the error of check', async () => {
    const boom = new Error('boom')
    let before = 0
    const program: Program = (token, world) => {
      if (token.cancelled) return
      world.take()
      before = lineOf(new Error())
      if (token.cancelled) return
      world.release()
    }
    const error = await failure(program, ({ open }) => {
      if (open) throw boom
    })
    assert.deepEqual([error.name, error.code, error.cause], ['CancelEverywhereError', 'ERR_CANCEL_EVERYWHERE', boom])
    assert.deepEqual(error.point, { kind: 'poll', number: 2 })
    assert.match(error.line ?? '', new RegExp(`cancel-everywhere\\.test\\.[jt]s:${before + 1}:`))
    assert.match(error.message, /^check has failed after a cancellation at poll 2 \(cancelled\), at .*: boom$/)
  })

  it('has the line of the registration', async () => {
    let before = 0
    const program: Program = (token, world) => {
      if (token.cancelled) return
      world.take()
      before = lineOf(new Error())
      token.onCancel(() => {}).stop()
      if (!token.cancelled) world.release()
    }
    const error = await failure(program)
    assert.deepEqual(error.point, { kind: 'read', number: 2 })
    assert.match(error.line ?? '', new RegExp(`cancel-everywhere\\.test\\.[jt]s:${before + 1}:`))
    assert.match(error.message, /at read 2 \(onCancel\)/)
  })

  it('has for a turn the last line before it', async () => {
    let before = 0
    const program: Program = async (token, world) => {
      before = lineOf(new Error())
      if (token.cancelled) return
      world.take()
      await turn()
      // It reads the state and not the token, so no poll shows it.
      if ((token as unknown as { outcome?: unknown }).outcome) return
      world.release()
    }
    const error = await failure(program)
    assert.equal(error.point?.kind, 'turn')
    assert.match(error.line ?? '', new RegExp(`cancel-everywhere\\.test\\.[jt]s:${before + 1}:`))
    assert.match(error.message, /after a cancellation at turn \d+, after /)
  })
})

describe('a run', () => {
  it('has state of its own, and a token of its own', async () => {
    const states = new Set<object>()
    const tokens = new Set<CancellationToken>()
    const { runs } = await cancelEverywhere(
      (token, state) => {
        states.add(state)
        tokens.add(token)
        token.check()
      },
      () => {},
      { setup: async () => ({}) },
    )
    assert.deepEqual([states.size, tokens.size], [runs, runs])
  })

  it('counts no poll of check, which may be async', async () => {
    const { points } = await cancelEverywhere(
      (token) => token.keepOn(),
      async (_state, { token }) => {
        await turn()
        for (let i = 0; i < 5; i++) void token.cancelled
      },
    )
    assert.equal(points, 2)
  })

  it('tells check of its point and its outcome', async () => {
    const told: unknown[] = []
    await cancelEverywhere(
      (token) => {
        token.check()
        return 'done'
      },
      (_state, { point, outcome, token }) => {
        told.push([point?.kind, outcome.status, token.reason])
      },
    )
    assert.deepEqual(told, [
      [undefined, 'fulfilled', undefined],
      ['start', 'rejected', 'cancelEverywhere, start 1'],
      ['poll', 'rejected', 'cancelEverywhere, poll 1'],
    ])
  })

  it('that only a cancellation ends is cancelled at last', async () => {
    let calls = 0
    const report = await cancelEverywhere(
      (token) => {
        calls++
        while (token.keepOn());
      },
      () => {},
      { maxPoints: 10 },
    )
    assert.deepEqual(report, { points: 11, runs: 12, isComplete: false })
    assert.equal(calls, 12)
    const waits = await cancelEverywhere(
      (token) => token.wait(),
      () => {},
      { maxPoints: 10, timeout: 10 },
    )
    assert.ok(!waits.isComplete && waits.points > 10)
  })

  it('may fail, or leave listeners, where that is allowed', async () => {
    const boom = new Error('boom')
    const all = { allowFailures: true, allowListeners: true }
    const report = await cancelEverywhere(
      (token) => {
        token.onCancel(() => {})
        throw boom
      },
      (_state, { outcome }) => assert.ok(outcome.status === 'rejected' && outcome.reason === boom),
      all,
    )
    assert.ok(report.points > 1)
    await cancelEverywhere(
      (token) => new TimeoutToken(60_000, token).signal,
      () => {},
    )
  })

  it('passes an error of setup on', async () => {
    const boom = new Error('boom')
    const setup = () => {
      throw boom
    }
    await assert.rejects(
      cancelEverywhere(
        () => {},
        () => {},
        { setup },
      ),
      boom,
    )
  })

  it('refuses bad arguments', async () => {
    const call = cancelEverywhere as (...given: unknown[]) => Promise<unknown>
    const nothing = () => {}
    await assert.rejects(call(5, nothing), /^TypeError: fn must be a function, got 5/)
    await assert.rejects(call(nothing, 5), /^TypeError: check must be a function, got 5/)
    await assert.rejects(call(nothing, nothing, { setup: 5 }), /^TypeError: setup must be a function/)
    await assert.rejects(call(nothing, nothing, { timeout: -1 }), /^RangeError: timeout /)
    await assert.rejects(call(nothing, nothing, { maxPoints: 0 }), /^RangeError: maxPoints /)
    await assert.rejects(call(nothing, nothing, { allowListeners: 5 }), /^TypeError: allowListeners /)
    await assert.rejects(call(nothing, nothing, { maxPoint: 5 }), /did you mean "maxPoints"/)
  })
})

describe('wherever they are cancelled, nothing is left open by', () => {
  const uses: Readonly<Record<string, Program>> = {
    'race, with late values that are given back': async (token, world) => {
      const connect = async () => {
        await turn()
        world.take()
        return world
      }
      const connected = connect()
      const connection = await token
        .race([connected], { late: (late) => late.release() })
        .catch(async (error: unknown) => {
          await connected
          throw error
        })
      connection.release()
    },
    'map of a scope': (token, world) =>
      scope(token, (s) =>
        s.map(
          [1, 2, 3],
          async (_item, own) => {
            world.take()
            try {
              await own.sleep(0)
            } finally {
              world.release()
            }
          },
          { concurrency: 2 },
        ),
      ),
    'an open scope': async (token, world) => {
      await using s = openScope(token, { onLeave: 'cancel' })
      void s.run(async (own) => {
        world.take()
        await own.sleep(60_000).finally(() => world.release())
      })
      await turn()
    },
    retry: (token, world) =>
      token.retry(
        async (own, attempt) => {
          world.take()
          using _ = own.onCancel(() => {})
          try {
            own.check()
            if (attempt < 3) throw new Error('again')
          } finally {
            world.release()
          }
        },
        { delay: 0, jitter: false },
      ),
    iterate: async (token, world) => {
      const source = async function* () {
        world.take()
        try {
          for (let i = 0; i < 3; i++) yield i
        } finally {
          world.release()
        }
      }
      for await (const _ of token.iterate(source())) await turn()
    },
    latest: async (token, world) => {
      const run = latest(
        async (own) => {
          assert.equal(world.open, 0, 'never two at once')
          world.take()
          try {
            await own.sleep(0)
          } finally {
            world.release()
          }
        },
        { token },
      )
      const outcomes = await Promise.allSettled([run(), run(), run()])
      const last = outcomes[2]
      if (last.status === 'rejected') throw last.reason
    },
    untilCancelled: (token, world) =>
      token.untilCancelled((own) => {
        world.take()
        return own.sleep(0).finally(() => world.release())
      }),
    promise: async (token, world) => {
      let immediate: ReturnType<typeof setImmediate> | undefined
      try {
        await token.promise<void>((resolve) => {
          world.take()
          immediate = setImmediate(resolve)
          return () => {
            world.log.push('stopped')
            clearImmediate(immediate)
          }
        })
        assert.deepEqual(world.log, [])
      } finally {
        if (immediate) world.release()
        assert.ok(world.log.length <= 1)
      }
    },
  }

  for (const [name, use] of Object.entries(uses)) {
    it(name, async () => {
      using _ = manualClock({ auto: true })
      const check = async (world: World, { outcome }: CancelEverywhereRun) => {
        // A failure that comes together with the cancellation is what retry rejects with.
        const isExpected = outcome.status === 'fulfilled' || isCancellation(outcome.reason) || name === 'retry'
        assert.ok(isExpected)
        await turn()
        assert.equal(world.open, 0)
      }
      const options = { setup: () => new World(), allowFailures: name === 'retry' }
      const { points, isComplete } = await cancelEverywhere(use, check, options)
      assert.ok(points > 5 && isComplete, `${points} points`)
    })
  }
})
