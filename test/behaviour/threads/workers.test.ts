/** A shared token on both sides of a real thread. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ConditionToken, SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken, type SharedHandle } from 'calloff/threads'
import { manualClock } from 'calloff/testing'
import { isPage, thrown } from '../helpers.js'
import { Crew } from './crew.js'
import type { Seen } from './worker.child.js'

const crew = new Crew()
after(() => crew.dismiss())

const enough = { kind: 'manual', name: 'AbortError', by: 'job', isError: false, reason: 'enough' }
const message = 'token "job" was cancelled: enough'

describe('a worker in a loop that never yields', () => {
  for (const way of ['cancelled', 'keepOn', 'check', 'for', 'below']) {
    it(`sees a cancel by ${way}, and who and why`, async () => {
      const token = new SharedToken({ name: 'job' })
      await crew.start({ job: 'loop', handle: token.handle, argument: way })
      token.cancel('enough')
      assert.deepEqual(await crew.seen(), { ...enough, message })
    })
  }

  it('sees a deadline pass while the thread that has set it is blocked', async () => {
    const token = share(new TimeoutToken(200, { name: 'budget' }))
    await crew.start({ job: 'loop', handle: token.handle, argument: 'keepOn' })
    // Not asleep, since a page may not be; and for as long as the worker takes to get its turn. Whoever sees the word says that
    // the worker was first: this thread has not polled yet.
    const words = new Int32Array(token.handle.buffer)
    const state = () => Atomics.load(words, token.handle.byteOffset / 4)
    for (const end = performance.now() + 120_000; state() === 0 && performance.now() < end;);
    assert.notEqual(state(), 0)
    const { kind, name, by, message } = await crew.seen()
    assert.deepEqual([kind, name, by], ['timeout', 'TimeoutError', 'budget'])
    assert.equal(message, 'token "budget" ran out of time after 200 ms')
    assert.equal(token.error?.message, message)
  })

  for (const job of ['loop', 'block', 'wait', 'listen'] as const) {
    it(`sees a grace pass that began when it had the handle, while the thread that began it is blocked: ${job}`, async () => {
      const request = new SimpleToken({ name: 'request' })
      const token = share(request.grace(100))
      await crew.start({ job, handle: token.handle, ...(job === 'loop' && { argument: 'keepOn' }) })
      const state = new Int32Array(token.handle.buffer)
      request.cancel('the client left')
      for (const end = performance.now() + 120_000; performance.now() < end;) {
        if (Atomics.load(state, token.handle.byteOffset / 4) > 0) break
      }
      assert.notEqual(Atomics.load(state, token.handle.byteOffset / 4), 0, 'the worker was first')
      const { kind, name, by, reason, message } = await crew.seen()
      assert.deepEqual([kind, name, by, reason], ['manual', 'AbortError', 'request', 'the client left'])
      assert.equal(message, request.error?.message)
      assert.equal(token.error, request.error)
    })
  }

  const moved: Readonly<Record<string, (deadline: TimeoutToken) => void>> = {
    'is moved nearer': (deadline) => deadline.restart(1),
    'is taken off, and set again': (deadline) => {
      deadline.disarm()
      deadline.restart(1)
    },
    'was off, and is set again': (deadline) => deadline.restart(1),
    'is extended, and moved nearer': (deadline) => {
      deadline.extend(600_000)
      deadline.restart(1)
    },
  }
  for (const job of ['loop', 'block', 'wait', 'listen', 'signal', 'race'] as const) {
    for (const [how, move] of Object.entries(moved)) {
      it(`sees a deadline pass that ${how} when it has the handle: ${job}`, async () => {
        const deadline = new TimeoutToken(600_000, { name: 'budget', reason: 'the search is slow' })
        if (how.startsWith('was off')) deadline.disarm()
        const token = share(deadline)
        await crew.start({ job, handle: token.handle, ...(job === 'loop' && { argument: 'keepOn' }) })
        move(deadline)
        const { kind, by, reason } = await crew.seen()
        assert.deepEqual([kind, by, reason], ['timeout', 'budget', 'the search is slow'])
        assert.equal(token.error, deadline.error)
      })
    }
  }

  for (const job of ['loop', 'block', 'wait', 'listen'] as const) {
    it(`is not ended by a deadline that was taken off: ${job}`, async () => {
      const deadline = new TimeoutToken(600_000, { name: 'budget' })
      const token = share(deadline)
      await crew.start({ job, handle: token.handle, ...(job === 'loop' && { argument: 'keepOn' }) })
      assert.deepEqual([deadline.restart(30), deadline.disarm()], [true, true])
      const passed = new TimeoutToken(60)
      await passed.wait()
      deadline.cancel('by hand')
      const { kind, reason } = await crew.seen()
      assert.deepEqual([kind, reason], ['manual', 'by hand'])
    })
  }

  it('is told of a condition above, which this thread asks', async () => {
    let done = false
    const condition = new ConditionToken(() => done, { name: 'done', pollEvery: 1 })
    const token = share(condition)
    await crew.start({ job: 'loop', handle: token.handle, argument: 'keepOn' })
    done = true
    const { kind, by, message } = await crew.seen()
    assert.deepEqual([kind, by], ['condition', 'done'])
    assert.equal(message, condition.error?.message)
    assert.equal(token.error, condition.error)
  })
})

for (const withoutWaitAsync of [false, true]) {
  describe(`a worker that is idle, ${withoutWaitAsync ? 'without' : 'with'} Atomics.waitAsync`, () => {
    for (const job of ['wait', 'listen', 'signal', 'race'] as const) {
      it(`learns of a cancel: ${job}`, async () => {
        const token = new SharedToken({ name: 'job' })
        await crew.start({ job, handle: token.handle, withoutWaitAsync })
        token.cancel('enough')
        assert.deepEqual(await crew.seen(), { ...enough, message })
      })
    }

    it('learns of a deadline', async () => {
      const token = share(new TimeoutToken(30))
      await crew.start({ job: 'wait', handle: token.handle, withoutWaitAsync })
      assert.equal((await crew.seen()).kind, 'timeout')
    })
  })

  describe(`this thread, ${withoutWaitAsync ? 'without' : 'with'} Atomics.waitAsync`, () => {
    const { waitAsync } = Atomics as { waitAsync?: unknown }
    const choose = () => Object.assign(Atomics, { waitAsync: withoutWaitAsync ? undefined : waitAsync })
    after(() => Object.assign(Atomics, { waitAsync }))

    it('learns of a cancel in a worker: wait, listeners, and what derives', async () => {
      choose()
      const token = new SharedToken({ name: 'job' })
      const below = new SimpleToken(token)
      const told: unknown[] = []
      below.onCancel((error) => told.push(error))
      const waiting = below.wait()
      crew.order({ job: 'cancel', handle: token.handle, argument: 'enough' })
      const error = await waiting
      assert.deepEqual([error.message, error.token, error.cause], [message, token, 'enough'])
      assert.deepEqual(told, [error])
      assert.equal(token.error, error)
      await crew.result()
    })

    it('learns of many, one after the other', async () => {
      choose()
      for (let i = 0; i < 50; i++) {
        const token = new SharedToken()
        const waiting = token.wait()
        crew.order({ job: 'cancel', handle: token.handle, argument: i })
        assert.equal((await waiting).cause, i)
        await crew.result()
      }
    })
  })
}

/** The page's own thread. Its workers may. */
const skip = isPage && 'a page may not block'

describe('a thread that is blocked', () => {
  it('is woken in a worker', async () => {
    const token = new SharedToken({ name: 'job' })
    await crew.start({ job: 'block', handle: token.handle })
    token.cancel('enough')
    assert.deepEqual(await crew.seen(), { ...enough, message })
  })

  it('is woken here', { skip }, async () => {
    const token = new SharedToken({ name: 'job' })
    crew.order({ job: 'cancel', handle: token.handle, argument: 'enough' })
    const error = token.waitSync()
    assert.deepEqual([error.message, error.token], [message, token])
    await crew.result()
  })

  it('is woken by any of several shared tokens, and below them', { skip }, async () => {
    const one = new SharedToken()
    const other = new SharedToken()
    crew.order({ job: 'cancel', handle: other.handle })
    assert.equal(new SimpleToken(one, other).waitSync().token, other)
    await crew.result()
  })

  it('is woken under a manual clock, which only a deadline moves', { skip }, async () => {
    using clock = manualClock()
    const token = new SharedToken()
    crew.order({ job: 'cancel', handle: token.handle, argument: 'there' })
    assert.deepEqual([token.waitSync().cause, clock.now], ['there', 0])
    assert.deepEqual([share(new TimeoutToken(50)).waitSync().kind, clock.now], ['timeout', 50])
    await crew.result()
  })

  it('gives up after its timeout', { skip }, () => {
    assert.throws(() => new SharedToken().waitSync({ timeout: 20 }), { name: 'TimeoutError' })
  })

  it(
    'is no page: that is refused, and told what to do instead',
    { skip: !isPage && 'only a page may not block' },
    async () => {
      const token = new SharedToken()
      const refused = thrown(() => token.waitSync())
      assert.ok(refused instanceof TypeError)
      assert.match(refused.message, /^waitSync: this thread may not block .* await wait\(\)$/)
      // Not before, since what is over already has nothing to wait for.
      crew.order({ job: 'cancel', handle: token.handle, argument: 'enough' })
      assert.equal((await token.wait()).cause, 'enough')
      await crew.result()
    },
  )

  it('gives up at the deadline the token carries', async () => {
    await crew.start({ job: 'block', handle: share(new TimeoutToken(30)).handle })
    assert.equal((await crew.seen()).kind, 'timeout')
  })
})

describe('what crosses', () => {
  it('is an error as an error, and a structure as one', async () => {
    const token = new SharedToken()
    await crew.start({ job: 'loop', handle: token.handle, argument: 'keepOn' })
    token.cancel(new RangeError('too many'))
    const { isError, reason, message } = await crew.seen()
    assert.deepEqual([isError, reason, message], [true, 'too many', 'token was cancelled: too many'])

    const other = new SharedToken()
    crew.order({ job: 'cancel', handle: other.handle, argument: { code: 5, tags: ['a'] } })
    assert.deepEqual((await other.wait()).cause, { code: 5, tags: ['a'] })
    await crew.result()
  })

  it('is the token that started it', async () => {
    const request = new SimpleToken({ name: 'request' })
    const token = share(request.plus(new SimpleToken()))
    await crew.start({ job: 'wait', handle: token.handle })
    request.cancel('the client left')
    const { by, message } = await crew.seen()
    assert.deepEqual([by, message], ['request', 'token "request" was cancelled: the client left'])
    assert.equal(token.error, request.error)
  })

  it('is the deadline, which goes on there', async () => {
    crew.order({ job: 'look', handle: share(new TimeoutToken(60_000)).handle })
    const { remaining, text } = (await crew.result()) as { remaining: number; text: string }
    assert.ok(remaining > 50_000 && remaining <= 60_000, `${remaining}`)
    assert.equal(text, 'SharedToken.from(handle)')
  })

  it('is a handle that was handed on', async () => {
    const token = new SharedToken({ name: 'job' })
    crew.order({ job: 'handOn', handle: token.handle })
    const handle = (await crew.result()) as SharedHandle
    const again = SharedToken.from(handle)
    again.cancel('enough')
    assert.deepEqual([token.error?.message, token.name, again.name], [message, 'job', 'job'])
  })

  it('is one cancellation, where both sides cancel', async () => {
    for (let i = 0; i < 100; i++) {
      const token = new SharedToken()
      crew.order({ job: 'cancel', handle: token.handle, argument: 'there' })
      while (i % 10 > 0 && Math.random() < 0.9); // here and there both are on the point of it
      token.cancel('here')
      const there = (await crew.result()) as Seen
      assert.equal(there.reason, token.reason)
      assert.equal(there.message, token.error?.message)
    }
  })
})

describe('a canceller that dies before it has woken a thread', () => {
  /** What it leaves. */
  const changeState = ({ handle }: SharedToken) =>
    Atomics.store(new Int32Array(handle.buffer), handle.byteOffset / 4, 1)

  for (const job of ['block', 'wait', 'listen'] as const) {
    it(`leaves no thread asleep for ever in a worker: ${job}`, async () => {
      const token = new SharedToken()
      await crew.start({ job, handle: token.handle })
      changeState(token)
      assert.equal((await crew.seen()).kind, 'manual')
    })
  }

  it('leaves no thread asleep for ever here', async () => {
    const token = new SharedToken()
    const waiting = token.wait()
    changeState(token)
    assert.equal((await waiting).kind, 'manual')
  })
})

describe('the end of a token', () => {
  it('is known there when it is disposed of here', async () => {
    const token = new SharedToken({ name: 'job' })
    await crew.start({ job: 'wait', handle: token.handle })
    token[Symbol.dispose]()
    const { kind, message } = await crew.seen()
    assert.deepEqual([kind, message], ['dispose', 'token "job" was disposed of where it was made'])
  })
})
