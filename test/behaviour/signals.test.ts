import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  anyOf,
  type CancellationToken,
  ConditionToken,
  DefaultToken,
  from,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { EditorSource, OtherSignal, rejection, turn } from './helpers.js'
import { kinds } from './kinds.js'

describe('token.signal', () => {
  for (const { name, make } of kinds) {
    it(`is a real AbortSignal, always the same, and fires once: ${name}`, () => {
      const token = make()
      const { signal } = token
      assert.ok(signal instanceof AbortSignal)
      assert.equal(token.signal, signal)
      signal.throwIfAborted()
      let events = 0
      signal.addEventListener('abort', () => events++)
      let once = 0
      signal.onabort = () => once++
      token.cancel()
      assert.equal(token.signal, signal)
      assert.equal(signal.aborted, true)
      assert.deepEqual([events, once], [1, 1])
    })
  }

  it('of a DefaultToken is one that never fires', () => {
    assert.ok(NEVER.signal instanceof AbortSignal)
    assert.equal(NEVER.signal, NEVER.signal)
    assert.equal(AbortSignal.any([NEVER.signal]).aborted, false)
  })

  it('fires for a cancel anywhere above, made before or after it', () => {
    for (const early of [true, false]) {
      const root = new SimpleToken()
      const token = new SimpleToken(new SimpleToken(), new SimpleToken(root))
      if (early) assert.equal(token.signal.aborted, false)
      const composite = AbortSignal.any([token.signal, new AbortController().signal])
      root.cancel('why')
      assert.equal(token.signal.aborted, true)
      assert.equal(composite.aborted, true)
      assert.equal(composite.reason, root.error)
    }
  })

  it('of a token below fires, not that of one above or beside', () => {
    const root = new SimpleToken()
    const [left, right] = [new SimpleToken(root), new SimpleToken(root)]
    const signals = [root.signal, left.signal, right.signal, new SimpleToken(left).signal]
    left.cancel()
    assert.deepEqual(
      signals.map((signal) => signal.aborted),
      [false, true, false, true],
    )
  })

  it('fires at a deadline, without polls and listeners', () => {
    using clock = manualClock()
    const { signal } = new SimpleToken(new SimpleToken(), new TimeoutToken(50))
    clock.tick(49)
    assert.equal(signal.aborted, false)
    clock.tick(1)
    assert.equal(signal.aborted, true)
  })

  it('fires when a condition comes true', () => {
    using clock = manualClock()
    let over = false
    const { signal } = anyOf(new ConditionToken(() => over))
    clock.tick(100)
    over = true
    clock.tick(10)
    assert.equal(signal.aborted, true)
    assert.equal((signal.reason as { kind: string }).kind, 'condition')
  })

  it('agrees with its token on which of two sources it was, whichever is read first', () => {
    for (const ask of [
      (token: CancellationToken) => token.cancelled,
      (token: CancellationToken) => token.signal.aborted,
    ]) {
      const [a, b] = [new SimpleToken(), new SimpleToken()]
      const token = new SimpleToken(a, b)
      const { signal } = token
      b.cancel()
      a.cancel()
      assert.equal(ask(token), true)
      assert.equal(signal.reason, token.error)
      assert.ok(signal.reason === a.error || signal.reason === b.error)
    }
  })

  it('with a listener has the reason of the first source in time, and so has the token', () => {
    const [a, b] = [new SimpleToken(), new SimpleToken()]
    const token = new SimpleToken(a, b)
    const { signal } = token
    const told: unknown[] = []
    signal.addEventListener('abort', () => told.push(signal.reason))
    b.cancel()
    a.cancel()
    assert.deepEqual(told, [b.error])
    assert.equal(token.error, b.error)
    assert.equal(token.cancelledBy, b)
  })

  it('works where the platform takes one', async () => {
    const token = new SimpleToken()
    const target = new EventTarget()
    let events = 0
    target.addEventListener('ping', () => events++, { signal: token.signal })
    target.dispatchEvent(new Event('ping'))
    const piping = rejection(new ReadableStream({}).pipeTo(new WritableStream(), { signal: token.signal }))
    const error = token.cancel('stop').error
    target.dispatchEvent(new Event('ping'))
    assert.equal(events, 1)
    assert.equal(await piping, error)
  })

  it('many listeners on one make no warning and are all called', () => {
    const token = new SimpleToken()
    let calls = 0
    for (let i = 0; i < 100; i++) token.signal.addEventListener('abort', () => calls++)
    for (let i = 0; i < 100; i++) new SimpleToken(token).signal.addEventListener('abort', () => calls++)
    token.cancel()
    assert.equal(calls, 200)
  })
})

describe('from', () => {
  it('gives one of ours as it is', () => {
    for (const { make } of kinds) {
      const token = make()
      assert.equal(from(token), token)
    }
    assert.equal(from(NEVER), NEVER)
  })

  it('makes a DefaultToken of nothing', () => {
    assert.ok(from(undefined) instanceof DefaultToken)
    assert.ok(from(null) instanceof DefaultToken)
    assert.equal(from(null).cancelled, false)
  })

  const sources: readonly (readonly [
    string,
    () => { token: CancellationToken; end: () => unknown; reason: unknown },
  ])[] = [
    [
      'an AbortSignal',
      () => {
        const controller = new AbortController()
        return { token: from(controller.signal), end: () => controller.abort('why'), reason: 'why' }
      },
    ],
    [
      'an AbortController',
      () => {
        const controller = new AbortController()
        return { token: from(controller), end: () => controller.abort('why'), reason: 'why' }
      },
    ],
    [
      'a composite signal',
      () => {
        const controller = new AbortController()
        return { token: from(AbortSignal.any([controller.signal])), end: () => controller.abort('why'), reason: 'why' }
      },
    ],
    [
      'a signal of a polyfill',
      () => {
        const signal = new OtherSignal()
        return { token: from(signal), end: () => signal.abort('why'), reason: 'why' }
      },
    ],
    [
      'a VS Code token',
      () => {
        const source = new EditorSource()
        return { token: from(source), end: () => source.cancel(), reason: undefined }
      },
    ],
  ]
  for (const [name, make] of sources) {
    it(`follows ${name}, polled, listened to and waited for`, async () => {
      const { token, end, reason } = make()
      assert.equal(token.cancelled, false)
      let told: unknown
      new SimpleToken(token).onCancel((error) => (told = error))
      const waiting = token.wait()
      end()
      assert.equal(token.cancelled, true)
      assert.equal(token.reason, reason)
      assert.equal(told, token.error)
      assert.equal(await waiting, token.error)
    })

    it(`follows ${name} that ended before, and one without listeners`, () => {
      const { token, end, reason } = make()
      end()
      assert.equal(token.cancelled, true)
      assert.equal(token.reason, reason)
      assert.equal(token.signal.aborted, true)
    })

    it(`cancels on its own without touching ${name}`, () => {
      const { token, end } = make()
      token.cancel('mine')
      end()
      assert.equal(token.reason, 'mine')
      assert.equal(token.error?.kind, 'manual')
    })
  }

  it('takes what is aborted already', () => {
    const signal = AbortSignal.abort('before')
    for (const token of [from(signal), new SimpleToken(signal), NEVER.plus(signal)]) {
      assert.equal(token.cancelled, true)
      assert.equal(token.reason, 'before')
    }
  })

  it('does not abort the controller it was given', () => {
    const controller = new AbortController()
    from(controller).cancel()
    assert.equal(controller.signal.aborted, false)
  })
})

describe('a foreign signal carries one listener of ours', () => {
  it('however many tokens derive from it, and only while it has a listener', async () => {
    const signal = new OtherSignal()
    const tokens = Array.from({ length: 50 }, (_, i) =>
      i % 2 ? from(signal) : new SimpleToken(new SimpleToken(), signal),
    )
    for (const token of tokens) assert.equal(token.cancelled, false)
    assert.equal(signal.added, 0)
    const registrations = tokens.map((token) => new SimpleToken(token).onCancel(() => {}))
    const limit = rejection((tokens[0] as CancellationToken).wait({ timeout: 1 }))
    assert.equal(signal.listeners.size, 1)
    await limit
    for (const registration of registrations) {
      assert.equal(signal.listeners.size, 1)
      registration.stop()
    }
    assert.equal(signal.listeners.size, 0)
    assert.equal(signal.added, 1)
  })

  it('and none after it has fired, or all who listened are cancelled', () => {
    const [fired, dropped] = [new OtherSignal(), new OtherSignal()]
    const tokens = [new SimpleToken(fired), new SimpleToken(dropped), new SimpleToken(dropped)]
    let calls = 0
    for (const token of tokens) token.onCancel(() => calls++)
    fired.abort('why')
    assert.equal(fired.listeners.size, 0)
    for (const token of tokens) token.cancel()
    assert.equal(dropped.listeners.size, 0)
    assert.equal(calls, 3)
  })

  it('for its signal too', async () => {
    const signal = new OtherSignal()
    const signals = Array.from({ length: 20 }, () => new SimpleToken(signal).signal)
    await turn()
    assert.ok(signal.listeners.size <= 1)
    signal.abort('why')
    for (const one of signals) assert.equal(one.aborted, true)
    assert.equal(new Set(signals.map((one) => one.reason as unknown)).size, 1)
  })

  it('as a VS Code token does', () => {
    const source = new EditorSource()
    const registrations = [from(source), from(source)].map((token) => token.onCancel(() => {}))
    assert.equal(source.listeners.size, 1)
    for (const registration of registrations) registration.stop()
    assert.equal(source.listeners.size, 0)
  })
})
