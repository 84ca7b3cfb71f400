import { after, before, describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { allOf, type CancellationToken, ConditionToken, CounterToken, from, SimpleToken, TimeoutToken } from 'calloff'
import { directPolls, looks, OtherSignal } from './helpers.js'

// Time passes when a test says so, and no timer notices: as if the thread had been busy all the while.
let skipped = 0
const real = performance
const skip = (ms: number) => void (skipped += ms)
const replace = (value: unknown) =>
  Object.defineProperty(globalThis, 'performance', { value, configurable: true, writable: true })
before(() => replace({ now: () => real.now() + skipped }))
after(() => replace(real))

/** Something that has ended, and nobody knows it yet: only a poll, or also a look, can discover it. */
const unnoticed: readonly (readonly [
  string,
  boolean,
  (below: (source: CancellationToken) => void) => CancellationToken,
])[] = [
  [
    'a deadline that passed while the thread was busy',
    true,
    (listen) => {
      const token = new TimeoutToken(10_000)
      listen(token)
      skip(10_000)
      return token
    },
  ],
  [
    'a counter that has just become empty',
    true,
    (listen) => {
      const token = new CounterToken(1)
      listen(token)
      assert.equal(token.keepOn(), true)
      return token
    },
  ],
  [
    'a signal that was aborted without an event',
    true,
    (listen) => {
      const signal = new OtherSignal()
      const token = from(signal)
      listen(token)
      signal.abortSilently('gone')
      return token
    },
  ],
  [
    'a condition that has come true',
    false,
    (listen) => {
      let over = false
      const token = new ConditionToken(() => over)
      listen(token)
      over = true
      return token
    },
  ],
  [
    'the last deadline of several',
    true,
    (listen) => {
      const token = allOf(new TimeoutToken(9_000), new SimpleToken().cancel(), new TimeoutToken(10_000))
      listen(token)
      skip(10_000)
      return token
    },
  ],
]

/** Listens at and below a token, and checks inside of each call that everybody agrees. */
function watch(source: CancellationToken): { told: string[]; signals: AbortSignal[]; below: CancellationToken } {
  const told: string[] = []
  const middle = new SimpleToken(source)
  const below = new SimpleToken(new SimpleToken(), middle)
  const tokens = { source, middle, below }
  for (const [name, token] of Object.entries(tokens)) {
    token.onCancel((error) => {
      told.push(name)
      for (const one of Object.values(tokens)) {
        assert.equal(one.cancelled, true)
        assert.equal(one.error, error)
        assert.equal(one.signal.aborted, true)
        assert.equal(one.signal.reason, error)
      }
    })
  }
  const signals = [below.signal, source.signal, middle.signal]
  signals.forEach((signal, i) => signal.addEventListener('abort', () => told.push(`signal ${i}`)))
  return { told, signals, below }
}

describe('5. a poll or read that discovers a cancellation makes it so', () => {
  for (const [name, byLook, make] of unnoticed) {
    const ways = [
      ...directPolls.map(([way, poll]) => [way, poll as (token: CancellationToken) => unknown] as const),
      ['isCancelled({ direct: false })', (token: CancellationToken) => token.isCancelled({ direct: false })] as const,
      ['wait()', (token: CancellationToken) => void token.wait()] as const,
      ...(byLook ? looks : []),
    ]
    for (const [way, discover] of ways) {
      it(`${name}, by ${way} of a token below: listeners have run and signals are aborted when it returns`, () => {
        const watched: ReturnType<typeof watch>[] = []
        const source = make((token) => watched.push(watch(token)))
        const [{ told, signals, below }] = watched as [ReturnType<typeof watch>]
        assert.equal(told.length, 0)
        void discover(below)
        const listeners = told.filter((one) => !one.startsWith('signal'))
        assert.deepEqual(listeners, ['source', 'middle', 'below'])
        assert.equal(told.length, 6)
        for (const signal of signals) assert.equal(signal.aborted, true)
        assert.equal(source.error, below.error)
        assert.ok(below.error)
      })
    }
  }

  it('the getter `signal` is such a read: the returned signal is aborted already', () => {
    const timeout = new TimeoutToken(10_000)
    skip(10_000)
    assert.equal(timeout.signal.aborted, true)
    assert.equal(new SimpleToken(new CounterToken(0)).signal.aborted, true)
    assert.equal(new SimpleToken().cancel().signal.aborted, true)
    assert.equal(from(AbortSignal.abort()).signal.aborted, true)
  })

  it('a poll of one branch is heard in all the others', () => {
    let over = false
    const source = new ConditionToken(() => over)
    const branches = [new SimpleToken(source), new SimpleToken(source), new SimpleToken(source)]
    const told: number[] = []
    branches.forEach((branch, i) => branch.onCancel(() => told.push(i)))
    over = true
    assert.equal(branches[2]?.cancelled, true)
    assert.deepEqual(told, [0, 1, 2])
  })

  it('cancel() returns when listeners have run and signals have fired', () => {
    const source = new SimpleToken()
    const { told, signals } = watch(source)
    source.cancel()
    assert.equal(told.length, 6)
    for (const signal of signals) assert.equal(signal.aborted, true)
  })

  it('an abort of a foreign signal is seen by every token in the same moment', () => {
    const controller = new AbortController()
    const { told, signals, below } = watch(from(controller.signal))
    controller.abort('why')
    assert.equal(told.length, 6)
    for (const signal of signals) assert.equal(signal.aborted, true)
    assert.equal(below.reason, 'why')
  })

  it('inside an abort event every token and signal agrees as well', () => {
    const source = new SimpleToken()
    const tokens = [source, new SimpleToken(source), new SimpleToken(new SimpleToken(source), new SimpleToken())]
    const signals = tokens.map((token) => token.signal)
    let events = 0
    for (const signal of signals) {
      signal.addEventListener('abort', () => {
        events++
        for (const token of tokens) assert.equal(token.cancelled, true)
        for (const one of tokens.map((token) => token.signal)) assert.equal(one.aborted, true)
      })
    }
    source.cancel()
    assert.equal(events, 3)
  })

  it('inside a listener a token made of a dead one is dead', () => {
    const source = new SimpleToken()
    const between = new SimpleToken(source)
    let checked = false
    source.onCancel((error) => {
      assert.equal(new SimpleToken(between).error, error)
      assert.equal(between.plus(new SimpleToken()).signal.reason, error)
      checked = true
    })
    source.cancel()
    assert.equal(checked, true)
  })

  it('a token without listeners agrees as soon as it is asked', () => {
    const source = new SimpleToken()
    const token = new SimpleToken(new SimpleToken(source))
    assert.equal(token.cancelled, false)
    source.cancel()
    const { signal } = token
    assert.equal(signal.aborted, true)
    assert.equal(signal.reason, token.error)
  })
})
