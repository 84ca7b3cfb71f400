/** 19. Whatever a stream, an emitter or a condition does: every promise settles, and nothing is left behind. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { type CancellationToken, ConditionToken, SimpleToken, TimeoutToken } from 'calloff'
import { on, once, pipeline, pipeTo } from 'calloff/node'
import { manualClock } from 'calloff/testing'

const silence = () => new Promise<never>(() => {})
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 1))
const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail('it did not reject'),
    (error: unknown) => error,
  )

/**
 * The client's end of a call, as gRPC's streams are: destroying it does not end the call; cancelling it does, and then, or when
 * the server fails, the status is told by an 'error' event, whether the stream was destroyed or not.
 */
class Call extends Readable {
  cancels = 0
  isRunning = true

  constructor(messages: readonly string[] = []) {
    super({ objectMode: true, read() {} })
    for (const message of messages) this.push(message)
  }

  cancel(): void {
    this.cancels++
    this.end(1)
  }

  /** The server's answer. */
  end(code: number): void {
    if (!this.isRunning) return
    this.isRunning = false
    setTimeout(() => {
      if (code) this.emit('error', Object.assign(new Error(`status ${code}`), { code }))
      else this.push(null)
    })
  }
}

describe('iterate over a call whose stream can be cancelled', () => {
  it('cancels the call, not the stream alone, when the token is cancelled', async () => {
    const token = new SimpleToken()
    const call = new Call(['a'])
    const items = token.iterate(call)[Symbol.asyncIterator]()
    assert.equal((await items.next()).value, 'a')
    const next = items.next()
    token.cancel('enough')
    assert.equal(await reason(next), token.error)
    assert.deepEqual([call.cancels, call.destroyed], [1, true])
    await turn()
    await turn()
  })

  it('under a token that is cancelled already, and learns of the status that comes later', async () => {
    for (const code of [1, 4]) {
      const token = new SimpleToken().cancel()
      const call = new Call(['a'])
      call.end(code)
      assert.equal(await reason(token.iterate(call)[Symbol.asyncIterator]().next()), token.error)
      assert.deepEqual([call.cancels, call.destroyed], [1, true])
      await turn()
      await turn()
    }
  })

  it('when the loop is left', async () => {
    const call = new Call(['a', 'b'])
    for await (const message of new SimpleToken().iterate(call)) {
      assert.equal(message, 'a')
      break
    }
    assert.deepEqual([call.cancels, call.destroyed], [1, true])
    await turn()
    await turn()
  })

  it('when the loop is left while it waits: the pending next() is done', async () => {
    const call = new Call()
    const items = new SimpleToken().iterate(call)[Symbol.asyncIterator]()
    const next = items.next()
    await items.return?.()
    assert.equal((await next).done, true)
    assert.deepEqual([call.cancels, call.destroyed], [1, true])
    await turn()
    await turn()
  })

  it('leaves one that has ended alone, and passes the failure of one on', async () => {
    const ended = new Call(['a'])
    ended.end(0)
    const seen: unknown[] = []
    for await (const message of new SimpleToken().iterate(ended)) seen.push(message)
    assert.deepEqual([seen, ended.cancels], [['a'], 0])
    const failed = new Call(['a'])
    const items = new SimpleToken().iterate(failed)[Symbol.asyncIterator]()
    await items.next()
    failed.end(14)
    assert.equal(((await reason(items.next())) as { code?: unknown }).code, 14)
    assert.equal(failed.destroyed, true)
  })

  it('destroys it even if cancel() throws, or rejects', async () => {
    for (const cancel of [
      () => {
        throw new Error('cannot cancel')
      },
      () => Promise.reject(new Error('cannot cancel')),
      silence,
    ]) {
      const token = new SimpleToken()
      const call = Object.assign(new Readable({ read() {} }), { cancel })
      const next = token.iterate(call)[Symbol.asyncIterator]().next()
      token.cancel()
      assert.equal(await reason(next), token.error)
      assert.equal(call.destroyed, true)
      await turn()
    }
  })
})

/** Streams that are destroyed, and never say that they have closed. */
const neverClosing = () => new Writable({ write: (_chunk, _encoding, done) => done(), destroy() {} })
const hanging = () => new Writable({ write() {}, destroy() {} })

describe('a stream that never closes holds no', () => {
  const cases: Readonly<Record<string, (token: CancellationToken) => Promise<unknown>>> = {
    pipeline: (token) => pipeline(new Readable({ read() {} }), neverClosing(), { token }),
    'pipeline, as one of several': (token) =>
      pipeline(new Readable({ read() {}, destroy() {} }), new PassThrough(), neverClosing(), { token }),
    'pipeline that writes': (token) => pipeline(Readable.from(['a', 'b']), hanging(), { token }),
    'pipeTo whose source is deaf': (token) =>
      pipeTo(new ReadableStream({ cancel: silence }), new WritableStream(), { token }),
    'pipeTo whose sink is deaf': (token) =>
      pipeTo(new ReadableStream(), new WritableStream({ abort: silence }), { token }),
    'pipeTo that writes': (token) =>
      pipeTo(
        new ReadableStream({ pull: (controller) => controller.enqueue('a') }),
        new WritableStream({ write: silence }),
        { token },
      ),
  }

  for (const [name, begin] of Object.entries(cases)) {
    it(`${name}, when the token is cancelled`, async () => {
      for (const isDeadBefore of [false, true]) {
        using clock = manualClock()
        const token = new SimpleToken()
        if (isDeadBefore) token.cancel()
        const error = reason(begin(token))
        await turn()
        token.cancel('enough')
        await clock.advance(1_000)
        assert.equal(await error, token.error)
      }
    })

    it(`${name}, when its time is up`, async () => {
      using clock = manualClock()
      const token = new TimeoutToken(100)
      const error = reason(begin(token))
      await clock.advance(1_100)
      assert.equal(await error, token.error)
    })
  }
})

describe('a condition that throws leaves no listener', () => {
  const broken = new Error('the condition is broken')
  const brittle = (nth: number) => {
    const source = new AbortController()
    let calls = 0
    const condition = () => {
      if (++calls >= nth) throw broken
      return false
    }
    return new ConditionToken(condition, { suppressExceptions: false, pollEvery: Infinity }, source.signal)
  }
  const left = (emitter: EventEmitter) => emitter.eventNames().length

  it('of once', async () => {
    const emitter = new EventEmitter()
    assert.equal(await reason(once(emitter, 'ready', brittle(1))), broken)
    assert.equal(left(emitter), 0)
  })

  it('of on, whichever call it is', async () => {
    const emitter = new EventEmitter()
    assert.throws(() => on(emitter, 'data', brittle(1)), broken)
    assert.equal(left(emitter), 0)
    for (const nth of [2, 3]) {
      const events = on(emitter, 'data', brittle(nth))
      emitter.emit('data', 1)
      emitter.emit('data', 2)
      for (let call = 2; call < nth; call++) assert.equal((await events.next()).done, false)
      assert.equal(await reason(events.next()), broken)
      assert.equal(left(emitter), 0)
      assert.equal((await events.next()).done, true)
    }
  })

  it('of on, whose other calls are done then', async () => {
    const emitter = new EventEmitter()
    const events = on(emitter, 'data', brittle(3))
    const first = events.next()
    assert.equal(await reason(events.next()), broken)
    assert.equal((await first).done, true)
    assert.equal(left(emitter), 0)
  })

  it('of pipeline and pipeTo, which begin nothing', async () => {
    const source = new Readable({ read() {} })
    assert.equal(await reason(pipeline(source, new PassThrough(), { token: brittle(1) })), broken)
    assert.equal(source.listenerCount('error'), 0)
    const web = new ReadableStream()
    assert.equal(await reason(pipeTo(web, new WritableStream(), { token: brittle(1) })), broken)
    assert.equal(web.locked, false)
    source.destroy()
  })
})

describe('a promise that is awaited late ends no process', () => {
  const cases: Readonly<Record<string, (token: CancellationToken) => Promise<unknown>>> = {
    once: (token) => once(new EventEmitter(), 'ready', token),
    on: (token) => on(new EventEmitter(), 'data', token).next(),
    pipeline: (token) => pipeline(new Readable({ read() {} }), new PassThrough(), { token }),
    pipeTo: (token) => pipeTo(new ReadableStream(), new WritableStream(), { token }),
    'iterate over a stream': (token) => {
      const items = token.iterate(new Readable({ read() {} }))
      return items[Symbol.asyncIterator]().next()
    },
  }
  for (const [name, begin] of Object.entries(cases)) {
    it(name, async () => {
      for (const isDeadBefore of [false, true]) {
        const token = new SimpleToken()
        if (isDeadBefore) token.cancel()
        const promise = begin(token)
        token.cancel()
        for (let i = 0; i < 5; i++) await turn()
        assert.equal(await reason(promise), token.error)
      }
    })
  }
})
