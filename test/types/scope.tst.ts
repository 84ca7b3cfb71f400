import { describe, expect, test } from 'tstyche'
import {
  type CancellationToken,
  Limit,
  type MapOptions,
  openScope,
  type OpenScope,
  type RetryOptions,
  type Scope,
  scope,
  type ScopeOptions,
  type ScopeTask,
  type StartTask,
  type StreamOptions,
  type StuckReport,
  type UnfinishedTask,
} from 'calloff'

interface Row {
  readonly id: number
}
declare const token: CancellationToken
declare const s: Scope
declare const rows: Promise<Row[]>
declare const pages: AsyncGenerator<Row>

describe('scope', () => {
  test('gives what the body comes to', () => {
    expect(scope(() => 5)).type.toBe<Promise<number>>()
    expect(scope(async () => 'x')).type.toBe<Promise<string>>()
    expect(scope(token, () => rows)).type.toBe<Promise<Row[]>>()
    expect(scope((inner) => inner.cancel())).type.toBe<Promise<void>>()
    void scope((inner) => expect(inner).type.toBe<Scope>())
    void scope(undefined, (inner) => expect(inner).type.toBe<Scope>())
  })

  test('takes a token or none, and options', () => {
    const body = () => 5
    expect(scope).type.toBeCallableWith(body, { concurrency: 2, name: 'x', stuckAfter: 5, trace: false, ambient: true })
    expect(scope).type.toBeCallableWith(body, { concurrency: undefined })
    expect(scope).type.toBeCallableWith(token, body, { onStuck: (report: StuckReport) => report.stuckAfter })
    expect(scope).type.toBeCallableWith(null, body)
    expect(scope).type.toBeCallableWith(undefined, body, {})
    expect(scope).type.toBeCallableWith(new AbortController(), body)
    expect(scope).type.toBeCallableWith(new AbortController().signal, body)
    expect(scope).type.not.toBeCallableWith()
    expect(scope).type.not.toBeCallableWith(token)
    expect(scope).type.not.toBeCallableWith(5, body)
    expect(scope).type.not.toBeCallableWith(body, 5)
    expect(scope).type.not.toBeCallableWith(body, { concurrency: '2' })
    expect(scope).type.not.toBeCallableWith(body, { limit: 2 })
    expect(scope).type.not.toBeCallableWith(body, { onLeave: 'cancel' })
    expect(scope).type.not.toBeCallableWith(rows)
    expect<{ readonly name: undefined }>().type.toBeAssignableTo<ScopeOptions>()
  })

  test('run gives what the work comes to', () => {
    expect(s.run(() => 5)).type.toBe<Promise<number>>()
    expect(s.run(async () => 'x')).type.toBe<Promise<string>>()
    expect(s.run((own) => own.sleep(5))).type.toBe<Promise<void>>()
    expect(s.run(() => rows, { name: 'rows' })).type.toBe<Promise<Row[]>>()
    void s.run((own) => expect(own).type.toBe<CancellationToken>())
    expect(s.run).type.not.toBeCallableWith(rows)
    expect(s.run).type.not.toBeCallableWith()
    expect(s.run).type.not.toBeCallableWith((wanted: string) => wanted)
    expect<() => Row>().type.toBeAssignableTo<ScopeTask<Row>>()
  })

  test('map gives the results of any source', () => {
    expect(s.map([1, 2], (item) => String(item))).type.toBe<Promise<string[]>>()
    expect(s.map(pages, async (page) => page.id)).type.toBe<Promise<number[]>>()
    void s.map(new Map<string, Row>(), (entry, own, index) => {
      expect(entry).type.toBe<[string, Row]>()
      expect(own).type.toBe<CancellationToken>()
      expect(index).type.toBe<number>()
    })
    expect(s.map).type.toBeCallableWith('text', () => 1, { concurrency: 2, name: 'x' })
    expect(s.map).type.not.toBeCallableWith(5, () => 1)
    expect(s.map).type.not.toBeCallableWith([5])
    expect<{ readonly concurrency: 2 }>().type.toBeAssignableTo<MapOptions>()
  })

  test('one task takes a token, and may fail alone', () => {
    expect(s.run(() => rows, { token, survive: true })).type.toBe<Promise<Row[]>>()
    expect(s.run).type.toBeCallableWith(() => 5, { token: new AbortController().signal, survive: undefined })
    expect(s.run).type.toBeCallableWith(() => 5, { token: null })
    expect(s.run).type.toBeCallableWith(() => 5, { token: undefined })
    expect(s.run).type.not.toBeCallableWith(() => 5, { token: 5 })
    expect(s.run).type.not.toBeCallableWith(() => 5, { survive: 'yes' })
    expect(s.map).type.toBeCallableWith([5], () => 1, { token })
    expect(s.map).type.not.toBeCallableWith([5], () => 1, { survive: true })
  })

  test('start gives what the task is ready with', () => {
    expect(s.start((_own, ready) => ready())).type.toBe<Promise<void>>()
    expect(s.start<number>((_own, ready) => ready(5))).type.toBe<Promise<number>>()
    expect(s.start(async (_own, ready: (row: Row) => void) => ready({ id: 1 }))).type.toBe<Promise<Row>>()
    void s.start((own) => expect(own).type.toBe<CancellationToken>())
    expect(s.start).type.toBeCallableWith(() => 5, { name: 'x', token })
    expect(s.start).type.not.toBeCallableWith(() => 5, { survive: true })
    expect(s.start).type.not.toBeCallableWith(rows)
    void s.start<number>((_own, ready) => expect(ready).type.not.toBeCallableWith('x'))
    expect<() => void>().type.toBeAssignableTo<StartTask<number>>()
  })

  test('stream gives the results of any source', () => {
    expect(s.stream(pages, async (page) => page.id)).type.toBe<AsyncIterable<number>>()
    void s.stream(new Map<string, Row>(), (entry, own, index) => {
      expect(entry).type.toBe<[string, Row]>()
      expect(own).type.toBe<CancellationToken>()
      expect(index).type.toBe<number>()
    })
    expect(s.stream).type.toBeCallableWith('text', () => 1, { concurrency: 2, name: 'x', ordered: true, token })
    expect(s.stream).type.not.toBeCallableWith('text', () => 1, { ordered: 'yes' })
    expect(s.map).type.not.toBeCallableWith('text', () => 1, { ordered: true })
    expect<{ readonly ordered: true }>().type.toBeAssignableTo<StreamOptions>()
  })

  test('a limit is shared', () => {
    const limit = new Limit(4)
    expect(limit.max).type.toBe<number>()
    expect(limit.running).type.toBe<number>()
    expect(limit.waiting).type.toBe<number>()
    expect(scope).type.toBeCallableWith(() => 5, { concurrency: limit })
    expect(openScope).type.toBeCallableWith(token, { concurrency: limit })
    expect(s.map).type.toBeCallableWith([5], () => 1, { concurrency: limit })
    expect(s.stream).type.toBeCallableWith([5], () => 1, { concurrency: limit })
    expect(s.run).type.not.toBeCallableWith(() => 5, { concurrency: limit })
    expect(scope).type.not.toBeCallableWith(() => 5, { concurrency: { max: 4 } })
    expect(Limit).type.not.toBeConstructableWith()
    expect(Limit).type.not.toBeConstructableWith('4')
  })

  test('several works give one answer', () => {
    expect(s.allSettled([() => 5, async () => 'x'])).type.toBe<
      Promise<[PromiseSettledResult<number>, PromiseSettledResult<string>]>
    >()
    expect(s.allSettled([] as ScopeTask<Row>[])).type.toBe<Promise<PromiseSettledResult<Row>[]>>()
    expect(s.any([() => 5, () => 6])).type.toBe<Promise<number>>()
    expect(s.any([() => 5, async () => 'x'])).type.toBe<Promise<number | string>>()
    expect(s.race([(own) => own.sleep(5), () => rows], { hedge: 5 })).type.toBe<Promise<void | Row[]>>()
    expect(s.race).type.not.toBeCallableWith([rows])
    expect(s.any).type.not.toBeCallableWith([() => 5], { hedge: '5' })
    expect(s.allSettled).type.not.toBeCallableWith(() => 5)
  })

  test('an open scope is a thing to hold', async () => {
    await using open = openScope(token, { onLeave: 'cancel', concurrency: 2 })
    expect(open).type.toBe<OpenScope>()
    expect(open.close()).type.toBe<Promise<void>>()
    expect(open.unfinished()).type.toBe<UnfinishedTask[]>()
    expect(openScope).type.toBeCallableWith()
    expect(openScope).type.not.toBeCallableWith(token, { onLeave: 'stop' })
    expect(openScope).type.not.toBeCallableWith(() => 5)
    expect<OpenScope>().type.toBeAssignableTo<Scope>()
    expect<OpenScope>().type.toBeAssignableTo<AsyncDisposable>()
  })
})

describe('retry', () => {
  test('gives what an attempt comes to', () => {
    expect(token.retry(() => 5)).type.toBe<Promise<number>>()
    expect(token.retry(async (own, attempt) => [own.name, attempt])).type.toBe<
      Promise<(string | number | undefined)[]>
    >()
    void token.retry((own, attempt) => {
      expect(own).type.toBe<CancellationToken>()
      expect(attempt).type.toBe<number>()
    })
  })

  test('takes options', () => {
    const work = () => 5
    const options: RetryOptions = {
      attempts: Infinity,
      delay: 1,
      factor: 1,
      maxDelay: 1,
      minAttemptTime: 1,
      jitter: false,
    }
    expect(token.retry).type.toBeCallableWith(work, options)
    expect(token.retry).type.toBeCallableWith(work, {
      jitter: () => 0.5,
      when: (error: unknown) => error instanceof Error,
    })
    expect(token.retry).type.toBeCallableWith(work, { when: async () => true })
    expect(token.retry).type.toBeCallableWith(work, { delay: (error: unknown, attempt: number) => attempt * 10 })
    expect(token.retry).type.toBeCallableWith(work, {
      when: (_: unknown, attempt: number, own: CancellationToken) => own.sleep(attempt).then(() => true),
    })
    expect(token.retry).type.not.toBeCallableWith(work, { delay: () => '5' })
    expect(token.retry).type.not.toBeCallableWith(work, { delay: async () => 5 })
    expect(token.retry).type.not.toBeCallableWith(work, { delay: () => {} })
    expect(token.retry).type.not.toBeCallableWith(work, { when: () => 5 })
    expect(token.retry).type.not.toBeCallableWith(work, { jitter: 5 })
    expect(token.retry).type.not.toBeCallableWith(work, { attempts: '3' })
    expect(token.retry).type.not.toBeCallableWith(work, { retries: 3 })
    expect(token.retry).type.not.toBeCallableWith(rows)
    expect(token.retry).type.not.toBeCallableWith()
  })
})
