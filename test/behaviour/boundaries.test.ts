import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  type CancellationToken,
  CounterToken,
  from,
  isCancellation,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { rejection, thrown } from './helpers.js'
import { kinds } from './kinds.js'

describe('14. a token that is sent as it is never arrives as a dead copy', () => {
  const tokens = [...kinds.map(({ make }) => make()), new SimpleToken().cancel('why')]
  it('structuredClone throws, also where it is deep inside', () => {
    for (const token of tokens) {
      for (const value of [token, { token }, [[token]], new Map([['token', token]])]) {
        assert.throws(() => structuredClone(value), { name: 'DataCloneError' })
      }
    }
  })

  it('postMessage throws', () => {
    const { port1, port2 } = new MessageChannel()
    try {
      for (const token of tokens) assert.throws(() => port1.postMessage({ token }), { name: 'DataCloneError' })
    } finally {
      port1.close()
      port2.close()
    }
  })

  it('what was listened to, or made a signal, throws as well', () => {
    const token = new SimpleToken()
    token.onCancel(() => {})
    assert.ok(token.signal)
    assert.throws(() => structuredClone(token), { name: 'DataCloneError' })
  })
})

/**
 * A token as another copy of the package would show it: no instance of our classes, known by its brand alone.
 * Two real copies in one process are tested apart.
 */
class OtherCopy {
  readonly token: CancellationToken
  listeners = 0

  constructor(token: CancellationToken) {
    this.token = token
    Object.defineProperty(this, Symbol.for('calloff.CancellationToken'), { value: true })
  }

  isCancelled(options?: { direct?: boolean }): boolean {
    return this.token.isCancelled(options)
  }

  get error(): CancellationError | undefined {
    return this.token.error
  }

  get remaining(): number {
    return this.token.remaining
  }

  onCancel(listener: (error: CancellationError) => void): { stop(): boolean } {
    const registration = this.token.onCancel((error) => {
      this.listeners--
      listener(error)
    })
    this.listeners++
    return {
      stop: () => {
        const stopped = registration.stop()
        if (stopped) this.listeners--
        return stopped
      },
    }
  }

  toString(): string {
    return String(this.token)
  }
}

const other = (token: CancellationToken) => {
  const copy = new OtherCopy(token)
  return { copy, foreign: copy as unknown as CancellationToken }
}

describe('15. a token of another copy of the package', () => {
  it('can be nested and summed, and its error keeps its identity', () => {
    for (const derive of [
      (token: CancellationToken) => new SimpleToken(token),
      (token: CancellationToken) => new SimpleToken().plus(token),
      (token: CancellationToken) => from(token),
      (token: CancellationToken) => new TimeoutToken(100_000, { name: 'x' }, token),
    ]) {
      const source = new SimpleToken({ name: 'theirs' })
      const token = derive(other(source).foreign)
      const { signal } = token
      let told: unknown
      token.onCancel((error) => (told = error))
      assert.equal(token.cancelled, false)
      source.cancel('why')
      assert.equal(told, source.error)
      assert.equal(token.error, source.error)
      assert.equal(token.cancelledBy, source)
      assert.equal(token.reason, 'why')
      assert.equal(signal.reason, source.error)
      assert.equal(isCancellation(source.error, token), true)
    }
  })

  it('can be raced and waited for, and is let go of afterwards', async () => {
    const source = new SimpleToken()
    const { copy, foreign } = other(source)
    const token = new SimpleToken(foreign)
    assert.equal(await token.race(async () => 'won'), 'won')
    assert.equal(copy.listeners, 0)
    const outcomes = [token.wait(), rejection(token.race(new Promise(() => {})))]
    assert.equal(copy.listeners, 1)
    source.cancel()
    for (const error of await Promise.all(outcomes)) assert.equal(error, source.error)
    assert.equal(copy.listeners, 0)
  })

  it('is polled as ours are: indirectly, and never by a read', () => {
    const [plain, shared] = [new CounterToken(5), new CounterToken(5, { direct: false })]
    const token = new SimpleToken(other(plain).foreign, other(shared).foreign)
    assert.equal(token.error, undefined)
    assert.equal(token.signal.aborted, false)
    assert.equal(token.keepOn(), true)
    assert.deepEqual([plain.counter, shared.counter], [5, 4])
  })

  it('lends its deadline', () => {
    const { remaining } = new SimpleToken(other(new TimeoutToken(100_000)).foreign)
    // What is left is counted to the other side and back: the last bits of a sum are nobody's promise.
    assert.ok(remaining > 90_000 && remaining <= 100_000.000_001, `${remaining} ms are left`)
  })

  it('has errors that are recognised, thrown, wrapped or as a signal’s reason', () => {
    const source = new SimpleToken().cancel('why')
    const error = Object.assign(new Error('theirs'), { token: source, kind: 'manual' })
    Object.defineProperty(error, Symbol.for('calloff.CancellationError'), { value: true })
    assert.equal(isCancellation(error), true)
    assert.equal(isCancellation(new Error('wrapped', { cause: error })), true)
    const token = from(AbortSignal.abort(error))
    assert.equal(
      thrown(() => token.check()),
      error,
    )
    assert.equal(token.error, error)
    assert.equal(token.cancelledBy, source)
  })
})
