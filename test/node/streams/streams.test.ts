import assert from 'node:assert/strict'
import { once as happened } from 'node:events'
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { PassThrough, Readable, Transform, Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { createGzip, gunzipSync } from 'node:zlib'
import { CANCELLED, isCancellation, SimpleToken } from 'calloff'
import { pipeline, pipeTo, ProcessSignalToken } from 'calloff/node'

const skip = process.platform === 'win32' && 'Windows does not know SIGUSR2'
const watched = () => new ProcessSignalToken('SIGUSR2')
const listening = () => process.listenerCount('SIGUSR2')

const silent = () => new Readable({ read() {} })
const sink = (chunks: unknown[] = []) =>
  new Writable({
    objectMode: true,
    write(chunk, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
/** Closes only after a while. */
const slow = () =>
  new Writable({
    write: (_chunk, _encoding, done) => done(),
    destroy: (error, done) => void setTimeout(() => done(error), 100),
  })
const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail('it did not reject'),
    (error: unknown) => error,
  )

describe('pipeline', { skip }, () => {
  it('lets all go through, and leaves nothing on the token', async () => {
    const token = watched()
    const folder = mkdtempSync(join(tmpdir(), 'calloff-'))
    try {
      const source = Readable.from(['hello ', 'world'])
      const running = pipeline(source, createGzip(), createWriteStream(join(folder, 'out.gz')), { token })
      assert.equal(listening(), 1)
      await running
      assert.equal(listening(), 0)
      assert.equal(gunzipSync(readFileSync(join(folder, 'out.gz'))).toString(), 'hello world')
      await pipeline(createReadStream(join(folder, 'out.gz')), createWriteStream(join(folder, 'copy')), { token })
      assert.equal(listening(), 0)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('gives what the last one comes to, if it is a function', async () => {
    const length = await pipeline<number>(
      ['a', 'b'],
      async function* (source: AsyncIterable<string>) {
        for await (const text of source) yield text + text
      },
      async (source: AsyncIterable<string>) => {
        let all = ''
        for await (const text of source) all += text
        return all.length
      },
    )
    assert.equal(length, 4)
  })

  it('rejects with the very error of the token, when all have closed', async () => {
    const token = new SimpleToken()
    const streams = [silent(), new PassThrough(), slow()] as const
    const running = pipeline(...streams, { token })
    token.cancel('enough')
    assert.equal(await reason(running), token.error)
    for (const { destroyed, closed } of streams) assert.deepEqual([destroyed, closed], [true, true])
    assert.equal(isCancellation(streams[2].errored, token), true)
  })

  it('destroys the streams as well if the token is cancelled', async () => {
    const streams = [silent(), sink()] as const
    assert.equal(await reason(pipeline(...streams, { token: CANCELLED })), CANCELLED.error)
    assert.deepEqual(
      streams.map(({ destroyed }) => destroyed),
      [true, true],
    )
  })

  it('functions learn of it through their signal', async () => {
    const token = new SimpleToken()
    let heard: unknown
    const running = pipeline(
      silent(),
      async function (_source: AsyncIterable<unknown>, { signal }: { signal: AbortSignal }) {
        await happened(signal, 'abort')
        heard = signal.reason
        throw signal.reason
      },
      { token },
    )
    token.cancel('enough')
    assert.equal(await reason(running), token.error)
    assert.ok(heard instanceof Error)
  })

  it('does not wait for a function that is deaf', async () => {
    const token = new SimpleToken()
    const never = () => new Promise<never>(() => {})
    const target = sink()
    const deaf = pipeline(
      async function* () {
        yield 'a'
        await never()
      },
      new PassThrough(),
      target,
      { token },
    )
    const deafSink = pipeline(silent(), never, { token })
    await new Promise((resolve) => setTimeout(resolve, 10))
    token.cancel('enough')
    assert.equal(await reason(deaf), token.error)
    assert.equal(await reason(deafSink), token.error)
    assert.equal(target.destroyed, true)
  })

  it('a failure is a failure, and leaves nothing on the token', async () => {
    const token = watched()
    const broken = new Error('disk full')
    const failing = new Transform({ transform: (_chunk, _encoding, done) => done(broken) })
    assert.equal(await reason(pipeline(Readable.from(['a']), failing, sink(), { token })), broken)
    assert.equal(listening(), 0)
    assert.equal(token.cancelled, false)
  })

  describe('what a stage fails with comes out, where the platform makes an AbortError of it', () => {
    const broken = new Error('disk full')
    const fail = () => {
      throw broken
    }
    type Items = Readable & AsyncIterable<unknown>
    const many = () => Readable.from(Array.from({ length: 1_000 }, (_, i) => `${i}`))
    const twice = () =>
      new Transform({
        objectMode: true,
        transform(chunk, _encoding, done) {
          this.push(chunk)
          done(null, chunk)
        },
      })
    const failing = (error: unknown) =>
      new Transform({ objectMode: true, transform: (_chunk, _encoding, done) => done(error as Error) })
    type Steps = Parameters<typeof pipeline>
    const failures: Readonly<Record<string, () => Steps>> = {
      'a helper, last': () => [many(), twice(), (items: Items) => items.map(async () => fail())],
      'a helper in the middle': () => [many(), twice(), (items: Items) => items.filter(async () => fail()), sink()],
      'a helper that gives a promise': () => [many(), twice(), (items: Items) => items.reduce(fail, 0)],
      'a function': () => [
        many(),
        twice(),
        async (items: Items) => {
          for await (const _ of items) fail()
        },
      ],
      'a function that has read nothing': () => [many(), twice(), async () => fail()],
      'a function, at once': () => [many(), twice(), () => fail()],
      'a generator, first': () => [
        async function* () {
          yield 'a'
          fail()
        },
        twice(),
        sink(),
      ],
      'a generator in the middle': () => [
        many(),
        twice(),
        async function* (items: Items) {
          for await (const item of items) yield item && fail()
        },
        sink(),
      ],
      'a stream in the middle': () => [many(), twice(), failing(broken), twice(), sink()],
      'a stream, last': () => [
        many(),
        twice(),
        new Writable({ objectMode: true, write: (_chunk, _encoding, done) => done(broken) }),
      ],
      'a stream of the web': () => [many(), new WritableStream({ write: fail })],
      'a function behind one that has stopped early': () => [
        many(),
        twice(),
        (items: Items) => items.take(3),
        async (items: Items) => {
          for await (const _ of items) fail()
        },
      ],
    }
    for (const [name, make] of Object.entries(failures)) {
      it(name, async () => {
        const token = new SimpleToken()
        const error = await reason(pipeline(...(make() as [never]), { token } as never))
        assert.equal(error, broken)
        assert.equal(isCancellation(error), false)
        assert.equal(token.cancelled, false)
      })
    }

    it('a cancellation of its own, which is no one of the token', async () => {
      const own = new SimpleToken().cancel('mine').error
      const abort = new DOMException('gone', 'AbortError')
      for (const error of [own, abort]) {
        const token = new SimpleToken()
        const last = async (items: Items) => {
          for await (const _ of items) throw error
        }
        for (const steps of [
          [many(), twice(), last],
          [many(), twice(), failing(error), sink()],
        ]) {
          const found = await reason(pipeline(...(steps as [never]), { token } as never))
          assert.equal(found, error)
          assert.deepEqual([isCancellation(found), isCancellation(found, token)], [true, false])
        }
      }
    })

    const stops: Readonly<Record<string, () => Steps>> = {
      'a function that has enough': () => [
        many(),
        twice(),
        async (items: Items) => {
          for await (const _ of items) break
        },
      ],
      'a helper that has enough': () => [many(), twice(), (items: Items) => items.take(1), sink()],
      'a helper that has found it': () => [many(), twice(), (items: Items) => items.find(() => true)],
      'a generator that has enough': () => [
        many(),
        twice(),
        async function* (items: Items) {
          for await (const item of items) {
            yield item
            break
          }
        },
        sink(),
      ],
      'a stream that is destroyed': () => {
        const middle = twice()
        middle.once('data', () => middle.destroy())
        return [many(), middle, sink()]
      },
    }
    for (const [name, make] of Object.entries(stops)) {
      it(`and where none has failed, it is no cancellation: ${name}`, async () => {
        const token = new SimpleToken()
        const error = await reason(pipeline(...(make() as [never]), { token } as never))
        assert.equal((error as { code?: unknown }).code, 'ERR_STREAM_PREMATURE_CLOSE')
        assert.deepEqual([isCancellation(error), token.cancelled], [false, false])
      })
    }

    it('the first of several', async () => {
      const later = new Error('later')
      const slowly = new Writable({
        objectMode: true,
        write: () => {},
        destroy: (_error, done) => void setImmediate(() => done(later)),
      })
      const steps = [many(), twice(), failing(broken), slowly] as const
      assert.equal(await reason(pipeline(...steps, { token: new SimpleToken() })), broken)
    })

    it('a failure that came before the token was cancelled', async () => {
      const token = new SimpleToken()
      const middle = async function* (items: Items) {
        try {
          for await (const item of items) yield item && fail()
        } finally {
          setImmediate(() => token.cancel())
        }
      }
      assert.equal(await reason(pipeline(many(), twice(), middle as never, slow(), { token })), broken)
    })
  })

  it('end: false leaves the last one open', async () => {
    const chunks: unknown[] = []
    const target = sink(chunks)
    await pipeline(Readable.from(['a']), target, { end: false })
    assert.equal(target.writableEnded, false)
    await pipeline(Readable.from(['b']), target)
    assert.deepEqual(chunks.map(String), ['a', 'b'])
  })

  it('takes streams of the web', async () => {
    const chunks: unknown[] = []
    await pipeline(Readable.from(['a', 'b']), new WritableStream({ write: (chunk) => void chunks.push(chunk) }))
    assert.deepEqual(chunks, ['a', 'b'])
    const token = new SimpleToken()
    const running = pipeline(silent(), new WritableStream(), { token })
    token.cancel()
    assert.equal(await reason(running), token.error)
  })

  it('ends a response that is being sent', async () => {
    const token = new SimpleToken()
    const errors: unknown[] = []
    const server: Server = createServer((_request, response) => {
      pipeline(
        async function* () {
          for (;;) yield 'x'.repeat(1_000)
        },
        response,
        { token },
      ).catch((error: unknown) => errors.push(error))
    }).listen(0)
    await happened(server, 'listening')
    try {
      const response = await fetch(`http://localhost:${(server.address() as AddressInfo).port}`)
      const reader = response.body?.getReader()
      await reader?.read()
      token.cancel('server closes')
      const end = await (async () => {
        for (;;) if ((await reader?.read())?.done !== false) return 'ended'
      })().catch(() => 'broken')
      assert.equal(end, 'broken')
      while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      assert.equal(errors[0], token.error)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('1,000 of them leave nothing on a long-lived token', async () => {
    const token = watched()
    for (let i = 0; i < 1_000; i++) await pipeline(['a'], sink(), { token })
    assert.equal(listening(), 0)
  })

  it('bad input is refused', async () => {
    const wrong = pipeline as (...all: unknown[]) => Promise<unknown>
    await assert.rejects(wrong(), { name: 'TypeError', message: /source and a destination/ })
    await assert.rejects(wrong(silent(), { token: CANCELLED }), { name: 'TypeError' })
    await assert.rejects(wrong(silent(), sink(), { token: 5 }), { name: 'TypeError', message: /token must be/ })
    await assert.rejects(wrong(silent(), sink(), { end: 5 }), { name: 'TypeError', message: /end must be/ })
  })
})

describe('a stream of Node under iterate', { skip }, () => {
  it('is destroyed, and the loop throws the error of the token', async () => {
    const token = watched()
    const source = silent()
    source.push('a')
    const loop = async () => {
      for await (const chunk of token.iterate(source)) assert.equal(String(chunk), 'a')
    }
    const running = loop()
    await new Promise((resolve) => setImmediate(resolve))
    token.cancel()
    assert.equal(await reason(running), token.error)
    assert.equal(listening(), 0)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(source.destroyed, true)
  })

  it('is destroyed as well where the loop is left', async () => {
    const token = watched()
    const source = Readable.from(['a', 'b'])
    for await (const chunk of token.iterate(source)) {
      assert.equal(chunk, 'a')
      break
    }
    assert.equal(listening(), 0)
    assert.equal(source.destroyed, true)
  })
})

describe('pipeTo', { skip }, () => {
  const endless = (cancelled: unknown[] = []) =>
    new ReadableStream<string>({
      pull: () => new Promise<void>(() => {}),
      cancel: (why) => void cancelled.push(why),
    })

  it('lets all go through, and leaves nothing on the token', async () => {
    const token = watched()
    const chunks: string[] = []
    const source = new ReadableStream<string>({
      start(controller) {
        controller.enqueue('a')
        controller.enqueue('b')
        controller.close()
      },
    })
    const running = pipeTo(source, new WritableStream({ write: (chunk) => void chunks.push(chunk) }), { token })
    assert.equal(listening(), 1)
    await running
    assert.deepEqual([chunks, listening()], [['a', 'b'], 0])
  })

  it('rejects with the very error of the token, which both ends are given', async () => {
    const token = new SimpleToken()
    const reasons: unknown[] = []
    const target = new WritableStream({ abort: (why) => void reasons.push(why) })
    const running = pipeTo(endless(reasons), target, { token })
    token.cancel('enough')
    assert.equal(await reason(running), token.error)
    assert.deepEqual(reasons, [token.error, token.error])
  })

  it('leaves the ends as they are where that is asked for', async () => {
    const token = new SimpleToken()
    const reasons: unknown[] = []
    const source = endless(reasons)
    const target = new WritableStream({ abort: (why) => void reasons.push(why) })
    const running = pipeTo(source, target, { token, preventAbort: true, preventCancel: true })
    token.cancel('enough')
    assert.equal(await reason(running), token.error)
    assert.deepEqual([reasons, source.locked, target.locked], [[], false, false])
  })

  it('under a cancelled token nothing goes through', async () => {
    const reasons: unknown[] = []
    assert.equal(await reason(pipeTo(endless(reasons), new WritableStream(), { token: CANCELLED })), CANCELLED.error)
    assert.deepEqual(reasons, [CANCELLED.error])
  })

  it('a failure is a failure', async () => {
    const token = watched()
    const broken = new Error('disk full')
    const source = new ReadableStream({ pull: (controller) => controller.error(broken) })
    assert.equal(await reason(pipeTo(source, new WritableStream(), { token })), broken)
    assert.equal(listening(), 0)
  })

  it('bad input is refused', async () => {
    await assert.rejects(pipeTo(5 as never, new WritableStream()), {
      name: 'TypeError',
      message: 'source must be a ReadableStream, got 5',
    })
  })
})
