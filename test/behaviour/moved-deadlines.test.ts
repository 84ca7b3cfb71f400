/** 11. A deadline that moves: all that depends on it follows, whichever way it moves. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  allOf,
  anyOf,
  type CancellationToken,
  fromHeaders,
  isCancellation,
  RetryBudgetError,
  SimpleToken,
  someOf,
  TimeoutCancellationError,
  TimeoutToken,
  toHeaders,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { share, SharedToken } from 'calloff/threads'
import { rejection, thrown } from './helpers.js'

const there = (token: SharedToken) => SharedToken.from(structuredClone(token.handle))
/** Much later than all else. */
const LATER = 1e7
const never = new Promise<never>(() => {})

/** Something that depends on the deadline of a token. */
interface Follower {
  /** Whether it is cancelled. */
  isOver(): boolean
  /** What depends on the deadline here, for what it has left. */
  readonly token?: CancellationToken
  /** How many milliseconds later it is cancelled. */
  readonly later?: number
}

/** Follows by a poll. */
const polled = (token: CancellationToken, later = 0): Follower => ({ token, later, isOver: () => token.cancelled })

/** Follows by a call. */
function told(token: CancellationToken, begin: (heard: () => void) => void): Follower {
  let isOver = false
  begin(() => (isOver = true))
  return { token, isOver: () => isOver }
}

const listening = (token: CancellationToken) => told(token, (heard) => token.onCancel(heard))
const settling = (token: CancellationToken, start: (token: CancellationToken) => Promise<unknown>) =>
  told(token, (heard) => void start(token).then(heard, heard))

const followers: Readonly<Record<string, (idle: TimeoutToken) => Follower>> = {
  'a poll': (idle) => polled(idle),
  'a poll of a child': (idle) => polled(new SimpleToken(new SimpleToken(idle))),
  'a poll of a token with several deadlines': (idle) =>
    polled(anyOf(new TimeoutToken(LATER), idle, new TimeoutToken(LATER))),
  'a poll of a ladder of many': (idle) => {
    let token: CancellationToken = idle
    for (let i = 0; i < 20; i++) token = new TimeoutToken(LATER, token)
    return polled(token)
  },
  'a view': (idle) => polled(new SimpleToken(idle.view)),
  'a listener of a view': (idle) => listening(new SimpleToken(idle.view)),
  'a grace': (idle) => polled(idle.grace(7), 7),
  'an all-of': (idle) => polled(allOf(new SimpleToken().cancel(), idle)),
  'a some-of': (idle) => polled(someOf(2, new SimpleToken(), new SimpleToken().cancel(), idle)),
  'an except of another kind': (idle) => polled(idle.except('disconnect')),
  'a listener of an except of another kind': (idle) => listening(idle.except('disconnect')),
  'a promise': (idle) => settling(idle, (token) => token.promise(() => {})),
  'an untilCancelled': (idle) => settling(idle, (token) => token.untilCancelled(never)),
  'a listener': (idle) => listening(idle),
  'a listener of a child': (idle) => listening(new SimpleToken(idle, new SimpleToken())),
  'a listener of an all-of': (idle) => listening(allOf(new SimpleToken().cancel(), idle)),
  'a wait': (idle) => settling(idle, (token) => token.wait()),
  'a wait of a child, with a limit': (idle) =>
    settling(new SimpleToken(idle), (token) => token.wait({ timeout: LATER })),
  'a wait that must poll': (idle) => settling(idle, (token) => token.wait({ hold: false, step: 3 })),
  'a race': (idle) => settling(idle, (token) => token.race(never)),
  'a race of a function, with a limit': (idle) =>
    settling(idle, (token) => token.race(() => never, { timeout: LATER })),
  'a sleep': (idle) => settling(idle, (token) => token.sleep(LATER)),
  'a tick': (idle) => settling(idle, (token) => token.every(LATER)[Symbol.asyncIterator]().next()),
  'a retry': (idle) => settling(idle, (token) => token.retry(() => never)),
  'a signal': (idle) =>
    told(idle, (heard) => new SimpleToken(idle).signal.addEventListener('abort', heard, { once: true })),
  'a shared token': (idle) => polled(share(idle)),
  'a token that was opened from a handle': (idle) => polled(there(share(idle))),
  'a token that was handed on': (idle) => {
    const second = there(share(idle))
    second.onCancel(() => {})
    return polled(there(share(new SimpleToken(second))))
  },
  'a listener of a token that was opened from a handle': (idle) => listening(there(share(idle))),
  'a wait of a token that was handed on': (idle) => {
    const second = there(share(idle))
    second.onCancel(() => {})
    return settling(there(share(second)), (token) => token.wait())
  },
  'a grace that was opened from a handle': (idle) => polled(there(share(idle.grace(7))), 7),
  'an all-of that was opened from a handle': (idle) => polled(there(share(allOf(new SimpleToken().cancel(), idle)))),
}

/** What is done to a deadline of 100 ms. Each returns how much is left then. */
const moves: Readonly<Record<string, (idle: TimeoutToken, clock: { tick(ms: number): void }) => number>> = {
  'nearer, by restart(ms)': (idle, clock) => {
    clock.tick(10)
    assert.equal(idle.restart(20), true)
    return 20
  },
  'to this moment, by restart(0)': (idle) => {
    assert.equal(idle.restart(0), true)
    return 0
  },
  'further away, by restart(ms)': (idle, clock) => {
    clock.tick(60)
    assert.equal(idle.restart(250), true)
    return 250
  },
  'further away, by restart() after restart(ms)': (idle, clock) => {
    clock.tick(60)
    assert.equal(idle.restart(250), true)
    clock.tick(200)
    assert.equal(idle.restart(), true)
    return 250
  },
  'further away, by extend(ms)': (idle, clock) => {
    clock.tick(60)
    assert.equal(idle.extend(30), true)
    assert.equal(idle.extend(0.5), true)
    return 70.5
  },
  'back, by restart() after extend(ms)': (idle, clock) => {
    assert.equal(idle.extend(1_000), true)
    clock.tick(500)
    assert.equal(idle.restart(), true)
    return 100
  },
  'off, by disarm()': (idle, clock) => {
    clock.tick(99)
    assert.equal(idle.disarm(), true)
    return Infinity
  },
  'off twice': (idle) => {
    assert.deepEqual([idle.disarm(), idle.disarm()], [true, true])
    return Infinity
  },
  'off, and extended': (idle) => {
    assert.deepEqual([idle.disarm(), idle.extend(5)], [true, true])
    return Infinity
  },
  'off, by restart(Infinity) and by extend(Infinity)': (idle) => {
    assert.deepEqual([idle.restart(Infinity), idle.extend(Infinity)], [true, true])
    return Infinity
  },
  'off, and on again by restart()': (idle, clock) => {
    assert.equal(idle.disarm(), true)
    clock.tick(5_000)
    assert.equal(idle.restart(), true)
    return 100
  },
  'off, and on again nearer than before': (idle, clock) => {
    assert.equal(idle.disarm(), true)
    clock.tick(10)
    assert.equal(idle.restart(20), true)
    return 20
  },
  'off and on, again and again': (idle, clock) => {
    for (let i = 1; i <= 60; i++) {
      assert.equal(idle.disarm(), true)
      clock.tick(i)
      assert.equal(idle.restart(i), true)
      if (i % 3) assert.equal(idle.extend(i), true)
    }
    return 60
  },
}

describe('11. a deadline that is moved', () => {
  for (const [how, move] of Object.entries(moves)) {
    describe(how, () => {
      for (const [what, make] of Object.entries(followers)) {
        it(`is followed by ${what}`, async () => {
          using clock = manualClock()
          const idle = new TimeoutToken(100, { name: 'idle' })
          const { token, isOver, later = 0 } = make(idle)
          assert.equal(isOver(), false)
          const left = move(idle, clock) + later
          if (left === Infinity) {
            await clock.advance(100_000)
            const rest = token?.remaining ?? 0
            assert.ok(rest === Infinity ? token?.timeoutFor() === undefined : rest > LATER / 2, String(rest))
            assert.equal(isOver(), false)
            idle.cancel('by hand')
            await clock.advance(later)
            assert.deepEqual([isOver(), token?.kind, token?.reason], [true, 'manual', 'by hand'])
            return
          }
          if (left > 0) {
            assert.deepEqual([token?.remaining, token?.timeoutFor()], [left, Math.ceil(left)])
            await clock.advance(left - 0.5)
            assert.equal(isOver(), false)
          }
          await clock.advance(0.5)
          assert.deepEqual([isOver(), token?.kind, token?.cancelledBy?.name], [true, 'timeout', 'idle'])
        })
      }
    })
  }

  it('keeps its listener when it is moved by that listener', () => {
    using clock = manualClock()
    const idle = new TimeoutToken(100)
    const answers: unknown[] = []
    idle.onCancel(() => answers.push(idle.restart(), idle.extend(5), idle.disarm()))
    clock.tick(100)
    assert.deepEqual(answers, [false, false, false])
  })

  it('is followed by a listener that is added while it is off', () => {
    using clock = manualClock()
    const idle = new TimeoutToken(100)
    idle.disarm()
    let calls = 0
    const child = new SimpleToken(idle)
    child.onCancel(() => calls++)
    clock.tick(1_000)
    idle.restart(30)
    clock.tick(29)
    assert.deepEqual([calls, child.cancelled], [0, false])
    clock.tick(1)
    assert.equal(calls, 1)
  })

  it('is what headers carry at that moment', () => {
    using clock = manualClock()
    clock.tick(1)
    const request = new TimeoutToken(10_000)
    const leftOver = () => fromHeaders(toHeaders(request)).remaining
    request.restart(2_000)
    const nearer = leftOver()
    request.extend(3_000)
    const further = leftOver()
    request.disarm()
    const off = leftOver()
    request.restart()
    assert.deepEqual([nearer, further, off, leftOver()], [2_000, 5_000, Infinity, 2_000])
  })

  it('is what a retry has left for its next delay', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(10)
    const fail = async () => {
      throw new Error('down')
    }
    token.disarm()
    const first = rejection(token.retry(fail, { attempts: 2, delay: 1_000, jitter: false }))
    await clock.advance(1_000)
    assert.equal(String(await first), 'Error: down')
    token.restart(500)
    assert.ok((await rejection(token.retry(fail, { delay: 1_000, jitter: false }))) instanceof RetryBudgetError)
  })

  it('reads as the time that it has now', () => {
    using clock = manualClock()
    clock.tick(1)
    const token = new TimeoutToken(100, { name: 'x' })
    const tree = () => (token as unknown as Record<symbol, () => string>)[Symbol.for('nodejs.util.inspect.custom')]?.()
    token.restart(20)
    assert.deepEqual(
      [String(token), tree()],
      ["TimeoutToken(20, { name: 'x' })", "TimeoutToken(20, { name: 'x' }) 20 ms left"],
    )
    token.extend(15)
    assert.equal(tree(), "TimeoutToken(20, { name: 'x' }) 35 ms left")
    token.disarm()
    assert.equal(tree(), "TimeoutToken(20, { name: 'x' }) Infinity ms left")
  })

  it('says in its message how long it has had since it was started last', () => {
    using clock = manualClock()
    const made = () => new TimeoutToken(100)
    const [restarted, extended, both] = [made(), made(), made()]
    restarted.restart(30)
    extended.extend(50)
    extended.extend(25)
    both.extend(50)
    both.restart()
    clock.tick(1_000)
    const messages = [restarted, extended, both].map(({ error }) => error?.message)
    assert.deepEqual(messages, [
      'token ran out of time after 30 ms',
      'token ran out of time after 175 ms',
      'token ran out of time after 100 ms',
    ])
  })
})

describe('11. a deadline that cannot be moved any more', () => {
  const acts = {
    restart: (token: TimeoutToken) => token.restart(),
    'restart(ms)': (token: TimeoutToken) => token.restart(1_000),
    extend: (token: TimeoutToken) => token.extend(1_000),
    disarm: (token: TimeoutToken) => token.disarm(),
  }
  for (const [name, act] of Object.entries(acts)) {
    it(`is not revived by ${name}: passed and noticed or not, cancelled by hand or by a parent, disposed of`, () => {
      using clock = manualClock()
      const parent = new SimpleToken()
      const tokens = [
        new TimeoutToken(10),
        new TimeoutToken(10),
        new TimeoutToken(100).cancel(),
        new TimeoutToken(100, parent),
        new TimeoutToken(Infinity, { cancelled: true }),
        new TimeoutToken(0),
      ]
      clock.tick(10)
      parent.cancel()
      assert.equal(tokens[0]?.cancelled, true)
      const disposed = new TimeoutToken(100)
      disposed[Symbol.dispose]()
      for (const token of [...tokens, disposed]) {
        assert.equal(act(token), false)
        assert.equal(token.cancelled, true)
        const { error } = token
        assert.deepEqual([act(token), token.error], [false, error])
      }
    })

    it(`is in time for ${name} a moment before, also through a proxy`, () => {
      using clock = manualClock()
      const token = new TimeoutToken(10)
      clock.tick(9)
      assert.equal(act(new Proxy(token, {})), true)
      assert.ok(token.remaining >= 10)
    })
  }

  it('refuses what is no time, by name, and is not moved by it', () => {
    using clock = manualClock()
    clock.tick(1)
    const token = new TimeoutToken(10)
    const bad: readonly [() => unknown, string][] = [
      [() => token.restart(-1), 'RangeError: ms must not be negative or NaN, got -1'],
      [() => token.restart(Number.NaN), 'RangeError: ms must not be negative or NaN, got NaN'],
      [() => token.restart('5' as never), 'TypeError: ms must be a number, got "5"'],
      [() => token.restart(null as never), 'TypeError: ms must be a number, got null'],
      [() => token.extend(-1), 'RangeError: ms must not be negative or NaN, got -1'],
      [() => token.extend(Number.NaN), 'RangeError: ms must not be negative or NaN, got NaN'],
      [() => token.extend(undefined as never), 'TypeError: ms must be a number, got undefined'],
    ]
    for (const [call, message] of bad) assert.equal(String(thrown(call)), message)
    assert.equal(token.remaining, 10)
    token.cancel()
    for (const [call, message] of bad) assert.equal(String(thrown(call)), message)
  })
})

describe('11. the reason of a deadline', () => {
  const reason = new RangeError('the search is slow')

  it('is the cause of the error, the reason of the token, and in the message; the kind stays', () => {
    using clock = manualClock()
    for (const [given, text] of [
      ['the search is slow', 'the search is slow'],
      [reason, 'the search is slow'],
      [{ code: 5 }, undefined],
      [null, undefined],
      [0, undefined],
    ] as const) {
      for (const token of [
        new TimeoutToken(50, { name: 'search', reason: given }),
        TimeoutToken.until(new Date(Date.now() - 1), { name: 'search', reason: given }, new SimpleToken()),
      ]) {
        clock.tick(50)
        const child = new SimpleToken(token)
        assert.equal(child.reason, given)
        assert.equal(token.kind, 'timeout')
        assert.ok(token.error instanceof TimeoutCancellationError)
        assert.equal(token.error.cause, given)
        const end = text === undefined ? '' : `: ${text}`
        assert.match(token.error.message, new RegExp(`^token "search" ran out of time after [0-9.]+ ms${end}$`))
      }
    }
  })

  it('is not that of another cancellation', () => {
    using clock = manualClock()
    clock.tick(1)
    const parent = new SimpleToken()
    const below = new TimeoutToken(50, { reason }, parent)
    parent.cancel('gone')
    const byHand = new TimeoutToken(50, { reason }).cancel()
    const born = new TimeoutToken(50, { reason, cancelled: true })
    assert.deepEqual([below.reason, byHand.reason, born.reason], ['gone', undefined, undefined])
    assert.equal('cause' in new TimeoutToken(0, { reason: undefined }).error!, false)
  })

  it('is told by listeners, waits, races, signals, a grace and a predicted end', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(50, { reason })
    const heard: unknown[] = []
    token.onCancel((error) => heard.push(error.cause))
    const waiting = token.wait()
    const racing = rejection(token.race(never))
    const { signal } = token
    const grace = token.grace(10)
    await clock.advance(60)
    assert.deepEqual(heard, [reason])
    for (const error of [await waiting, await racing, signal.reason, grace.error]) assert.equal(error, token.error)
  })

  it('survives a moved deadline', () => {
    using clock = manualClock()
    const token = new TimeoutToken(50, { reason })
    token.disarm()
    token.restart(20)
    token.extend(5)
    clock.tick(25)
    assert.equal(token.error?.message, 'token ran out of time after 25 ms: the search is slow')
    assert.equal(token.reason, reason)
  })

  it('is in the text if it is text', () => {
    assert.equal(
      String(new TimeoutToken(50, { name: 'x', reason: "it's slow" })),
      "TimeoutToken(50, { reason: 'it\\'s slow', name: 'x' })",
    )
    assert.equal(String(new TimeoutToken(50, { reason })), 'TimeoutToken(50)')
  })

  it('is no cancellation where it is thrown for itself', () => {
    using clock = manualClock()
    const token = new TimeoutToken(50, { reason })
    clock.tick(50)
    assert.deepEqual(
      [isCancellation(token.error), isCancellation(token.error, token), isCancellation(reason, token)],
      [true, true, false],
    )
    const platform = new DOMException('late', 'TimeoutError')
    const foreign = new SimpleToken(AbortSignal.abort(platform))
    assert.deepEqual([foreign.kind, isCancellation(platform, foreign)], ['timeout', true])
  })

  it('is refused as an option of other kinds', () => {
    const error = thrown(() => new SimpleToken({ reason } as never))
    assert.match(String(error), /^TypeError: there is no option "reason"/)
  })
})
