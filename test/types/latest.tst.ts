import { describe, expect, test } from 'tstyche'
import { type CancellationToken, latest, type Latest, type LatestOptions } from 'calloff'

describe('latest', () => {
  test('takes the arguments of the task after its token, and gives a promise of its value', () => {
    const search = latest((token, q: string, page: number = 1) => {
      expect(token).type.toBe<CancellationToken>()
      return Promise.resolve([q, page] as const)
    })
    expect(search).type.toBe<Latest<[q: string, page?: number], readonly [string, number]>>()
    expect(search('q')).type.toBe<Promise<readonly [string, number]>>()
    expect(search).type.toBeCallableWith('q', 5)
    expect(search).type.not.toBeCallableWith()
    expect(search).type.not.toBeCallableWith(5)
    expect(latest(() => 5)()).type.toBe<Promise<number>>()
    expect(search.cancel).type.toBeCallableWith()
    expect(search.cancel).type.toBeCallableWith('why')
    expect(search.cancel()).type.toBe<void>()
  })

  test('the key gets the arguments of the call', () => {
    latest((_token, id: number, text: string) => text.length + id, {
      key: (id, text) => {
        expect(id).type.toBe<number>()
        expect(text).type.toBe<string>()
        return id
      },
    })
    expect<LatestOptions<[number]>>().type.toBe<{
      readonly key?: ((id: number) => unknown) | undefined
      readonly wait?: boolean | undefined
      readonly token?: LatestOptions['token']
    }>()
  })

  test('options that do not exist, and bad ones, do not compile', () => {
    const task = (_token: CancellationToken, id: number) => id
    expect(latest).type.toBeCallableWith(task, { wait: false, token: new AbortController().signal })
    expect(latest).type.toBeCallableWith(task, { key: undefined, wait: undefined, token: undefined })
    // @ts-expect-error does not exist in type
    latest(task, { waits: false })
    // @ts-expect-error Type 'number' is not assignable to type 'boolean | undefined'
    latest(task, { wait: 5 })
    // @ts-expect-error Type 'number' is not assignable to type
    latest(task, { token: 5 })
    // @ts-expect-error Types of parameters
    latest(task, { key: (id: string) => id })
    // @ts-expect-error Argument of type 'string' is not assignable
    latest('task')
  })
})
