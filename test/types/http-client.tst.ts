import { describe, expect, test } from 'tstyche'
import { type CancellationToken, NEVER } from 'calloff'
import { type HoldEvent, type HttpToken, httpToken, type Receipt, stop } from 'calloff/http/client'
import type { Receipt as ReceiptOfHub } from 'calloff/remote'

declare const token: HttpToken
declare const event: HoldEvent

describe('calloff/http/client', () => {
  test('stop', () => {
    expect(stop('https://app.example', 'a')).type.toBe<Promise<Receipt>>()
    expect<Receipt>().type.toBe<ReceiptOfHub>()
    expect(stop).type.toBeCallableWith(new URL('https://app.example'), 'a', { reason: new Error('b'), token: NEVER })
    expect(stop).type.toBeCallableWith('/calloff', 'a', {
      token: new AbortController().signal,
      headers: async () => ({}),
    })
    expect(stop).type.not.toBeCallableWith('/calloff', 'a', { ttl: 5 })
    expect(stop).type.not.toBeCallableWith('/calloff', 'a', { until: 'never' })
    expect(stop).type.not.toBeCallableWith('/calloff')
  })

  test('a token over HTTP is a token', () => {
    expect(httpToken('https://app.example', 'a', { runId: '1', ttl: 5_000 })).type.toBe<HttpToken>()
    expect<HttpToken>().type.toBeAssignableTo<CancellationToken>()
    expect<CancellationToken>().type.not.toBeAssignableTo<HttpToken>()
    expect(token.finished(Promise.resolve(5))).type.toBe<Promise<number>>()
    expect(token).type.not.toHaveProperty('applyCancel')
    expect(httpToken).type.not.toBeCallableWith('https://app.example', 'a', { onEvent: 5 })
  })

  test('an event has what belongs to its type', () => {
    if (event.type === 'disconnected') expect(event.retryIn).type.toBe<number>()
    if (event.type === 'connected') expect(event).type.not.toHaveProperty('error')
  })
})
