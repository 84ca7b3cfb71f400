import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { allOf, type CancellationToken, ConditionToken, CounterToken, scope, SimpleToken, TimeoutToken } from 'calloff'

/** Lets jobs run, and the event loop turn. Taken before any timer is a fake. */
const realImmediate = globalThis.setImmediate
const turn = () => new Promise((resolve) => realImmediate(resolve))

/** Notes how each of the promises settles. */
function watch(promises: Record<string, PromiseLike<unknown>>): string[] {
  const seen: string[] = []
  for (const [name, promise] of Object.entries(promises)) {
    promise.then(
      () => seen.push(`${name} resolved`),
      () => seen.push(`${name} rejected`),
    )
  }
  return seen
}

describe('vitest’s fake timers, as they are by default, drive', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('the polls and reads of a deadline', () => {
    const token = new TimeoutToken(100)
    const derived = new SimpleToken(token)
    vi.advanceTimersByTime(99)
    expect([token.cancelled, derived.keepOn(), derived.remaining]).toEqual([false, true, 1])
    vi.advanceTimersByTime(1)
    expect([token.cancelled, derived.keepOn(), derived.remaining]).toEqual([true, false, 0])
    expect(token.error?.kind).toBe('timeout')
  })

  it('its listeners and its signal', () => {
    const token = new SimpleToken(new TimeoutToken(100))
    let heard = 0
    token.onCancel(() => heard++)
    const { signal } = token
    vi.advanceTimersByTime(99)
    expect([heard, signal.aborted]).toEqual([0, false])
    vi.advanceTimersByTime(1)
    expect([heard, signal.aborted]).toEqual([1, true])
  })

  it('deadlines set by a date', () => {
    vi.setSystemTime(new Date('2030-01-01T00:00:00Z'))
    const token = TimeoutToken.until(new Date('2030-01-01T00:01:00Z'))
    let heard = 0
    token.onCancel(() => heard++)
    vi.advanceTimersByTime(59_999)
    expect([heard, token.cancelled, token.remaining]).toEqual([0, false, 1])
    vi.advanceTimersByTime(1)
    expect([heard, token.cancelled]).toEqual([1, true])
  })

  it('restart, grace, allOf and deadlines of months', () => {
    const heard: string[] = []
    const idle = new TimeoutToken(100)
    idle.onCancel(() => heard.push('idle'))
    new TimeoutToken(50).grace(100).onCancel(() => heard.push('grace'))
    allOf(new TimeoutToken(155), new TimeoutToken(10)).onCancel(() => heard.push('all'))
    const month = 30 * 24 * 3_600_000
    new TimeoutToken(3 * month).onCancel(() => heard.push('months'))
    vi.advanceTimersByTime(60)
    expect(idle.restart()).toBe(true)
    vi.advanceTimersByTime(89)
    expect(heard).toEqual([])
    vi.advanceTimersByTime(1)
    expect(heard).toEqual(['grace'])
    vi.advanceTimersByTime(5)
    expect(heard).toEqual(['grace', 'all'])
    vi.advanceTimersByTime(5)
    expect(heard).toEqual(['grace', 'all', 'idle'])
    vi.advanceTimersByTime(3 * month - 161)
    expect(heard).toHaveLength(3)
    vi.advanceTimersByTime(1)
    expect(heard.at(-1)).toBe('months')
  })

  it('sleep, also in a row, also under a deadline', async () => {
    const token = new SimpleToken()
    const seen = watch({
      nap: token.sleep(50),
      row: token.sleep(30).then(() => token.sleep(30)),
      'cut off': new TimeoutToken(40).sleep(1_000),
    })
    await vi.advanceTimersByTimeAsync(39)
    expect(seen).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(seen).toEqual(['cut off rejected'])
    await vi.advanceTimersByTimeAsync(10)
    expect(seen).toEqual(['cut off rejected', 'nap resolved'])
    await vi.advanceTimersByTimeAsync(10)
    expect(seen).toEqual(['cut off rejected', 'nap resolved', 'row resolved'])
  })

  it('every, tick by tick', async () => {
    const token = new SimpleToken()
    const ticks: number[] = []
    const loop = async () => {
      for await (const n of token.every(100)) ticks.push(n)
      ticks.push(-1)
    }
    const looping = loop()
    for (const n of [1, 2, 3]) {
      await vi.advanceTimersByTimeAsync(99)
      expect(ticks).toHaveLength(n - 1)
      await vi.advanceTimersByTimeAsync(1)
      expect(ticks.at(-1)).toBe(n)
    }
    token.cancel()
    await looping
    expect(ticks).toEqual([1, 2, 3, -1])
  })

  it('wait, its timeout and its polls', async () => {
    let over = false
    const seen = watch({
      deadline: new TimeoutToken(30).wait(),
      timeout: new SimpleToken().wait({ timeout: 40 }),
      condition: new ConditionToken(() => over, { pollEvery: 1_000_000 }).wait({ step: 10 }),
      counter: new CounterToken(3, { direct: false }).wait({ step: 20 }),
    })
    await vi.advanceTimersByTimeAsync(29)
    expect(seen).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(seen).toEqual(['deadline resolved'])
    await vi.advanceTimersByTimeAsync(10)
    expect(seen).toEqual(['deadline resolved', 'timeout rejected'])
    await vi.advanceTimersByTimeAsync(20)
    expect(seen).toEqual(['deadline resolved', 'timeout rejected', 'counter resolved'])
    over = true
    await vi.advanceTimersByTimeAsync(10)
    expect(seen.at(-1)).toBe('condition resolved')
  })

  it('the poller of a condition', () => {
    let asked = 0
    const token = new ConditionToken(() => ++asked === 3, { pollEvery: 20 })
    let heard = 0
    token.onCancel(() => heard++)
    vi.advanceTimersByTime(59)
    expect([asked, heard]).toEqual([2, 0])
    vi.advanceTimersByTime(1)
    expect([asked, heard]).toEqual([3, 1])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('the timeout of a race, and a deadline under it', async () => {
    const forever = new Promise<never>(() => {})
    const seen = watch({
      timeout: new SimpleToken().race(forever, { timeout: 20 }),
      deadline: new TimeoutToken(30).race(forever),
      work: new TimeoutToken(50).race((token) => token.sleep(40)),
    })
    await vi.advanceTimersByTimeAsync(19)
    expect(seen).toEqual([])
    await vi.advanceTimersByTimeAsync(21)
    expect(seen).toEqual(['timeout rejected', 'deadline rejected', 'work resolved'])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('under vitest’s fake timers', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  it('checkpoint, which is no matter of time, does not hang', async () => {
    const token = new SimpleToken()
    const done = (async () => {
      for (let i = 0; i < 3_000; i++) await token.checkpoint()
      for await (const n of token.turns()) if (n === 3_000) break
      return 'done'
    })()
    const limit = (async () => {
      for (let turns = 0; turns < 1_000; turns++) await turn()
      return 'it hangs'
    })()
    expect(await Promise.race([done, limit])).toBe('done')
  })

  it('a pending wait sets no timer, so running all of them comes to an end', async () => {
    const token = new SimpleToken()
    const seen = watch({ wait: token.wait(), sum: token.plus(new SimpleToken()).wait(), sleep: token.sleep(Infinity) })
    expect(vi.getTimerCount()).toBe(0)
    vi.runAllTimers()
    await vi.runAllTimersAsync()
    expect(seen).toEqual([])
    token.cancel()
    await turn()
    expect(seen.toSorted()).toEqual(['sleep rejected', 'sum resolved', 'wait resolved'])
  })

  it('running all timers ends a wait under a deadline', async () => {
    const seen = watch({
      wait: new SimpleToken(new TimeoutToken(5_000)).wait(),
      sleep: new SimpleToken().sleep(60_000),
    })
    await vi.runAllTimersAsync()
    expect(seen).toEqual(['wait resolved', 'sleep resolved'])
  })

  it('what is stopped leaves no timer', async () => {
    const token = new TimeoutToken(100)
    const registration = token.onCancel(() => {})
    expect(vi.getTimerCount()).toBe(1)
    registration.stop()
    expect(vi.getTimerCount()).toBe(0)
    await token.race(Promise.resolve(), { timeout: 50 })
    expect(vi.getTimerCount()).toBe(0)
  })

  it('the end of a wait warns of nothing', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const token = new SimpleToken()
    const waiting = token.wait()
    token.cancel()
    await waiting
    expect([...warn.mock.calls, ...emit.mock.calls]).toEqual([])
  })

  it('a wait that has ended no longer holds the process', async () => {
    const holding = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = holding()
    const token = new SimpleToken()
    const waiting = token.wait()
    expect(holding()).toBe(before + 1)
    token.cancel()
    await waiting
    expect(holding()).toBe(before)
  })

  it('waitSync says that the clock is stopped, rather than hang', () => {
    expect(() => new TimeoutToken(5).waitSync()).toThrow(/clock stands still/)
  })
})

describe('under fake timers that also fake queueMicrotask, as those of Sinon and Jest do', () => {
  const forever = () => new Promise<never>(() => {})
  const silent: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: forever }) }
  const starts: Record<string, (token: CancellationToken) => Promise<unknown>> = {
    wait: (token) => token.wait(),
    'wait with a limit': (token) => token.wait({ timeout: 60_000 }),
    sleep: (token) => token.sleep(60_000),
    'race of a promise': (token) => token.race(forever()),
    'race of a function': (token) => token.race((own) => own.sleep(60_000)),
    'race with a limit': (token) => token.race(forever, { timeout: 60_000 }),
    retry: (token) => token.retry(forever),
    iterate: (token) => token.iterate(silent)[Symbol.asyncIterator]().next(),
    every: (token) => token.every(60_000)[Symbol.asyncIterator]().next(),
    'run of a scope': (token) => scope(token, (s) => s.run((own) => own.sleep(60_000))),
    'map of a scope': (token) => scope(token, (s) => s.map([1], (_, own) => own.wait())),
    'hedged works of a scope': (token) => scope(token, (s) => s.any([(own) => own.wait()], { hedge: 60_000 })),
    'a loop with checkpoints': async (token) => {
      for await (const _ of token.turns());
    },
  }

  beforeEach(() => {
    vi.useFakeTimers({
      toFake: [
        ...(['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] as const),
        ...(['Date', 'performance', 'hrtime', 'queueMicrotask'] as const),
      ],
    })
  })
  afterEach(() => void vi.useRealTimers())

  for (const [name, start] of Object.entries(starts)) {
    it(`a cancel settles it, with no clock moved: ${name}`, async () => {
      for (const isDead of [false, true]) {
        const token = new SimpleToken()
        if (isDead) token.cancel()
        const seen = watch({ it: start(token) })
        if (!isDead) {
          await turn()
          expect(seen).toEqual([])
          token.cancel()
        }
        for (let turns = 0; turns < 10 && seen.length === 0; turns++) await turn()
        expect(seen).toHaveLength(1)
      }
    })
  }

  it('what a listener throws surfaces', async () => {
    const before = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    const errors: unknown[] = []
    process.on('uncaughtException', (error) => errors.push(error))
    try {
      const token = new SimpleToken()
      const failure = new Error('the listener broke')
      token.onCancel(() => {
        throw failure
      })
      token.cancel()
      await turn()
      expect(errors).toEqual([failure])
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of before) process.on('uncaughtException', listener)
    }
  })
})
