import { describe, expect, test } from 'tstyche'
import type { CancellationToken, SimpleToken } from 'calloff'
import { currentToken, type ProcessSignalArgument, ProcessSignalToken, withToken } from 'calloff/node'
import { type ManualClock, manualClock } from 'calloff/testing'

declare const token: CancellationToken
declare const signal: AbortSignal

describe('calloff/node', () => {
  test('the ambient token', () => {
    expect(currentToken()).type.toBe<CancellationToken>()
    expect(withToken(token, () => 5)).type.toBe<number>()
    expect(withToken(signal, async () => 'x')).type.toBe<Promise<string>>()
    expect(withToken).type.toBeCallableWith(undefined, () => 5)
    expect(withToken).type.not.toBeCallableWith(5, () => 5)
    expect(withToken).type.not.toBeCallableWith(token)
  })

  test('signals, then options, then nested tokens', () => {
    expect(ProcessSignalToken).type.toBeConstructableWith('SIGINT')
    expect(ProcessSignalToken).type.toBeConstructableWith('SIGINT', 'SIGTERM')
    expect(ProcessSignalToken).type.toBeConstructableWith('SIGINT', { name: 'x' })
    expect(ProcessSignalToken).type.toBeConstructableWith('SIGINT', 'SIGTERM', { name: 'x' }, token, signal)
    expect(ProcessSignalToken).type.toBeConstructableWith('SIGINT', token)
    expect<NodeJS.Signals>().type.toBeAssignableTo<ProcessSignalArgument>()
  })

  test('what is no signal does not compile', () => {
    expect(ProcessSignalToken).type.not.toBeConstructableWith('sigint')
    expect(ProcessSignalToken).type.not.toBeConstructableWith('SIGNOPE')
    expect(ProcessSignalToken).type.not.toBeConstructableWith(2)
    expect(ProcessSignalToken).type.not.toBeConstructableWith(['SIGINT'])
    expect(ProcessSignalToken).type.not.toBeConstructableWith('SIGINT', { nam: 'x' })
    expect(ProcessSignalToken).type.not.toBeConstructableWith('SIGINT', null)
  })

  test('it is a token, with an exit code', () => {
    using held = new ProcessSignalToken('SIGINT')
    expect(held).type.toBe<ProcessSignalToken>()
    expect<ProcessSignalToken>().type.toBeAssignableTo<CancellationToken>()
    expect<SimpleToken>().type.not.toBeAssignableTo<ProcessSignalToken>()
    expect(held.exitCode).type.toBe<number | undefined>()
    expect<number | undefined>().type.toBeAssignableTo<NonNullable<typeof process.exitCode> | undefined>()
    expect(() => {
      // @ts-expect-error Cannot assign to 'exitCode' because it is a read-only property.
      held.exitCode = 5
    }).type.toBeAssignableTo<() => void>()
    expect(held).type.not.toHaveProperty('outcome')
    expect(held).type.not.toHaveProperty('arm')
  })
})

describe('calloff/testing', () => {
  test('the manual clock', () => {
    using clock = manualClock()
    expect(clock).type.toBe<ManualClock>()
    expect<ManualClock>().type.toBeAssignableTo<Disposable>()
    expect(clock.now).type.toBe<number>()
    expect(clock.tick(5)).type.toBe<void>()
    expect(clock.advance(5)).type.toBe<Promise<void>>()
    expect(clock.uninstall()).type.toBe<void>()
    expect(manualClock).type.not.toBeCallableWith(5)
    expect(clock.tick).type.toBeCallableWith(5)
    expect(clock.tick).type.not.toBeCallableWith()
    expect(clock.tick).type.not.toBeCallableWith('5s')
    expect(() => {
      // @ts-expect-error Cannot assign to 'now' because it is a read-only property.
      clock.now = 5
    }).type.toBeAssignableTo<() => void>()
  })
})
