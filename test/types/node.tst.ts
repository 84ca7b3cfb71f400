import { describe, expect, test } from 'tstyche'
import { type CancellationToken, fromHeaders, type SimpleToken, toHeaders } from 'calloff'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Duplex } from 'node:stream'
import {
  currentToken,
  fromRequest,
  on,
  once,
  pipeline,
  pipeTo,
  type ProcessError,
  type ProcessReport,
  type ProcessSignalArgument,
  ProcessSignalToken,
  run,
  type RunReport,
  type RunningProcess,
  spawn,
  withRequestToken,
  withToken,
} from 'calloff/node'
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

describe('child processes', () => {
  test('run gives text, or bytes where they are asked for', () => {
    expect(run('ls')).type.toBe<Promise<RunReport>>()
    expect(run('ls', ['-l'], { token, grace: 5 })).type.toBe<Promise<RunReport>>()
    expect(run('ls', [], { encoding: 'bytes' })).type.toBe<Promise<RunReport<Uint8Array>>>()
    expect<RunReport>().type.toBeAssignableTo<ProcessReport>()
    expect(run).type.toBeCallableWith('ls', [], { token: signal, input: 'text', check: false })
    expect(run).type.toBeCallableWith('ls', [], { token: undefined, input: ['a', new Uint8Array()] })
  })

  test('what is none of its options does not compile', () => {
    expect(run).type.not.toBeCallableWith()
    expect(run).type.not.toBeCallableWith('ls', '-l')
    expect(run).type.not.toBeCallableWith('ls', [], { signal })
    expect(run).type.not.toBeCallableWith('ls', [], { timeout: 5 })
    expect(run).type.not.toBeCallableWith('ls', [], { detached: true })
    expect(run).type.not.toBeCallableWith('ls', [], { encoding: 'latin1' })
    expect(run).type.not.toBeCallableWith('ls', [], { input: 5 })
    expect(spawn).type.not.toBeCallableWith('ls', [], { input: 'text' })
    expect(spawn).type.not.toBeCallableWith('ls', [], { leftovers: 'kill' })
  })

  test('spawn gives what runs', () => {
    expect(spawn('ls')).type.toBe<Promise<RunningProcess>>()
    expect<RunningProcess>().type.toBeAssignableTo<AsyncDisposable>()
    expect<RunningProcess['ended']>().type.toBe<Promise<ProcessReport>>()
    expect<ProcessError['report']>().type.toBe<ProcessReport | undefined>()
  })
})

describe('streams and events', () => {
  test('events have the arguments one says they have', () => {
    expect(once(process, 'exit')).type.toBe<Promise<unknown[]>>()
    expect(once<[number]>(process, 'exit', token)).type.toBe<Promise<[number]>>()
    expect(on<[number]>(process, 'message', signal)).type.toBe<AsyncIterableIterator<[number]>>()
    expect(on).type.not.toBeCallableWith(5, 'x')
  })

  test('pipelines take streams and functions, then options', () => {
    const step = async function* (source: AsyncIterable<string>) {
      yield* source
    }
    expect(pipeline(process.stdin, step, process.stdout, { token })).type.toBe<Promise<void>>()
    expect(pipeline<number>(['a'], async () => 5)).type.toBe<Promise<number>>()
    expect(pipeline).type.not.toBeCallableWith(process.stdin, process.stdout, { signal })
    expect(pipeTo(new ReadableStream<string>(), new WritableStream<string>(), { token })).type.toBe<Promise<void>>()
    expect(pipeTo).type.not.toBeCallableWith(new ReadableStream<string>(), new WritableStream<number>())
  })
})

declare const req: IncomingMessage
declare const res: ServerResponse
declare const req2: Http2ServerRequest
declare const res2: Http2ServerResponse
declare const socket: Duplex
declare const request: Request

describe('requests', () => {
  test("Node's come with their response, or the socket in its place", () => {
    expect(fromRequest(req, res)).type.toBe<CancellationToken>()
    expect(fromRequest).type.toBeCallableWith(req, res, { name: 'x' })
    expect(fromRequest).type.toBeCallableWith(req2, res2)
    expect(fromRequest).type.toBeCallableWith(req, socket)
    expect(fromRequest).type.not.toBeCallableWith(req)
    expect(fromRequest).type.not.toBeCallableWith(req, { name: 'x' })
    expect(fromRequest).type.not.toBeCallableWith(req, res, 'x')
  })

  test('a Request comes alone', () => {
    expect(fromRequest(request, { name: 'x' })).type.toBe<CancellationToken>()
    expect(fromRequest).type.not.toBeCallableWith(signal)
  })

  test('a handler gets the token, and what its server gives besides', () => {
    const handler = withRequestToken(async (request: Request, token, info: { port: number }) => {
      expect(token).type.toBe<CancellationToken>()
      return new Response(`${request.url} ${info.port}`)
    })
    expect(handler).type.toBe<(request: Request, info: { port: number }) => Promise<Response>>()
  })

  test('headers in, headers out', () => {
    expect(fromHeaders).type.toBeCallableWith(req.headers, { max: 5, default: 5, invalid: 'refuse', name: 'x' })
    expect(fromHeaders).type.toBeCallableWith(new Headers())
    expect(fromHeaders).type.toBeCallableWith([['a', 'b']])
    expect(fromHeaders).type.not.toBeCallableWith('a: b')
    expect(fromHeaders).type.not.toBeCallableWith({}, { invalid: 'throw' })
    expect<ReturnType<typeof toHeaders>>().type.toBeAssignableTo<HeadersInit>()
    expect(toHeaders).type.toBeCallableWith(signal)
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
