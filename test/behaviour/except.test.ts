/** token.except(…kinds): not cancelled by a cancellation of these kinds, and by what comes later. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  type CancellationKind,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { rejection, thrown } from './helpers.js'
import { deadKinds, kinds, nestingKinds } from './kinds.js'

/** A token whose parent is cancelled by a signal, as by a client that leaves, or by hand. */
function request() {
  const [client, server] = [new AbortController(), new SimpleToken({ name: 'server' })]
  return { client, server, token: new SimpleToken({ name: 'request' }, client.signal, server) }
}

describe('except', () => {
  for (const { name, make } of kinds) {
    it(`of ${name} is cancelled with it, but not by a kind that is left out`, () => {
      const token = make()
      const [other, manual] = [token.except('race', 'lease'), token.except('manual')]
      const told: unknown[] = []
      for (const one of [other, manual]) one.onCancel((error) => told.push(error))
      token.cancel('why')
      assert.equal(other.error, token.error)
      assert.equal(manual.cancelled, false)
      assert.deepEqual(told, [token.error])
      manual.cancel()
      assert.equal(told.length, 2)
    })
  }

  for (const { name, make } of deadKinds) {
    it(`of ${name} is live where that kind is left out, and else cancelled from the start`, () => {
      const token = make()
      void token.cancelled // a condition is true once it is asked
      const kind = token.kind as CancellationKind
      assert.equal(token.except(kind).cancelled, false)
      const other = token.except(kind === 'race' ? 'lease' : 'race')
      assert.equal(other.cancelled, true)
      assert.equal(other.error, token.error)
    })
  }

  for (const { name, make } of nestingKinds.filter((one) => !/^SharedToken|^except/.test(one.name))) {
    for (const isHeard of [false, true]) {
      it(`of ${name} is cancelled by what comes later, ${isHeard ? 'with' : 'without'} a listener`, () => {
        const [client, server] = [new AbortController(), new SimpleToken()]
        const token = make(new SimpleToken(client.signal), new SimpleToken(server))
        const job = token.except('signal')
        let told: unknown
        if (isHeard) job.onCancel((error) => (told = error))
        client.abort()
        assert.deepEqual([token.cancelled, job.cancelled], [true, false])
        token.cancel('too late: it has its cancellation')
        assert.equal(job.cancelled, false)
        server.cancel('shutdown')
        assert.equal(job.cancelled, true)
        assert.equal(job.error, server.error)
        assert.equal(token.kind, 'signal')
        if (isHeard) assert.equal(told, server.error)
        assert.deepEqual([job.path[0], job.path.at(-1)], [server, job])
      })
    }
  }

  it('is cancelled by what comes at the same moment, and by what came before', () => {
    const { client, server, token } = request()
    client.abort()
    server.cancel()
    assert.equal(token.kind, 'signal')
    assert.equal(token.except('signal').error, server.error)
    assert.equal(token.except('manual').error, token.error)
    assert.equal(token.except('manual', 'signal').cancelled, false)
  })

  for (const isHeard of [false, true]) {
    it(`ends with a deadline that passes later, ${isHeard ? 'with' : 'without'} a listener`, async () => {
      using clock = manualClock()
      const client = new AbortController()
      const slow = new TimeoutToken(100, { name: 'slow' }, client.signal)
      const quick = new TimeoutToken(50, { name: 'quick', reason: 'the budget' }, slow)
      const jobs = [quick.except('signal'), quick.except('signal', 'lease'), quick.except('timeout', 'signal')] as const
      const [job, same, patient] = jobs
      let told: unknown
      if (isHeard) job.onCancel((error) => (told = error))
      await clock.advance(10)
      client.abort()
      assert.deepEqual(
        jobs.map(({ remaining }) => remaining),
        [40, 40, Infinity],
      )
      await clock.advance(39)
      assert.equal(job.cancelled, false)
      await clock.advance(1)
      if (isHeard)
        assert.equal((told as Error | undefined)?.message, 'token "quick" ran out of time after 50 ms: the budget')
      assert.equal(job.kind, 'timeout')
      assert.equal(job.cancelledBy, quick)
      assert.equal(job.reason, 'the budget')
      assert.equal(same.error, job.error)
      assert.equal(quick.kind, 'signal')
      assert.equal(patient.cancelled, false)
    })
  }

  it('waits for the earliest of several deadlines, whenever their tokens were cancelled', async () => {
    using clock = manualClock()
    const [first, second] = [new AbortController(), new AbortController()]
    const [late, soon] = [new TimeoutToken(100, first.signal), new TimeoutToken(50, second.signal)]
    const endless = new TimeoutToken(Infinity, first.signal)
    const job = new SimpleToken(late, soon, endless).except('signal')
    const waiting = job.wait()
    first.abort()
    await clock.advance(1)
    second.abort()
    await clock.advance(49)
    assert.equal((await waiting).token, soon)
    // Taken back, its timer goes too.
    const [client, token] = [new AbortController(), new SimpleToken()]
    const other = new SimpleToken(new TimeoutToken(1_000, client.signal), token).except('signal')
    const registration = other.onCancel(() => assert.fail('called'))
    client.abort()
    registration.stop()
    await clock.advance(1_000)
    assert.equal(other.cancelled, true)
  })

  it('does not see the deadlines of its parents with timeout, and still sees their cancellations', () => {
    using clock = manualClock()
    const server = new SimpleToken()
    const job = new TimeoutToken(50, server).except('timeout')
    assert.equal(job.remaining, Infinity)
    clock.tick(50)
    assert.equal(job.cancelled, false)
    server.cancel()
    assert.equal(job.error, server.error)
  })

  it('lets a grace, an allOf and another except count as the one cancellation they have', () => {
    using clock = manualClock()
    const stand = (make: (client: CancellationToken, server: CancellationToken) => CancellationToken) => {
      const { client, server } = request()
      const job = make(new SimpleToken(client.signal), server).except('signal')
      client.abort()
      clock.tick(10)
      return [job.cancelled, (server.cancel(), clock.tick(10), job.cancelled)]
    }
    assert.deepEqual(
      stand((client, server) => client.plus(server).grace(5)),
      [false, false],
    )
    assert.deepEqual(
      stand((client, server) => allOf(client, server)),
      [false, true],
    )
    assert.deepEqual(
      stand((client, server) => client.plus(server).except('manual')),
      [false, false],
    )
    assert.deepEqual(
      stand((client, server) => server.plus(client.grace(5))),
      [false, true],
    )
    const deadline = (client: CancellationToken) => new TimeoutToken(1_000, client.grace(500)).except('signal')
    const { client } = request()
    const job = deadline(new SimpleToken(client.signal))
    client.abort()
    assert.equal(job.remaining, 1_000)
  })

  it('polls conditions and counters of live tokens, each once', () => {
    let asked = 0
    let over = false
    const client = new AbortController()
    const condition = new ConditionToken(() => (asked++, over))
    const counter = new CounterToken(10, { direct: false })
    const job = new SimpleToken(client.signal, condition, counter).except('signal')
    assert.equal(job.cancelled, false)
    assert.deepEqual([asked, counter.counter], [1, 9])
    client.abort()
    assert.equal(job.cancelled, false)
    assert.deepEqual([asked, counter.counter], [2, 8])
    over = true
    assert.equal(job.kind, undefined)
    assert.equal(job.cancelled, true)
    assert.equal(job.kind, 'condition')
    const another = new ConditionToken(() => true).except('condition')
    assert.equal(another.cancelled, false)
  })

  it('can be raced, waited for and made into a signal', async () => {
    const { client, server, token } = request()
    const job = token.except('signal')
    const { signal } = job
    const [racing, waiting] = [rejection(job.race(new Promise(() => {}))), job.wait()]
    client.abort()
    assert.equal(signal.aborted, false)
    server.cancel()
    assert.deepEqual([signal.aborted, signal.reason], [true, server.error])
    assert.equal(await racing, server.error)
    assert.equal(await waiting, server.error)
    assert.ok(isCancellation(server.error, job))
  })

  it('of a disposed token goes on with its parents, and of a DefaultToken is never cancelled by itself', () => {
    const server = new SimpleToken()
    const token = new SimpleToken(server)
    const job = token.except('dispose')
    token[Symbol.dispose]()
    assert.deepEqual([token.cancelled, job.cancelled], [true, false])
    server.cancel()
    assert.equal(job.error, server.error)
    assert.equal(NEVER.except('manual').cancelled, false)
  })

  it('reads as the call that makes it', () => {
    const token = new SimpleToken(new SimpleToken({ name: 'a' }), new SimpleToken())
    assert.equal(String(token.except('race')), `${String(token)}.except('race')`)
    assert.equal(String(token.except('race', 'lease', 'race')), `${String(token)}.except('race', 'lease')`)
  })

  it('refuses no kind, and a kind that does not exist', () => {
    const token = new SimpleToken()
    const loose = token.except.bind(token) as unknown as (...args: unknown[]) => unknown
    for (const args of [[], ['disconect'], ['race', 5], [['race']], ['toString'], [undefined], [null]]) {
      const error = thrown(() => loose(...args))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /^kind must be one of manual, .*process-signal, .*, got/)
    }
  })
})
