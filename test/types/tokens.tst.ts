import { describe, expect, test } from 'tstyche'
import type * as calloff from 'calloff'
import {
  allOf,
  anyOf,
  CANCELLED,
  type CancellationError,
  CancellationToken,
  ConditionToken,
  type ConditionTokenOptions,
  CounterToken,
  DefaultToken,
  type ForeignSignal,
  from,
  type TokenOrSignal,
  isCancellation,
  NEVER,
  type Registration,
  scope,
  SimpleToken,
  someOf,
  TimeoutToken,
  type TimeoutTokenOptions,
  type TokenView,
  type TokenOptions,
} from 'calloff'

declare const token: CancellationToken
declare const signal: AbortSignal
declare const controller: AbortController
/** As VS Code declares it. */
declare const editor: {
  readonly isCancellationRequested: boolean
  readonly onCancellationRequested: (
    listener: (e: unknown) => unknown,
    thisArgs?: unknown,
    disposables?: unknown[],
  ) => { dispose(): unknown }
}

declare const work: (token: CancellationToken) => void

describe('making tokens', () => {
  test('the base is abstract', () => {
    expect(CancellationToken).type.not.toBeConstructableWith()
    expect(CancellationToken).type.not.toBeConstructableWith({ name: 'x' })
    expect(() => {
      // @ts-expect-error Cannot create an instance of an abstract class.
      return new CancellationToken()
    }).type.toBeAssignableTo<() => CancellationToken>()
  })

  test('every kind takes its own arguments, then options or not, then nested tokens and signals', () => {
    expect(SimpleToken).type.toBeConstructableWith()
    expect(SimpleToken).type.toBeConstructableWith({ name: 'x', cancelled: true })
    expect(SimpleToken).type.toBeConstructableWith(token)
    expect(SimpleToken).type.toBeConstructableWith(signal, token)
    expect(SimpleToken).type.toBeConstructableWith({}, token, signal)
    expect(SimpleToken).type.toBeConstructableWith(undefined, token)
    expect(TimeoutToken).type.toBeConstructableWith(5)
    expect(TimeoutToken).type.toBeConstructableWith(5, { name: 'x' }, token, signal)
    expect(TimeoutToken).type.toBeConstructableWith(5, token, signal)
    expect(CounterToken).type.toBeConstructableWith(5)
    expect(CounterToken).type.toBeConstructableWith(5, { direct: false, name: 'x', cancelled: false }, token)
    expect(CounterToken).type.toBeConstructableWith(5, signal)
    expect(ConditionToken).type.toBeConstructableWith(() => true)
    expect(ConditionToken).type.toBeConstructableWith(
      () => true,
      {
        suppressExceptions: false,
        default: true,
        before: () => {},
        after: () => {},
        caching: false,
        pollEvery: 5,
        name: 'x',
      },
      token,
      signal,
    )
    expect(DefaultToken).type.toBeConstructableWith()
  })

  test('each is a CancellationToken', () => {
    expect(new SimpleToken()).type.toBe<SimpleToken>()
    expect<SimpleToken>().type.toBeAssignableTo<CancellationToken>()
    expect<TimeoutToken>().type.toBeAssignableTo<CancellationToken>()
    expect<ConditionToken>().type.toBeAssignableTo<CancellationToken>()
    expect<CounterToken>().type.toBeAssignableTo<CancellationToken>()
    expect<DefaultToken>().type.toBeAssignableTo<CancellationToken>()
    expect(NEVER).type.toBe<DefaultToken>()
    expect(CANCELLED).type.toBe<CancellationToken>()
    expect(TimeoutToken.until(new Date())).type.toBe<TimeoutToken>()
    expect(TimeoutToken.until(0, { name: 'x' }, token)).type.toBe<TimeoutToken>()
  })

  test('but one kind is not another', () => {
    expect<SimpleToken>().type.not.toBeAssignableTo<CounterToken>()
    expect<SimpleToken>().type.not.toBeAssignableTo<TimeoutToken>()
    expect<CancellationToken>().type.not.toBeAssignableTo<ConditionToken>()
  })

  test('what is no token and no signal does not compile where one is wanted', () => {
    expect(work).type.toBeCallableWith(token)
    expect(SimpleToken).type.not.toBeConstructableWith('token')
    expect(SimpleToken).type.not.toBeConstructableWith(5)
    expect(SimpleToken).type.not.toBeConstructableWith(null)
    expect(SimpleToken).type.not.toBeConstructableWith({}, 'token')
    expect(SimpleToken).type.not.toBeConstructableWith({}, {})
    expect(SimpleToken).type.not.toBeConstructableWith(token, { name: 'x' })
    expect(SimpleToken).type.not.toBeConstructableWith({}, controller)
    expect(SimpleToken).type.not.toBeConstructableWith({}, null)
    expect(SimpleToken).type.not.toBeConstructableWith(() => true)
    expect(work).type.not.toBeCallableWith('token')
    expect(work).type.not.toBeCallableWith(signal)
    expect(work).type.not.toBeCallableWith(undefined)
    expect(work).type.not.toBeCallableWith(null)
    expect(work).type.not.toBeCallableWith({ cancelled: false })
    expect(DefaultToken).type.not.toBeConstructableWith({})
    expect(DefaultToken).type.not.toBeConstructableWith(token)
  })

  test('wrong options do not compile', () => {
    expect(SimpleToken).type.not.toBeConstructableWith({ nam: 'x' })
    expect(SimpleToken).type.not.toBeConstructableWith({ name: 5 })
    expect(SimpleToken).type.not.toBeConstructableWith({ name: null })
    expect(SimpleToken).type.not.toBeConstructableWith({ cancelled: 'yes' })
    expect(SimpleToken).type.not.toBeConstructableWith({ direct: false })
    expect(TimeoutToken).type.not.toBeConstructableWith()
    expect(TimeoutToken).type.not.toBeConstructableWith('5s')
    expect(TimeoutToken).type.not.toBeConstructableWith(5n)
    expect(TimeoutToken).type.not.toBeConstructableWith(token)
    expect(TimeoutToken).type.not.toBeConstructableWith(5, { pollEvery: 5 })
    expect(TimeoutToken.until).type.not.toBeCallableWith('2030-01-01')
    expect(CounterToken).type.not.toBeConstructableWith()
    expect(CounterToken).type.not.toBeConstructableWith('5')
    expect(CounterToken).type.not.toBeConstructableWith(5, { direct: 'no' })
    expect(CounterToken).type.not.toBeConstructableWith(5, { pollEvery: 5 })
    expect(ConditionToken).type.not.toBeConstructableWith()
    expect(ConditionToken).type.not.toBeConstructableWith(true)
    expect(ConditionToken).type.not.toBeConstructableWith(() => 'yes')
    expect(ConditionToken).type.not.toBeConstructableWith(() => undefined)
    expect(ConditionToken).type.not.toBeConstructableWith(async () => true)
    expect(ConditionToken).type.not.toBeConstructableWith((wanted: number) => wanted > 5)
    expect(ConditionToken).type.not.toBeConstructableWith(() => true, { pollEvery: '5' })
    expect(ConditionToken).type.not.toBeConstructableWith(() => true, { before: true })
    expect(ConditionToken).type.not.toBeConstructableWith(() => true, { default: 'yes' })
    expect(ConditionToken).type.not.toBeConstructableWith(() => true, { direct: false })
  })

  test('options may be undefined, as a whole and one by one, and come from readonly objects', () => {
    expect<{ readonly name: undefined }>().type.toBeAssignableTo<TokenOptions>()
    expect<{
      readonly pollEvery: undefined
      readonly caching: undefined
    }>().type.toBeAssignableTo<ConditionTokenOptions>()
    expect(TimeoutToken).type.toBeConstructableWith(5, undefined, token)
    expect(SimpleToken).type.toBeConstructableWith(Object.freeze({ name: 'x', cancelled: undefined }))
  })
})

describe('what a token has', () => {
  test('polls and reads', () => {
    expect(token.cancelled).type.toBe<boolean>()
    expect(token.isCancelled()).type.toBe<boolean>()
    expect(token.isCancelled({ direct: false })).type.toBe<boolean>()
    expect(token.isCancelled).type.not.toBeCallableWith(true)
    expect(token.isCancelled).type.not.toBeCallableWith({ direct: 'no' })
    expect(token.isCancelled).type.not.toBeCallableWith({ dirct: false })
    expect(token.keepOn()).type.toBe<boolean>()
    expect(token.check()).type.toBe<void>()
    expect(token.error).type.toBe<CancellationError | undefined>()
    expect(token.cancelledBy).type.toBe<CancellationToken | undefined>()
    expect(token.reason).type.toBe<unknown>()
    expect(token.remaining).type.toBe<number>()
    expect(token.name).type.toBe<string | undefined>()
    expect(token.canBeCancelled).type.toBe<boolean>()
    // @ts-expect-error Cannot assign to 'canBeCancelled' because it is a read-only property.
    token.canBeCancelled = false
    expect(token.signal).type.toBe<AbortSignal>()
    expect(String(token)).type.toBe<string>()
    expect(new CounterToken(5).counter).type.toBe<number>()
    expect(new TimeoutToken(5).restart()).type.toBe<boolean>()
    expect(new TimeoutToken(5).restart).type.toBe<(ms?: number) => boolean>()
    expect(new TimeoutToken(5).extend).type.toBe<(ms: number) => boolean>()
    expect(new TimeoutToken(5).disarm).type.toBe<() => boolean>()
    expect(new TimeoutToken(5).extend).type.not.toBeCallableWith()
    expect(new TimeoutToken(5).restart).type.not.toBeCallableWith('5')
    expect(TimeoutToken).type.toBeConstructableWith(5, { reason: new Error('slow'), name: 'x' }, token)
    expect(TimeoutToken).type.not.toBeConstructableWith(5, { reson: 'slow' })
    expect(TimeoutToken.until).type.toBeCallableWith(new Date(), { reason: 'slow' }, token)
    expect(SimpleToken).type.not.toBeConstructableWith({ reason: 'slow' })
    const options: TimeoutTokenOptions = { reason: 5 }
    expect(options.reason).type.toBe<unknown>()
  })

  test('cancel takes a reason of any type and gives the token, as the kind it is', () => {
    expect<Parameters<CancellationToken['cancel']>[0]>().type.toBe<unknown>()
    expect(token.cancel).type.toBeCallableWith()
    expect(token.cancel).type.toBeCallableWith(null)
    expect(token.cancel).type.toBeCallableWith({ code: 5 })
    expect(token.cancel).type.toBeCallableWith(new Error('x'))
    expect(token.cancel).type.not.toBeCallableWith('reason', 'another')
    expect(token.cancel()).type.toBe<CancellationToken>()
    expect(new SimpleToken().cancel('x')).type.toBe<SimpleToken>()
    expect(new CounterToken(5).cancel()).type.toBe<CounterToken>()
    expect(new DefaultToken().cancel).type.toBe<() => never>()
  })

  test('listeners are given the error, and may return anything', () => {
    expect(token.onCancel(() => {})).type.toBe<Registration>()
    token.onCancel((error) => expect(error).type.toBe<CancellationError>())
    expect(token.onCancel).type.toBeCallableWith(async () => {})
    expect(token.onCancel).type.toBeCallableWith(() => 5)
    expect(token.onCancel).type.toBeCallableWith((error: Error) => error.message)
    expect(token.onCancel).type.not.toBeCallableWith()
    expect(token.onCancel).type.not.toBeCallableWith('listener')
    expect(token.onCancel).type.not.toBeCallableWith(null)
    expect(token.onCancel).type.not.toBeCallableWith((text: string) => text)
    expect(token.onCancel).type.not.toBeCallableWith((error: Error, more: number) => [error, more])
  })

  test('a registration stops, and is Disposable', () => {
    expect<Registration>().type.toBeAssignableTo<Disposable>()
    expect<Registration>().type.toBeAssignableTo<{ stop(): boolean; [Symbol.dispose](): void }>()
    expect<Registration['stop']>().type.toBe<() => boolean>()
    expect<{ stop(): boolean }>().type.not.toBeAssignableTo<Registration>()
  })

  test('members are readonly', () => {
    expect(() => {
      // @ts-expect-error Cannot assign to 'cancelled' because it is a read-only property.
      token.cancelled = true
      // @ts-expect-error Cannot assign to 'name' because it is a read-only property.
      token.name = 'x'
      // @ts-expect-error Cannot assign to 'reason' because it is a read-only property.
      token.reason = 'x'
      // @ts-expect-error Cannot assign to 'error' because it is a read-only property.
      token.error = undefined
      // @ts-expect-error Cannot assign to 'cancelledBy' because it is a read-only property.
      token.cancelledBy = token
      // @ts-expect-error Cannot assign to 'remaining' because it is a read-only property.
      token.remaining = 5
      // @ts-expect-error Cannot assign to 'signal' because it is a read-only property.
      token.signal = signal
      // @ts-expect-error Cannot assign to 'counter' because it is a read-only property.
      new CounterToken(5).counter = 6
      // @ts-expect-error Cannot assign to 'error' because it is a read-only property.
      SimpleToken.error = TimeoutToken.error
    }).type.toBeAssignableTo<() => void>()
  })

  test('what the engine keeps in it is not to be seen', () => {
    for (const one of [
      token,
      new SimpleToken(),
      new TimeoutToken(5),
      new CounterToken(5),
      new ConditionToken(() => true),
    ]) {
      expect(one).type.not.toHaveProperty('outcome')
      expect(one).type.not.toHaveProperty('hub')
      expect(one).type.not.toHaveProperty('seen')
      expect(one).type.not.toHaveProperty('sources')
      expect(one).type.not.toHaveProperty('rules')
      expect(one).type.not.toHaveProperty('opaque')
      expect(one).type.not.toHaveProperty('polled')
      expect(one).type.not.toHaveProperty('uncached')
      expect(one).type.not.toHaveProperty('ask')
      expect(one).type.not.toHaveProperty('conclude')
      expect(one).type.not.toHaveProperty('sourceEnded')
      expect(one).type.not.toHaveProperty('arm')
      expect(one).type.not.toHaveProperty('explain')
      expect(one).type.not.toHaveProperty('form')
      expect(one).type.not.toHaveProperty('unclonable')
    }
    expect(new TimeoutToken(5)).type.not.toHaveProperty('deadline')
    expect(new TimeoutToken(5)).type.not.toHaveProperty('ms')
  })

  test('nor is the engine itself exported', () => {
    expect<typeof calloff>().type.not.toHaveProperty('settle')
    expect<typeof calloff>().type.not.toHaveProperty('toToken')
    expect<typeof calloff>().type.not.toHaveProperty('isOptions')
    expect<typeof calloff>().type.not.toHaveProperty('useClock')
    expect<typeof calloff>().type.not.toHaveProperty('bindListeners')
    expect<typeof calloff>().type.not.toHaveProperty('GraceToken')
  })
})

describe('combining tokens', () => {
  test('plus, anyOf, allOf take tokens and signals', () => {
    expect(token.plus(new SimpleToken(), signal)).type.toBe<CancellationToken>()
    expect(token.plus()).type.toBe<CancellationToken>()
    expect(new CounterToken(5).plus(token)).type.toBe<CancellationToken>()
    expect(anyOf(token, signal, NEVER)).type.toBe<CancellationToken>()
    expect(allOf(token, signal, NEVER)).type.toBe<CancellationToken>()
    expect(anyOf()).type.toBe<CancellationToken>()
    expect(allOf(...([token, signal] as TokenOrSignal[]))).type.toBe<CancellationToken>()
    expect(anyOf).type.not.toBeCallableWith('token')
    expect(anyOf).type.not.toBeCallableWith([token])
    expect(anyOf).type.not.toBeCallableWith(token, undefined)
    expect(anyOf).type.not.toBeCallableWith(null)
    expect(allOf).type.not.toBeCallableWith('token')
    expect(allOf).type.not.toBeCallableWith([token])
    expect(allOf).type.not.toBeCallableWith(token, undefined)
    expect(allOf).type.not.toBeCallableWith(null)
    expect(token.plus).type.not.toBeCallableWith('token')
    expect(token.plus).type.not.toBeCallableWith(5_000)
  })

  test('someOf takes a number and tokens', () => {
    expect(someOf(2, token, new AbortController().signal)).type.toBe<CancellationToken>()
    expect(someOf).type.toBeCallableWith(1, token, token)
    expect(someOf).type.not.toBeCallableWith(token, token)
    expect(someOf).type.not.toBeCallableWith(1, [token])
    expect(someOf).type.not.toBeCallableWith('1', token)
  })

  test('except takes kinds, at least one', () => {
    expect(token.except('disconnect')).type.toBe<CancellationToken>()
    expect(token.except).type.toBeCallableWith('disconnect', 'lease')
    expect(token.except).type.not.toBeCallableWith()
    expect(token.except).type.not.toBeCallableWith('disconect')
    expect(token.except).type.not.toBeCallableWith(['disconnect'])
  })

  test('a view has all but the ways to cancel it', () => {
    const { view } = token
    expect(view).type.toBe<TokenView>()
    expect(view).type.not.toHaveProperty('cancel')
    expect(view).type.not.toHaveProperty(Symbol.dispose)
    expect(view).type.not.toBeAssignableTo<CancellationToken>()
    expect(view).type.not.toBeAssignableTo<Disposable>()
    expect(token).type.toBeAssignableTo<TokenView>()
    expect(view.view).type.toBe<TokenView>()
    expect(view.plus(token)).type.toBe<CancellationToken>()
    expect(view.race(async () => 5)).type.toBe<Promise<number>>()
    expect(view.error).type.toBe<CancellationError | undefined>()
  })

  test('a view is taken wherever a token is, and from gives no way back', () => {
    const { view } = token
    expect(view).type.toBeAssignableTo<TokenOrSignal>()
    expect(new SimpleToken(view)).type.toBe<SimpleToken>()
    expect(new TimeoutToken(5, {}, view, token)).type.toBe<TimeoutToken>()
    expect(anyOf(view, token)).type.toBe<CancellationToken>()
    expect(token.plus(view)).type.toBe<CancellationToken>()
    expect(from(view)).type.toBe<TokenView>()
    expect(from(token)).type.toBe<CancellationToken>()
    expect(from(new AbortController())).type.toBe<CancellationToken>()
    expect(from({} as TokenOrSignal)).type.toBe<TokenView>()
    expect(scope(view, async () => 5)).type.toBe<Promise<number>>()
    expect(isCancellation).type.toBeCallableWith(new Error(), view)
  })

  test('grace gives a token', () => {
    expect(token.grace(5)).type.toBe<CancellationToken>()
    expect(token.grace).type.not.toBeCallableWith()
    expect(token.grace).type.not.toBeCallableWith('5s')
  })

  test('a signal is taken by its shape', () => {
    expect<AbortSignal>().type.toBeAssignableTo<ForeignSignal>()
    expect<AbortSignal>().type.toBeAssignableTo<TokenOrSignal>()
    expect<CancellationToken>().type.toBeAssignableTo<TokenOrSignal>()
    expect<AbortController>().type.not.toBeAssignableTo<TokenOrSignal>()
    expect<string>().type.not.toBeAssignableTo<TokenOrSignal>()
    expect<EventTarget>().type.not.toBeAssignableTo<TokenOrSignal>()
  })

  test('from takes whatever can cancel, and nothing', () => {
    expect(from).type.toBeCallableWith(token)
    expect(from).type.toBeCallableWith(signal)
    expect(from).type.toBeCallableWith(controller)
    expect(from).type.toBeCallableWith(editor)
    expect(from).type.toBeCallableWith(null)
    expect(from).type.toBeCallableWith(undefined)
    expect(from(signal)).type.toBe<CancellationToken>()
    expect(from({} as { signal?: AbortSignal }['signal'])).type.toBe<CancellationToken>()
    expect(from).type.not.toBeCallableWith('signal')
    expect(from).type.not.toBeCallableWith(5)
    expect(from).type.not.toBeCallableWith({})
    expect(from).type.not.toBeCallableWith({ signal })
    expect(from).type.not.toBeCallableWith(new EventTarget())
    expect(from).type.not.toBeCallableWith(() => false)
    expect(from).type.not.toBeCallableWith(Promise.resolve())
  })

  test('a token gives what fetch and the platform want', () => {
    expect(fetch).type.toBeCallableWith('http://localhost/', { signal: token.signal })
    expect(AbortSignal.any).type.toBeCallableWith([token.signal, signal])
    expect(fetch).type.not.toBeCallableWith('http://localhost/', { signal: token })
  })
})

describe('holding tokens', () => {
  test('using takes tokens and registrations', () => {
    using held = new TimeoutToken(5)
    using registration = held.onCancel(() => {})
    expect(held).type.toBe<TimeoutToken>()
    expect(registration).type.toBe<Registration>()
    expect<CancellationToken>().type.toBeAssignableTo<Disposable>()
  })

  test('an optional token has a default that never ends', () => {
    expect((limit: number, one: CancellationToken = new DefaultToken()) => (one.cancelled ? 0 : limit)).type.toBe<
      (limit: number, one?: CancellationToken) => number
    >()
  })
})
