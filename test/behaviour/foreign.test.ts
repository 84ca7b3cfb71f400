/** Foreign signals are believed by their state, and nothing of theirs, a reason or a getter that throws, hangs or breaks a token. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  allOf,
  anyOf,
  type CancellationToken,
  ConditionToken,
  from,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { manualClock } from 'calloff/testing'
import { drawn, EditorSource, OtherSignal, rejection, stateOf, thrown } from './helpers.js'

/** Every way to put a token over something foreign. */
const ways: readonly (readonly [string, (foreign: AbortSignal) => CancellationToken])[] = [
  ['from', (foreign) => from(foreign)],
  ['a nested token', (foreign) => new SimpleToken(foreign)],
  ['after options', (foreign) => new SimpleToken({ name: 'own' }, foreign)],
  ['a deadline over it', (foreign) => new TimeoutToken(3_600_000, foreign)],
  ['plus', (foreign) => new SimpleToken().plus(foreign)],
  ['anyOf', (foreign) => anyOf(foreign, new SimpleToken())],
  ['allOf', (foreign) => allOf(foreign)],
  ['far below', (foreign) => new SimpleToken(new SimpleToken(from(foreign)))],
  ['grace', (foreign) => from(foreign).grace(0)],
]

/** Every way to be told of the end of a token: each gives a promise of its error. */
const waits: readonly (readonly [string, (token: CancellationToken) => Promise<unknown>])[] = [
  ['wait()', (token) => token.wait()],
  ['race()', (token) => rejection(token.race(new Promise(() => {})))],
  ['sleep()', (token) => rejection(token.sleep(3_600_000))],
  ['iterate()', (token) => rejection(token.iterate(silent())[Symbol.asyncIterator]().next())],
  [
    'onCancel()',
    (token) =>
      new Promise((resolve) => {
        token.onCancel(resolve)
      }),
  ],
  [
    'signal',
    (token) =>
      new Promise((resolve) => {
        const { signal } = token
        signal.addEventListener('abort', () => resolve(signal.reason))
      }),
  ],
]

function silent(): AsyncIterable<number> {
  return { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
}

/** A reason that throws whatever is done with it. */
function revoked(target: object = {}): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function throwing(): never {
  throw new Error('do not touch')
}

const hostileReasons: readonly (readonly [string, () => unknown])[] = [
  ['a revoked proxy', () => revoked()],
  ['a revoked function', () => revoked(() => {})],
  ['a revoked array', () => revoked([])],
  ['a revoked error', () => revoked(new Error('inner'))],
  ['a proxy all of whose traps throw', () => new Proxy({}, { get: throwing, has: throwing, getPrototypeOf: throwing })],
  ['getters that throw', () => Object.defineProperty({}, 'message', { get: throwing })],
  ['a name that throws', () => Object.defineProperty(new DOMException('x'), 'name', { get: throwing })],
  ['a tag that throws', () => Object.defineProperty({}, Symbol.toStringTag, { get: throwing })],
  ['what only pretends to be one of ours', () => ({ [Symbol.for('calloff.CancellationError')]: true })],
  [
    'what pretends to be one of ours, and throws',
    () => Object.defineProperty({ [Symbol.for('calloff.CancellationError')]: true }, 'token', { get: throwing }),
  ],
]

/** Nothing of what may be asked of a cancelled token throws. */
function assertAnswers(token: CancellationToken, reason: unknown): void {
  assert.equal(token.cancelled, true)
  assert.equal(token.keepOn(), false)
  assert.equal(token.reason, reason)
  assert.equal(token.error?.cause, reason)
  assert.equal(token.error?.kind, 'signal')
  assert.equal(typeof token.error?.message, 'string')
  assert.equal(typeof token.error?.stack, 'string')
  assert.equal(
    thrown(() => token.check()),
    token.error,
  )
  assert.equal(token.signal.reason, token.error)
  assert.equal(token.remaining, 0)
  assert.ok(token.path.at(-1) === token)
  assert.equal(typeof String(token), 'string')
  assert.equal(typeof drawn(token), 'string')
  assert.equal(isCancellation(token.error, token), true)
  assert.equal(isCancellation(token.error), true)
  assert.equal(typeof isCancellation(reason, token), 'boolean')
  assert.equal(typeof isCancellation(reason), 'boolean')
}

describe('20. an abort is heard although another listener has stopped the event', () => {
  for (const [name, make] of ways) {
    it(`by all who wait for ${name}`, async () => {
      const controller = new AbortController()
      controller.signal.addEventListener('abort', (event) => event.stopImmediatePropagation())
      const token = make(controller.signal)
      const waiting = waits.map(([, wait]) => wait(token))
      controller.abort('why')
      for (const error of await Promise.all(waiting)) assert.equal(error, token.error)
      assert.equal(token.reason, 'why')
    })
  }

  it('of a composite signal, too', async () => {
    const controller = new AbortController()
    const composite = AbortSignal.any([controller.signal])
    composite.addEventListener('abort', (event) => event.stopImmediatePropagation())
    const waiting = from(composite).wait()
    controller.abort('why')
    assert.equal((await waiting).cause, 'why')
  })

  it('once, and no more after the listener was taken back', () => {
    const controller = new AbortController()
    let calls = 0
    const stopped = from(controller.signal).onCancel(() => calls++)
    from(controller.signal).onCancel(() => (calls += 10))
    assert.equal(stopped.stop(), true)
    controller.abort()
    assert.equal(calls, 10)
  })
})

describe('20. an abort event of a signal that is not aborted is nothing', () => {
  for (const [name, make] of ways) {
    it(`for those who wait for ${name}; the abort itself is heard afterwards`, async () => {
      const controller = new AbortController()
      const token = make(controller.signal)
      const waiting = waits.map(([, wait]) => wait(token))
      for (let i = 0; i < 3; i++) controller.signal.dispatchEvent(new Event('abort'))
      for (const one of waiting) assert.equal(await stateOf(one), 'pending')
      assert.equal(token.cancelled, false)
      assert.equal(token.error, undefined)
      controller.abort('why')
      for (const error of await Promise.all(waiting)) assert.equal(error, token.error)
      assert.equal(token.reason, 'why')
    })
  }

  const others: readonly (readonly [string, () => { token: CancellationToken; event: () => void; end: () => void }])[] =
    [
      [
        'a signal of a polyfill',
        () => {
          const signal = new OtherSignal()
          const event = () => {
            for (const listener of signal.listeners) listener()
          }
          return { token: from(signal), event, end: () => signal.abort('why') }
        },
      ],
      [
        'a VS Code token',
        () => {
          const source = new EditorSource()
          const event = () => {
            for (const listener of source.listeners) listener()
          }
          return { token: from(source), event, end: () => source.cancel() }
        },
      ],
      [
        'a token of another copy',
        () => {
          const source = new OtherCopy()
          const event = () => {
            for (const listener of source.listeners) listener()
          }
          return { token: from(source as unknown as CancellationToken), event, end: () => source.cancel() }
        },
      ],
    ]
  for (const [name, make] of others) {
    it(`of ${name} as well`, async () => {
      const { token, event, end } = make()
      const waiting = token.wait()
      event()
      assert.equal(await stateOf(waiting), 'pending')
      assert.equal(token.cancelled, false)
      end()
      assert.equal(await waiting, token.error)
    })
  }
})

/** A token of another copy of the package, as far as we rely on it. */
class OtherCopy {
  error: Error | undefined = undefined
  readonly remaining = Infinity
  readonly listeners = new Set<() => void>()
  #isCancelled = false

  constructor() {
    Object.defineProperty(this, Symbol.for('calloff.CancellationToken'), { value: true })
  }

  isCancelled(): boolean {
    return this.#isCancelled
  }

  onCancel(listener: () => void): { stop(): boolean } {
    this.listeners.add(listener)
    return { stop: () => this.listeners.delete(listener) }
  }

  cancel(): void {
    this.#isCancelled = true
    this.error = new SimpleToken({ name: 'theirs' }).cancel().error
    for (const listener of this.listeners) listener()
  }
}

describe('19. a reason that throws when it is touched breaks nothing', () => {
  for (const [what, reason] of hostileReasons) {
    for (const [name, make] of ways) {
      it(`${what} as the reason of a signal: ${name}`, async () => {
        const controller = new AbortController()
        const token = make(controller.signal)
        const waiting = waits.map(([, wait]) => wait(token))
        const given = reason()
        controller.abort(given)
        for (const error of await Promise.all(waiting)) assert.equal(error, token.error)
        assertAnswers(token, given)
        assertAnswers(make(AbortSignal.abort(given)), given)
      })
    }

    it(`${what} as the reason of a cancel by hand, here and in shared memory`, () => {
      const given = reason()
      const token = new SimpleToken().cancel(given)
      assert.equal(token.error?.cause, given)
      assert.equal(new SimpleToken(token.signal).error, token.error)
      for (const shared of [new SharedToken(), share(new SimpleToken())]) {
        const there = SharedToken.from(structuredClone(shared.handle))
        shared.cancel(given)
        assert.equal(shared.reason, given)
        assert.equal(there.cancelled, true)
        assert.equal(typeof there.error?.message, 'string')
      }
    })
  }
})

describe('19. foreign code that misbehaves breaks nothing', () => {
  it('a getter that throws says that nothing was cancelled', async () => {
    let isHostile = false
    const ifHostile = <T>(value: T): T => (isHostile ? throwing() : value)
    const signal = new OtherSignal()
    const editor = new EditorSource()
    const copy = new OtherCopy()
    for (const [object, keys] of [
      [signal, ['aborted', 'reason']],
      [editor, ['isCancellationRequested']],
      [copy, ['error', 'remaining']],
    ] as const) {
      for (const key of keys) {
        let value = (object as unknown as Record<string, unknown>)[key]
        const set = (given: unknown) => {
          value = given
        }
        Object.defineProperty(object, key, { get: () => ifHostile(value), set })
      }
    }
    for (const foreign of [signal, editor, copy as unknown as CancellationToken]) {
      const token = from(foreign)
      const waiting = token.wait()
      isHostile = true
      for (const listener of foreign instanceof OtherCopy ? copy.listeners : []) listener()
      if (foreign === signal) for (const listener of signal.listeners) listener()
      if (foreign === editor) for (const listener of editor.listeners) listener()
      assert.equal(token.error, undefined)
      assert.equal(token.cancelled, false)
      assert.equal(token.remaining, Infinity)
      assert.equal(typeof String(token), 'string')
      assert.equal(await stateOf(waiting), 'pending')
      isHostile = false
      if (foreign === signal) signal.abort('why')
      else if (foreign === editor) editor.cancel()
      else copy.cancel()
      assert.equal(await waiting, token.error)
    }
  })

  it('an abort whose reason cannot be read is one without a reason', () => {
    const signal = new OtherSignal()
    Object.defineProperty(signal, 'reason', { get: throwing, set() {} })
    const token = from(signal)
    token.onCancel(() => {})
    signal.abort('why')
    assert.equal(token.cancelled, true)
    assert.equal(token.reason, undefined)
  })

  it('what cannot be listened to is polled by its state', async () => {
    using clock = manualClock()
    const signal = new OtherSignal()
    signal.addEventListener = throwing
    const editor = new EditorSource()
    editor.onCancellationRequested = throwing
    for (const [foreign, end] of [
      [signal, () => signal.abortSilently('why')],
      [editor, () => editor.cancel()],
    ] as const) {
      const token = from(foreign)
      const waiting = token.wait()
      let calls = 0
      token.onCancel(() => calls++)
      clock.tick(100)
      assert.equal(calls, 0)
      end()
      clock.tick(10)
      assert.equal(await waiting, token.error)
      assert.equal(calls, 1)
    }
  })

  it('one that calls back at once is heard, and let go of', () => {
    let disposed = 0
    let isCancelled = false
    const editor = {
      get isCancellationRequested() {
        return isCancelled
      },
      onCancellationRequested(listener: () => unknown) {
        isCancelled = true
        listener()
        return { dispose: () => void disposed++ }
      },
    }
    const token = from(editor)
    let told: unknown
    token.onCancel((error) => (told = error))
    assert.equal(told, token.error)
    assert.equal(token.cancelled, true)
    assert.equal(disposed, 1)
  })

  it('one whose registration is nothing, or whose dispose throws, is let go of', () => {
    for (const registration of [undefined, null, {}, { dispose: throwing, stop: throwing }]) {
      const editor = new EditorSource()
      const { onCancellationRequested } = editor
      editor.onCancellationRequested = (listener) => {
        onCancellationRequested.call(editor, listener)
        return registration as never
      }
      const copy = new OtherCopy()
      const { onCancel } = copy
      copy.onCancel = (listener) => {
        onCancel.call(copy, listener)
        return registration as never
      }
      for (const foreign of [editor, copy as unknown as CancellationToken]) {
        assert.equal(
          from(foreign)
            .onCancel(() => {})
            .stop(),
          true,
        )
        let calls = 0
        from(foreign).onCancel(() => calls++)
        if (foreign === editor) editor.cancel()
        else copy.cancel()
        assert.equal(calls, 1)
        assert.equal(from(foreign).cancelled, true)
      }
    }
    const signal = new OtherSignal()
    signal.removeEventListener = throwing
    assert.equal(
      from(signal)
        .onCancel(() => {})
        .stop(),
      true,
    )
  })

  it('a function whose name throws has none', () => {
    const get = (target: () => boolean, key: PropertyKey): unknown =>
      key === 'name' ? throwing() : Reflect.get(target, key)
    const condition = new ConditionToken(new Proxy(() => false, { get }))
    assert.equal(String(condition), 'ConditionToken(λ)')
    assert.equal(condition.cancelled, false)
    class Mine extends SimpleToken {}
    assert.equal(String(new Mine()), 'Mine()')
    Object.defineProperty(Mine, 'name', { get: throwing })
    assert.equal(String(new Mine()), 'SimpleToken()')
  })

  it('a text or a deadline of another copy that throws is none', () => {
    const copy = new OtherCopy()
    Object.defineProperty(copy, 'toString', { value: throwing })
    Object.defineProperty(copy, 'remaining', { get: throwing })
    const token = new SimpleToken(copy as unknown as CancellationToken)
    assert.equal(String(token), 'SimpleToken(from(CancellationToken))')
    assert.equal(token.remaining, Infinity)
  })

  it('a revoked proxy where a token is wanted is a TypeError that names the argument', () => {
    const given = revoked() as AbortSignal
    assert.throws(() => from(given), { name: 'TypeError', message: /^foreign must be / })
    assert.throws(() => NEVER.plus(given), { name: 'TypeError', message: /^nested must be / })
    assert.throws(() => allOf(given), { name: 'TypeError', message: /^token must be / })
    assert.throws(() => new SimpleToken(given), { name: 'TypeError', message: /^options must be / })
    assert.throws(() => new TimeoutToken(5, given), { name: 'TypeError', message: /^options must be / })
  })
})
