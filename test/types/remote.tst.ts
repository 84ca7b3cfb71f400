import { describe, expect, test } from 'tstyche'
import type { CancellationToken } from 'calloff'
import { connectHub, type Receipt, type RemoteToken, type TokenHub, TokenServer } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { type ConformanceCase, hubConformance } from 'calloff/testing'

declare const hub: TokenHub
declare const token: RemoteToken
declare const engine: Engine

describe('calloff/remote', () => {
  test('connecting', () => {
    expect(connectHub('tcp://localhost:1')).type.toBe<Promise<TokenHub>>()
    expect(connectHub).type.toBeCallableWith(engine, { key: 'x', lazy: true })
    expect(connectHub).type.not.toBeCallableWith()
    expect(connectHub).type.not.toBeCallableWith('x', { kee: 'x' })
    expect(TokenServer.listen({ port: 0 })).type.toBe<Promise<TokenServer>>()
    expect(TokenServer.listen).type.not.toBeCallableWith()
  })

  test('a hub', () => {
    expect(hub.open('a')).type.toBe<RemoteToken>()
    expect(hub.cancel('a', 'why', { timeout: 5, until: 'acknowledged' })).type.toBe<Promise<Receipt>>()
    expect(hub.cancel).type.not.toBeCallableWith('a', 'why', { until: 'never' })
    expect(hub.lease).type.not.toBeCallableWith('a')
    expect<TokenHub>().type.toBeAssignableTo<AsyncDisposable>()
  })

  test('a remote token is a token', () => {
    expect<RemoteToken>().type.toBeAssignableTo<CancellationToken>()
    expect<CancellationToken>().type.not.toBeAssignableTo<RemoteToken>()
    expect(token.cancel('x')).type.toBe<RemoteToken>()
    expect(token.finished(Promise.resolve(5))).type.toBe<Promise<number>>()
    expect(token).type.not.toHaveProperty('arrive')
    expect(token).type.not.toHaveProperty('endBy')
  })

  test('conformance', () => {
    expect(hubConformance({ connect: () => connectHub('x') })).type.toBe<readonly ConformanceCase[]>()
  })
})
