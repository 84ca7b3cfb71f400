import { describe, expect, test } from 'tstyche'
import {
  type CancellationError,
  type CancellationToken,
  type Executor,
  type PendingListener,
  type RaceOptions,
  type ResultOf,
  type SettledReport,
  SimpleToken,
  type UntilCancelledOptions,
  type WaitOptions,
  type Task,
} from 'calloff'

interface Row {
  readonly id: number
}
declare const token: CancellationToken
declare const rows: Promise<Row[]>
declare const text: Promise<string>
declare const thenable: PromiseLike<bigint>

describe('waiting', () => {
  test('wait and waitSync give the error', () => {
    expect(token.wait()).type.toBe<Promise<CancellationError>>()
    expect(token.waitSync()).type.toBe<CancellationError>()
    expect(token.wait).type.toBeCallableWith({ timeout: 5, step: 1 })
    expect(token.wait).type.toBeCallableWith({ timeout: undefined })
    expect(token.wait).type.not.toBeCallableWith(5)
    expect(token.wait).type.not.toBeCallableWith(null)
    expect(token.wait).type.not.toBeCallableWith({ timeout: '5s' })
    expect(token.wait).type.not.toBeCallableWith({ timeout: null })
    expect(token.wait).type.not.toBeCallableWith({ timeot: 5 })
    expect(token.waitSync).type.toBeCallableWith({ timeout: 5, step: 1 })
    expect(token.waitSync).type.toBeCallableWith({ timeout: undefined })
    expect(token.waitSync).type.not.toBeCallableWith(5)
    expect(token.waitSync).type.not.toBeCallableWith(null)
    expect(token.waitSync).type.not.toBeCallableWith({ timeout: '5s' })
    expect(token.waitSync).type.not.toBeCallableWith({ timeout: null })
    expect(token.waitSync).type.not.toBeCallableWith({ timeot: 5 })
    expect<{ readonly timeout?: number }>().type.toBeAssignableTo<WaitOptions>()
  })

  test('settled gives a report, and a listener may return a promise', () => {
    expect(token.settled()).type.toBe<Promise<SettledReport>>()
    expect(token.settled).type.toBeCallableWith({ timeout: 5 })
    expect(token.settled).type.not.toBeCallableWith(5)
    expect(token.settled).type.not.toBeCallableWith({ step: 5 })
    expect<SettledReport['pending'][number]>().type.toBe<PendingListener>()
    expect(token.onCancel).type.toBeCallableWith(async () => {})
    expect(token.onCancel).type.toBeCallableWith((error: CancellationError) => error.kind)
    expect(token.onCancel).type.not.toBeCallableWith((error: string) => error)
  })

  test('sleep and checkpoint give nothing', () => {
    expect(token.sleep(5)).type.toBe<Promise<void>>()
    expect(token.checkpoint()).type.toBe<Promise<void>>()
    expect(token.sleep).type.not.toBeCallableWith()
    expect(token.sleep).type.not.toBeCallableWith('5s')
    expect(token.checkpoint).type.not.toBeCallableWith(5)
  })
})

describe('a promise of callbacks', () => {
  test('has the type that resolve takes', () => {
    expect(token.promise<string>((resolve) => void setTimeout(resolve, 5, 'x'))).type.toBe<Promise<string>>()
    expect(token.promise((resolve: (value: Row) => void) => resolve({ id: 5 }))).type.toBe<Promise<Row>>()
    expect(token.promise<void>((resolve) => resolve())).type.toBe<Promise<void>>()
    expect(token.promise<Row[]>((resolve) => resolve(rows))).type.toBe<Promise<Row[]>>()
    expect(token.promise(() => {})).type.toBe<Promise<unknown>>()
    expect<Executor<string>>().type.toBeAssignableFrom(
      (resolve: (value: string) => void, reject: (error: Error) => void) => (resolve('x'), () => reject(new Error())),
    )
  })

  test('takes a function that returns a function or nothing', () => {
    expect(token.promise<void>).type.toBeCallableWith(() => () => {})
    expect(token.promise<void>).type.toBeCallableWith(() => async () => {})
    expect(token.promise<void>).type.not.toBeCallableWith()
    expect(token.promise<void>).type.not.toBeCallableWith(async () => {})
    expect(token.promise<void>).type.not.toBeCallableWith((resolve: () => void) => setTimeout(resolve, 5))
    expect(token.promise<string>).type.not.toBeCallableWith(() => {}, {})
  })
})

describe('a cancellation as a value', () => {
  test('is undefined beside the type of the result', () => {
    expect(token.untilCancelled(rows)).type.toBe<Promise<Row[] | undefined>>()
    expect(token.untilCancelled(thenable)).type.toBe<Promise<bigint | undefined>>()
    expect(token.untilCancelled(() => 5)).type.toBe<Promise<number | undefined>>()
    expect(token.untilCancelled(async (inner) => inner.wait())).type.toBe<Promise<CancellationError | undefined>>()
    expect(token.untilCancelled(rows, { grace: 5 })).type.toBe<Promise<Row[] | undefined>>()
    expect(token.untilCancelled(rows, { grace: undefined })).type.toBe<Promise<Row[] | undefined>>()
    void token.untilCancelled((inner) => expect(inner).type.toBe<CancellationToken>())
    expect<{ readonly grace?: number }>().type.toBeAssignableTo<UntilCancelledOptions>()
  })

  test('takes one task, and known options', () => {
    expect(token.untilCancelled).type.not.toBeCallableWith()
    expect(token.untilCancelled).type.not.toBeCallableWith(5)
    expect(token.untilCancelled).type.not.toBeCallableWith([rows])
    expect(token.untilCancelled).type.not.toBeCallableWith(rows, { grace: '5s' })
    expect(token.untilCancelled).type.not.toBeCallableWith(rows, { timeout: 5 })
  })
})

describe('racing one work', () => {
  test('a promise', () => {
    expect(token.race(rows)).type.toBe<Promise<Row[]>>()
    expect(token.race(thenable)).type.toBe<Promise<bigint>>()
    expect(token.race(Promise.resolve())).type.toBe<Promise<void>>()
    expect(token.race(new Promise<never>(() => {}))).type.toBe<Promise<never>>()
    expect(token.race(rows, { timeout: 5 })).type.toBe<Promise<Row[]>>()
  })

  test('a function, which is given a token', () => {
    expect(token.race(() => 5)).type.toBe<Promise<number>>()
    expect(token.race(async () => 'x')).type.toBe<Promise<string>>()
    expect(token.race((inner) => inner.sleep(5))).type.toBe<Promise<void>>()
    expect(token.race(async (inner) => inner.wait())).type.toBe<Promise<CancellationError>>()
    void token.race((inner) => expect(inner).type.toBe<CancellationToken>())
    expect(token.race(() => rows)).type.toBe<Promise<Row[]>>()
  })
})

describe('racing several works', () => {
  test('of one type', () => {
    expect(token.race([text, text])).type.toBe<Promise<string>>()
    expect(token.race([async () => 'x', text])).type.toBe<Promise<string>>()
    expect(token.race([() => rows, (inner) => inner.race(rows)])).type.toBe<Promise<Row[]>>()
    expect(token.race([] as Promise<string>[])).type.toBe<Promise<string>>()
    expect(token.race([] as readonly Task<number>[], { timeout: 5 })).type.toBe<Promise<number>>()
  })

  test('of several types: any of them', () => {
    expect(token.race([rows, text])).type.toBe<Promise<Row[] | string>>()
    expect(token.race([rows, text, thenable])).type.toBe<Promise<Row[] | string | bigint>>()
    expect(token.race([async () => 5, async () => 'x'])).type.toBe<Promise<number | string>>()
    expect(token.race([rows, text], { timeout: 5 })).type.toBe<Promise<Row[] | string>>()
    expect(token.race([rows, text] as const)).type.toBe<Promise<Row[] | string>>()
  })

  test('functions and promises mixed', () => {
    expect(token.race([rows, (inner) => inner.sleep(5)])).type.toBe<Promise<Row[] | void>>()
    expect(token.race([(inner) => inner.wait(), text])).type.toBe<Promise<CancellationError | string>>()
    void token.race([
      rows,
      (inner) => {
        expect(inner).type.toBe<CancellationToken>()
        return text
      },
    ])
  })

  test('what a work comes to', () => {
    expect<ResultOf<Promise<Row>>>().type.toBe<Row>()
    expect<ResultOf<PromiseLike<Row>>>().type.toBe<Row>()
    expect<ResultOf<() => Row>>().type.toBe<Row>()
    expect<ResultOf<(inner: CancellationToken) => Promise<Row>>>().type.toBe<Row>()
    expect<ResultOf<Promise<Row> | (() => Promise<string>)>>().type.toBe<Row | string>()
    expect<Promise<Row>>().type.toBeAssignableTo<Task<Row>>()
    expect<(inner: CancellationToken) => Row>().type.toBeAssignableTo<Task<Row>>()
    expect<Row>().type.not.toBeAssignableTo<Task<Row>>()
  })

  test('what cannot be raced does not compile', () => {
    expect(token.race).type.toBeCallableWith(rows)
    expect(token.race).type.toBeCallableWith([rows, text], { timeout: 5 })
    expect(token.race).type.not.toBeCallableWith()
    expect(token.race).type.not.toBeCallableWith(5)
    expect(token.race).type.not.toBeCallableWith('work')
    expect(token.race).type.not.toBeCallableWith(undefined)
    expect(token.race).type.not.toBeCallableWith([5])
    expect(token.race).type.not.toBeCallableWith([rows, 5])
    expect(token.race).type.not.toBeCallableWith((wanted: string) => wanted)
    expect(token.race).type.not.toBeCallableWith((inner: CancellationToken, more: number) => [inner, more])
    expect(token.race).type.not.toBeCallableWith(rows, 5)
    expect(token.race).type.not.toBeCallableWith(rows, { timeout: '5s' })
    expect(token.race).type.not.toBeCallableWith(rows, { step: 5 })
    expect(token.race).type.not.toBeCallableWith(rows, text)
    expect<{ readonly timeout: undefined }>().type.toBeAssignableTo<RaceOptions>()
  })
})

describe('iterating', () => {
  test('a token and every count', async () => {
    for (const turn of token.turns()) expect(turn).type.toBe<number>()
    for await (const turn of token.turns()) expect(turn).type.toBe<number>()
    for await (const tick of token.every(5)) expect(tick).type.toBe<number>()
    expect([...new SimpleToken({ cancelled: true }).turns()]).type.toBe<number[]>()
    expect(token.every).type.not.toBeCallableWith()
    expect(token.every).type.not.toBeCallableWith('5s')
  })

  test('iterate gives the items of its source, whatever kind it is', async () => {
    expect(token.iterate([1, 2])).type.toBe<AsyncIterable<number>>()
    expect(token.iterate('text')).type.toBe<AsyncIterable<string>>()
    expect(token.iterate(new Map<string, Row>())).type.toBe<AsyncIterable<[string, Row]>>()
    expect(token.iterate(new Set([rows]))).type.toBe<AsyncIterable<Promise<Row[]>>>()
    const generator = async function* (): AsyncGenerator<'a' | 5> {
      yield 'a'
      yield 5
    }
    for await (const item of token.iterate(generator())) expect(item).type.toBe<'a' | 5>()
    for await (const item of token.iterate([] as readonly Row[])) expect(item).type.toBe<Row>()
    for await (const item of token.iterate({} as AsyncIterable<Row> | Iterable<Row>)) expect(item).type.toBe<Row>()
    expect(token.iterate).type.toBeCallableWith([5])
    expect(token.iterate).type.not.toBeCallableWith(5)
    expect(token.iterate).type.not.toBeCallableWith({})
    expect(token.iterate).type.not.toBeCallableWith(undefined)
    expect(token.iterate).type.not.toBeCallableWith(rows)
  })
})
