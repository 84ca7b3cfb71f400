import { describe, expect, test } from 'tstyche'
import {
  type CancellationDetails,
  CancellationError,
  type CancellationKind,
  type CancellationToken,
  type ConditionCancellationError,
  ConditionToken,
  type CounterCancellationError,
  CounterToken,
  type ImpossibleCancelError,
  isCancellation,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'

declare const token: CancellationToken
declare const error: CancellationError

describe('cancellation errors', () => {
  test('say who and why', () => {
    expect<CancellationError>().type.toBeAssignableTo<Error>()
    expect(error.token).type.toBe<CancellationToken>()
    expect(error.kind).type.toBe<CancellationKind>()
    expect(error.code).type.toBe<'ABORT_ERR'>()
    expect(error.cause).type.toBe<unknown>()
    expect(error.name).type.toBe<string>()
    expect(error.message).type.toBe<string>()
  })

  test('a mere Error is none', () => {
    expect<Error>().type.not.toBeAssignableTo<CancellationError>()
    expect<DOMException>().type.not.toBeAssignableTo<CancellationError>()
    expect<{ name: string; message: string; code: 'ABORT_ERR' }>().type.not.toBeAssignableTo<CancellationError>()
  })

  test('the classes belong to the kinds of tokens', () => {
    expect<TimeoutCancellationError>().type.toBeAssignableTo<CancellationError>()
    expect<ConditionCancellationError>().type.toBeAssignableTo<CancellationError>()
    expect<CounterCancellationError>().type.toBeAssignableTo<CancellationError>()
    expect<ImpossibleCancelError>().type.toBeAssignableTo<CancellationError>()
    expect(SimpleToken.error).type.toBeAssignableTo<typeof CancellationError>()
    expect(TimeoutToken.error).type.toBeAssignableTo<typeof CancellationError>()
    expect(ConditionToken.error).type.toBeAssignableTo<typeof CancellationError>()
    expect(CounterToken.error).type.toBeAssignableTo<typeof CancellationError>()
    const caught: unknown = error
    if (caught instanceof TimeoutCancellationError) expect(caught).type.toBe<TimeoutCancellationError>()
  })

  test('the kinds are a closed set, so that a switch can be exhaustive', () => {
    // oxlint-disable-next-line consistent-return -- that it compiles is what is tested
    const policy = (kind: CancellationKind): number => {
      switch (kind) {
        case 'manual':
        case 'dispose':
        case 'race':
        case 'sibling':
        case 'superseded':
          return 1
        case 'timeout':
        case 'condition':
        case 'counter':
          return 2
        case 'signal':
        case 'process-signal':
        case 'disconnect':
        case 'lease':
          return 3
      }
    }
    expect(policy).type.toBeCallableWith('timeout')
    expect(policy).type.not.toBeCallableWith('abort')
    expect(() => {
      // @ts-expect-error This comparison appears to be unintentional
      if (error.kind === 'timeuot') policy(error.kind)
    }).type.toBeAssignableTo<() => void>()
  })

  test('a switch that has them all leaves never; one short does not compile', () => {
    const describeKind = (kind: CancellationKind): string => {
      if (kind === 'manual' || kind === 'timeout' || kind === 'condition' || kind === 'counter') return 'token'
      if (kind === 'dispose' || kind === 'race' || kind === 'sibling' || kind === 'superseded') return 'scope'
      if (kind === 'signal' || kind === 'process-signal' || kind === 'disconnect') return 'outside'
      expect(kind).type.toBe<'lease'>()
      if (kind === 'lease') return 'lease'
      expect(kind).type.toBe<never>()
      return kind
    }
    expect(describeKind).type.toBe<(kind: CancellationKind) => string>()
    expect(() => {
      const short = (kind: CancellationKind): number => {
        if (kind === 'lease') return 1
        // @ts-expect-error is not assignable to type 'never'
        const rest: never = kind
        return rest
      }
      return short
    }).type.toBeAssignableTo<() => unknown>()
  })

  test('members are readonly', () => {
    expect(() => {
      // @ts-expect-error Cannot assign to 'kind' because it is a read-only property.
      error.kind = 'manual'
      // @ts-expect-error Cannot assign to 'token' because it is a read-only property.
      error.token = token
      // @ts-expect-error Cannot assign to 'code' because it is a read-only property.
      error.code = 'ABORT_ERR'
    }).type.toBeAssignableTo<() => void>()
  })

  test('they are made of a message and details', () => {
    expect(CancellationError).type.toBeConstructableWith('why', { token, kind: 'manual' })
    expect(CancellationError).type.toBeConstructableWith('why', { token, kind: 'lease', reason: 5 })
    expect(CancellationError).type.not.toBeConstructableWith('why')
    expect(CancellationError).type.not.toBeConstructableWith('why', { token })
    expect(CancellationError).type.not.toBeConstructableWith('why', { token, kind: 'other' })
    expect(CancellationError).type.not.toBeConstructableWith('why', { token: 'token', kind: 'manual' })
    expect<keyof CancellationDetails>().type.toBe<'token' | 'kind' | 'reason'>()
  })
})

describe('isCancellation', () => {
  test('takes anything, and a token or none', () => {
    expect(isCancellation).type.toBeCallableWith(undefined)
    expect(isCancellation).type.toBeCallableWith(null)
    expect(isCancellation).type.toBeCallableWith('text')
    expect(isCancellation).type.toBeCallableWith(new Error('x'))
    expect(isCancellation).type.toBeCallableWith(error, token)
    expect<Parameters<typeof isCancellation>[0]>().type.toBe<unknown>()
    expect(isCancellation(error)).type.toBe<boolean>()
    expect(isCancellation(error, token)).type.toBe<boolean>()
    expect(isCancellation).type.toBeCallableWith(error, undefined)
    expect(isCancellation).type.not.toBeCallableWith()
    expect(isCancellation).type.not.toBeCallableWith(error, 'token')
    expect(isCancellation).type.not.toBeCallableWith(error, AbortSignal.abort())
  })
})
