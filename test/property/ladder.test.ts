import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, type CancellationToken, ConditionToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import fc from 'fast-check'
import { runs } from './runs.js'

/** So many diamonds on top of each other: 2 to the power of their number ways lead from the bottom to the top. */
function ladder(
  top: CancellationToken,
  levels: number,
  rung: (left: CancellationToken, right: CancellationToken) => CancellationToken,
): CancellationToken {
  let bottom = top
  for (let level = 0; level < levels; level++) bottom = rung(new SimpleToken(bottom), new SimpleToken(bottom))
  return bottom
}

interface Top {
  readonly token: CancellationToken
  readonly end: () => void
}

const tops: Record<string, () => Top> = {
  'a root': () => {
    const token = new SimpleToken()
    return { token, end: () => void token.cancel() }
  },
  'a deadline': () => ({ token: new TimeoutToken(50), end: () => clock.tick(50) }),
  'a condition': () => {
    let over = false
    return {
      token: new ConditionToken(() => over),
      end: () => {
        over = true
        clock.tick(10)
      },
    }
  },
  'a condition that is not cached': () => {
    let over = false
    return {
      token: new ConditionToken(() => over, { caching: false }),
      end: () => {
        over = true
        clock.tick(10)
      },
    }
  },
  'a counter': () => {
    const token = new CounterToken(1_000, { direct: false })
    return { token, end: () => void token.cancel() }
  },
  'a foreign signal': () => {
    const controller = new AbortController()
    return { token: new SimpleToken(controller.signal), end: () => controller.abort() }
  },
  'a grace': () => {
    const source = new SimpleToken()
    return {
      token: source.grace(10),
      end: () => {
        source.cancel()
        clock.tick(10)
      },
    }
  },
}

const rungs: Record<string, (left: CancellationToken, right: CancellationToken) => CancellationToken> = {
  sums: (left, right) => new SimpleToken(left, right),
  'all-ofs': (left, right) => allOf(left, right),
  deadlines: (left, right) => new TimeoutToken(1e6, left, right),
}

const views: Record<string, (bottom: CancellationToken) => boolean> = {
  cancelled: (bottom) => bottom.cancelled,
  'an indirect poll': (bottom) => bottom.isCancelled({ direct: false }),
  error: (bottom) => bottom.error !== undefined,
  remaining: (bottom) => bottom.remaining === 0,
  signal: (bottom) => bottom.signal.aborted,
  'a listener': (bottom) => {
    let called = false
    bottom
      .onCancel(() => {
        called = true
      })
      .stop()
    return called
  },
}

let clock: ReturnType<typeof manualClock>

/** Milliseconds of the processor so far: other programs on the machine do not count. */
function spent(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Does all there is to be done with a ladder; gives how long the slowest of it took. */
function climb(
  levels: number,
  top: keyof typeof tops,
  rung: keyof typeof rungs,
  order: readonly string[],
  disturbed: boolean,
): number {
  let slowest = 0
  const timed = <T>(what: string, act: () => T): T => {
    const start = spent()
    const result = act()
    const took = spent() - start
    slowest = Math.max(slowest, took)
    assert.ok(took < 400, `${what} took ${Math.round(took)} ms on ${levels} levels`)
    return result
  }
  const { token, end } = tops[top]!()
  const bottom = timed('deriving', () => ladder(token, levels, rungs[rung]!))
  for (const view of order) {
    // After a cancellation somewhere, everybody looks up again.
    if (disturbed) new SimpleToken().cancel()
    assert.equal(
      timed(view, () => views[view]!(bottom)),
      false,
      view,
    )
  }
  let called = 0
  const listener = timed('listening', () => bottom.onCancel(() => called++))
  assert.equal(
    timed('stopping', () => listener.stop()),
    true,
  )
  timed('listening', () => bottom.onCancel(() => called++))
  timed('cancelling', end)
  assert.equal(called, 1)
  for (const view of order)
    assert.equal(
      timed(view, () => views[view]!(bottom)),
      true,
      view,
    )
  return slowest
}

test('a ladder of 60 diamonds, 2⁶⁰ ways, is polled, listened to and cancelled at once', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(tops)),
      fc.constantFrom(...Object.keys(rungs)),
      fc.shuffledSubarray(Object.keys(views)),
      fc.boolean(),
      (top, rung, order, disturbed) => {
        // So few that even all the ways can be walked, too many to be quick about it: fails, where 60 would hang.
        for (const levels of [20, 60]) {
          clock = manualClock()
          try {
            climb(levels, top, rung, order, disturbed)
          } finally {
            clock.uninstall()
          }
        }
      },
    ),
    runs(200),
  )
})

test('unheard, a ladder is found cancelled by the first poll or read', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(tops)),
      fc.constantFrom(...Object.keys(rungs)),
      fc.constantFrom('cancelled', 'an indirect poll'),
      (top, rung, view) => {
        for (const levels of [20, 60]) {
          clock = manualClock()
          try {
            const { token, end } = tops[top]!()
            const bottom = ladder(token, levels, rungs[rung]!)
            end()
            const start = spent()
            if (top === 'a grace') {
              // Its source may have been cancelled without its knowledge; the moment counts all the same.
              assert.equal(token.error !== undefined, true)
            }
            assert.equal(views[view]!(bottom), true)
            assert.ok(spent() - start < 400)
          } finally {
            clock.uninstall()
          }
        }
      },
    ),
    runs(200),
  )
})
