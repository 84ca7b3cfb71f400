/** Shared tokens as one thread sees them: a handle that is cloned is a handle that arrives. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allOf, CANCELLED, NEVER, SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken, type SharedHandle, startTicker } from 'calloff/threads'
import { manualClock } from 'calloff/testing'
import { drawn, thrown } from '../helpers.js'

/** The token as another thread would open it. */
const there = (token: SharedToken): SharedToken => SharedToken.from(structuredClone(token.handle))

/** What arrives of a reason. */
function crossed(reason: unknown): unknown {
  const token = new SharedToken()
  const opened = there(token)
  token.cancel(reason)
  assert.equal(token.reason, reason)
  return opened.reason
}

describe('a reason', () => {
  const whole: readonly unknown[] = [
    '',
    'enough',
    'ünïcödé 🚀',
    0,
    -0,
    1.5,
    NaN,
    Infinity,
    -Infinity,
    true,
    null,
    undefined,
    12345678901234567890n,
    new Date(5),
    [1, [undefined, null]],
    { a: { b: [1n, new Date(7)] }, $: 'x' },
  ]
  for (const reason of whole) {
    it(`arrives as it is: ${typeof reason} ${JSON.stringify(reason, (_, one) => (typeof one === 'bigint' ? `${one}` : one))}`, () => {
      assert.deepEqual(crossed(reason), reason)
    })
  }

  it('is an error of the same class, with name, message, code, cause and stack', () => {
    const cause = new Error('deeper')
    const error = Object.assign(new RangeError('too many', { cause }), { code: 'E_MANY' })
    error.stack = 'RangeError: too many\n    at here'
    cause.stack = 'Error: deeper'
    const arrived = crossed(error) as typeof error
    assert.ok(arrived instanceof RangeError)
    assert.deepEqual([arrived.name, arrived.message, arrived.code], ['RangeError', 'too many', 'E_MANY'])
    assert.equal(arrived.stack, error.stack)
    assert.equal((arrived.cause as Error).message, 'deeper')
  })

  it('keeps the name of an error whose class is not known here, and does without a stack that does not fit', () => {
    const error = new Error('x'.repeat(100))
    error.name = 'DatabaseError'
    error.stack = 'at '.repeat(1_000)
    const arrived = crossed(error) as Error
    assert.deepEqual([arrived.name, arrived.message], ['DatabaseError', error.message])
    assert.match(arrived.stack ?? '', /^DatabaseError: x+\n {4}at another thread$/)
    assert.equal(crossed(new DOMException('gone', 'NotFoundError') as unknown as Error) instanceof Error, true)
  })

  it('is shortened where it is too long: text, the message of an error, and the text of a structure', () => {
    const text = crossed('🚀'.repeat(1_000)) as string
    assert.match(text, /^(🚀){50,}…$/u)
    const error = crossed(new TypeError('y'.repeat(10_000))) as Error
    assert.ok(error instanceof TypeError)
    assert.match(error.message, /^y{300,}…$/)
    const named = Object.assign(new Error('short'), { code: 'c'.repeat(1_000) })
    assert.equal((crossed(named) as Error).message, 'short')
    assert.match(crossed({ list: Array(1_000).fill('item') }) as string, /^\{"list":\["item",.+…$/)
  })

  it('is text where it cannot be a structure: circles, depth, functions, symbols, maps, what throws', () => {
    const circle: unknown[] = []
    circle.push(circle, 5n)
    assert.equal(crossed(circle), '[[circular],5n]')
    const deep = { a: [{ b: { c: [[{ d: { e: [new Date(5)] } }]] } }] }
    assert.equal(crossed(deep), '{"a":[{"b":{"c":[[{"d":{"e":…}}]]}}]}')
    assert.equal(crossed(Symbol('why')), 'Symbol(why)')
    assert.match(crossed(() => 1) as string, /=> 1/)
    assert.equal(crossed(new Map()), '[object Map]')
    const broken = {
      get a(): never {
        throw new Error('broken')
      },
      toString(): never {
        throw new Error('broken')
      },
    }
    assert.equal(crossed(broken), 'a reason that has no text')
    assert.equal((crossed(Object.assign(new Error('z'), { message: 5n })) as Error).message, '5')
  })
})

describe('a reason that is too long is text that people can read, and shows where it was cut', () => {
  const long = 'x'.repeat(1_000)
  const table: readonly (readonly [string, unknown, RegExp])[] = [
    ['a big integer', 10n ** 1_000n, /^10{300,}…$/],
    ['a structure with a date', { at: new Date(0), long }, /^\{"at":1970-01-01T00:00:00\.000Z,"long":"x{300,}…$/],
    ['a structure with an error', [new TypeError('no'), NaN, 5n, long], /^\[TypeError: no,NaN,5n,"x{300,}…$/],
    ['a structure with a date that is none', [new Date(NaN), long], /^\[Invalid Date,"x{300,}…$/],
    [
      'a structure with what has no form',
      [new Map(), undefined, null, () => 1, long],
      /^\[\[object Map\],undefined,null,\(\) => 1,"x+…$/,
    ],
    ['a list of many', Array.from({ length: 100_000 }, (_, i) => i), /^\[0,1,2,3,.*…$/],
    [
      'a structure with a getter that throws',
      {
        get a(): never {
          throw new Error('b')
        },
        long,
      },
      /^\[object Object\]$/,
    ],
    ['the text of a function', Object.assign(() => 1, { toString: () => long }), /^x{300,}…$/],
  ]
  for (const [name, reason, text] of table) {
    it(name, () => {
      const arrived = crossed(reason)
      assert.equal(typeof arrived, 'string')
      assert.match(arrived as string, text)
      assert.doesNotMatch(arrived as string, /\$/)
    })
  }

  it('the code, the name and the cause of an error, before its message', () => {
    const error = Object.assign(new Error('short', { cause: { long } }), {
      code: 'C'.repeat(500),
      name: 'N'.repeat(500),
    })
    const arrived = crossed(error) as typeof error
    assert.ok(arrived instanceof Error)
    assert.equal(arrived.message, 'short')
    assert.match(arrived.name, /^N{80}…$/)
    assert.match(arrived.code, /^C{80}…$/)
    assert.match(arrived.cause as string, /^\{"long":"x+…$/)
    const both = crossed(Object.assign(new TypeError(long, { cause: new Error(long) }), { code: 5 })) as typeof error
    assert.ok(both instanceof TypeError)
    assert.match(both.message, /^x{150,}…$/)
    assert.match(both.cause as string, /^Error: x+…$/)
    assert.equal(both.code, 5)
  })

  it('all of an error, where another token has taken most of the room', () => {
    for (let taken = 250; taken < 480; taken += 1) {
      const token = new SharedToken()
      const opened = there(token)
      // What another one has taken who did not win.
      const { buffer, byteOffset } = token.handle
      Atomics.store(new Int32Array(buffer), byteOffset / 4 + 1, Math.ceil(taken / 4))
      token.cancel(
        Object.assign(new RangeError('much too many of them', { cause: new Error(long) }), { code: 'E_MANY' }),
      )
      const { reason } = opened
      if (reason === undefined) assert.ok(taken > 380, `${taken}`)
      else {
        assert.ok(reason instanceof Error, `${taken}`)
        const isWhole = reason.message === 'much too many of them' && reason instanceof RangeError
        assert.ok(isWhole || reason.message.endsWith('…'), `${taken}: ${reason.message}`)
      }
    }
  })

  it('an error that is its own cause, or is among its own causes', () => {
    const own = new RangeError('round and round')
    own.cause = own
    const arrived = crossed(own) as Error
    assert.ok(arrived instanceof RangeError)
    assert.deepEqual([arrived.message, arrived.cause], ['round and round', 'RangeError: round and round'])
    const first = new Error('first')
    first.stack = ''
    first.cause = new TypeError('second', { cause: { first } })
    ;(first.cause as Error).stack = ''
    const two = crossed(first) as Error
    assert.ok(two.cause instanceof TypeError)
    assert.equal(two.cause.cause, '{"first":Error: first}')
    const trap = Object.defineProperty(new Error('trap'), 'cause', {
      get() {
        throw new Error('sprung')
      },
    })
    assert.equal((crossed(trap) as Error).message, 'trap')
  })
})

describe('a message is the same on both sides', () => {
  class Problem {
    readonly code = 5
    get message(): string {
      return 'told by a getter'
    }
  }
  const hidden = Object.assign(new Error('z'), { message: 5n })
  const table: readonly (readonly [string, unknown])[] = [
    ['a text', 'why'],
    ['a number', 5],
    ['an error', new Error('why')],
    ['an error without text', new Error()],
    ['an error whose message is no text', hidden],
    ['a structure', { a: 1 }],
    ['a structure with a message', { message: 'why', $: 1 }],
    ['a structure with a message that is none', { message: 5 }],
    ['a list', ['why']],
    ['a function', () => 1],
    ['a symbol', Symbol('why')],
    ['a map', new Map([[1, 2]])],
    ['a map with a message', Object.assign(new Map(), { message: 'why' })],
    ['an instance', new Problem()],
    ['a text that is an object', new String('why')],
    ['a list that is too long', Array(1_000).fill('why')],
    ['a structure that is too long, with a message', { message: 'why', list: Array(1_000).fill(0) }],
    ['a big integer', 5n],
    ['a circle', Object.assign([] as unknown[], { message: 'why' })],
    ['null', null],
    ['an error that is too long', new Error('short', { cause: 'x'.repeat(1_000) })],
  ]
  for (const [name, reason] of table) {
    it(name, () => {
      const here = new SharedToken({ name: 'job' })
      const opened = there(here)
      here.cancel(reason)
      assert.equal(opened.error?.message, here.error?.message)
      assert.equal(opened.error, opened.error)
      assert.deepEqual(opened.error?.cause, opened.reason)
    })
  }
})

describe('an opened token', () => {
  it('ends as the one it was opened from, and the other way round', () => {
    const here = new SharedToken({ name: 'job' })
    const opened = there(here)
    assert.deepEqual([opened.name, opened.cancelled, opened.keepOn()], ['job', false, true])
    opened.cancel('there')
    here.cancel('here')
    assert.deepEqual([here.reason, here.kind, here.error?.token], ['there', 'manual', here])
    assert.equal(there(here).error?.message, 'token "job" was cancelled: there')
    assert.throws(() => there(here).check(), { message: 'token "job" was cancelled: there' })
  })

  it('tells the listeners of this thread before cancel() returns', () => {
    const here = new SharedToken()
    const told: unknown[] = []
    here.onCancel((error) => told.push(error.cause))
    there(here).cancel('now')
    assert.deepEqual(told, ['now'])
  })

  it('reads as it is: made, opened, in memory of its own', () => {
    const memory = new SharedArrayBuffer(1024)
    assert.equal(String(new SharedToken({ name: 'a' }, new SimpleToken())), "SharedToken({ name: 'a' }, SimpleToken())")
    assert.equal(String(there(new SharedToken({ name: 'a' }))), "SharedToken.from(handle, { name: 'a' })")
    assert.equal(String(SharedToken.at(memory, 8)), 'SharedToken.at(buffer, 8)')
    assert.match(drawn(there(share(new TimeoutToken(5_000)))), /^SharedToken\.from\(handle\) \d+ ms left$/)
  })

  it('ends here alone when it is disposed of', () => {
    const here = new SharedToken({ name: 'job' })
    const opened = there(here)
    opened[Symbol.dispose]()
    assert.deepEqual([opened.cancelled, opened.kind, here.cancelled], [true, 'dispose', false])
    assert.equal(opened.error?.message, 'token "job" was cancelled (dispose)')
  })

  it('is as old as the cancellation, however late it looks', () => {
    using clock = manualClock()
    const here = new SharedToken()
    const opened = there(here)
    here.cancel()
    clock.tick(70)
    assert.equal(opened.grace(100).remaining, 30)
  })
})

describe('a place', () => {
  it('is used again after a dispose, and a handle kept too long reads as disposed of', () => {
    const first = new SharedToken()
    const kept = there(first)
    const { byteOffset, generation } = first.handle
    first[Symbol.dispose]()
    const second = new SharedToken()
    assert.deepEqual([second.handle.byteOffset, second.handle.generation], [byteOffset, generation + 1])
    assert.deepEqual([kept.cancelled, kept.kind], [true, 'dispose'])
    assert.equal(kept.error?.message, 'token was disposed of where it was made')
    kept.cancel('late')
    assert.equal(second.cancelled, false)
    second.cancel('mine')
    assert.deepEqual([there(second).reason, SharedToken.from(first.handle).kind], ['mine', 'dispose'])
  })

  it('is not used again where another side has ended the token', () => {
    const first = new SharedToken()
    const opened = there(first)
    opened.cancel('there')
    first[Symbol.dispose]()
    const { buffer, byteOffset } = new SharedToken().handle
    assert.equal(buffer === first.handle.buffer && byteOffset === first.handle.byteOffset, false)
    assert.deepEqual([opened.kind, there(first).reason], ['manual', 'there'])
  })

  it('has no deadline left of the token before', () => {
    const first = share(new TimeoutToken(1_000))
    assert.ok(there(first).remaining <= 1_000)
    first[Symbol.dispose]()
    const second = new SharedToken()
    assert.equal(second.handle.byteOffset, first.handle.byteOffset)
    assert.equal(there(second).remaining, Infinity)
  })
})

describe('a token in memory of the caller', () => {
  it('is the same wherever the same place is named', () => {
    const buffer = new SharedArrayBuffer(2048)
    const one = SharedToken.at(buffer, 1024, { name: 'one' })
    const other = SharedToken.at(structuredClone(buffer), 1024)
    one.cancel('why')
    assert.deepEqual([other.reason, other.name], ['why', undefined])
    assert.equal(SharedToken.from(structuredClone(one.handle)).error?.message, 'token "one" was cancelled: why')
    assert.equal(SharedToken.at(buffer, 0).cancelled, false)
  })

  for (const word of [1, 15, -1, 0x7fffffff, 0x1000]) {
    it(`is cancelled when a thread stores ${word} there`, async () => {
      const buffer = new SharedArrayBuffer(SharedToken.BYTES)
      const token = SharedToken.at(buffer, 0)
      Atomics.store(new Int32Array(buffer), 0, word)
      assert.deepEqual([token.cancelled, token.kind, token.reason], [true, 'manual', undefined])
    })
  }

  it('ends with its sources', () => {
    const buffer = new SharedArrayBuffer(SharedToken.BYTES)
    const source = new SimpleToken({ name: 'source' })
    const token = SharedToken.at(buffer, 0, source)
    source.cancel()
    assert.equal(Atomics.load(new Int32Array(buffer), 0) === 0, false)
    assert.equal(SharedToken.at(buffer, 0).cancelledBy?.name, 'source')
    assert.equal(token.cancelledBy, source)
  })
})

describe('share()', () => {
  it('gives a token that ends with the other, and not the other way round', () => {
    const source = new SimpleToken({ name: 'source' })
    const one = share(source)
    const other = share(source)
    one.cancel('one')
    assert.deepEqual([source.cancelled, other.cancelled], [false, false])
    const opened = there(other)
    source.cancel('all')
    assert.deepEqual([opened.reason, opened.cancelledBy?.name, other.error === source.error], ['all', 'source', true])
    assert.equal(String(opened.cancelledBy), "OtherThread({ name: 'source', cancelled: true })")
  })

  it('takes signals, what is over, and what never ends', () => {
    const controller = new AbortController()
    const opened = there(share(controller.signal))
    controller.abort('gone')
    assert.deepEqual([opened.kind, opened.reason], ['signal', 'gone'])
    assert.equal(there(share(CANCELLED)).kind, 'manual')
    assert.equal(there(share(NEVER)).cancelled, false)
    assert.equal(there(new SharedToken({ cancelled: true })).kind, 'manual')
  })

  it('carries a deadline, also one that is moved, through another shared token', () => {
    using clock = manualClock()
    const idle = new TimeoutToken(100, { name: 'idle' })
    const opened = there(share(share(idle)))
    const listening = there(share(idle))
    const told: unknown[] = []
    listening.onCancel((error) => told.push(error.kind))
    assert.equal(opened.remaining, 100)
    clock.tick(60)
    assert.equal(idle.restart(), true)
    clock.tick(60)
    assert.deepEqual([opened.cancelled, told], [false, []])
    clock.tick(40)
    assert.deepEqual([opened.kind, told], ['timeout', ['timeout']])
    assert.equal(listening.error?.message, 'token "idle" ran out of time after 100 ms')
  })

  it('carries the reason of a deadline, and one error on this side', () => {
    using clock = manualClock()
    const search = new TimeoutToken(100, { name: 'search', reason: new RangeError('slow') })
    const shared = share(new SimpleToken(search))
    const opened = there(shared)
    const last = there(share(opened))
    clock.tick(100)
    assert.deepEqual([last.cancelled, opened.cancelled], [true, true])
    for (const token of [last, opened]) {
      assert.ok(token.reason instanceof RangeError)
      assert.deepEqual([token.kind, token.error?.message], ['timeout', search.error?.message])
    }
    assert.equal(search.error?.message, 'token "search" ran out of time after 100 ms: slow')
    assert.deepEqual([shared.error === search.error, shared.reason === search.reason], [true, true])
  })

  const reason = 'no data for too long, and no sign of when the server will answer'
  const rounds: Readonly<Record<string, (one: TimeoutToken, other: TimeoutToken, i: number) => void>> = {
    'restarted in turn': (one, other) => {
      one.restart()
      other.restart()
    },
    'extended, each time by another time': (one, other, i) => {
      one.restart()
      other.extend(i)
    },
    'restarted, each time with another time': (one, other, i) => {
      one.restart(50 + i)
      other.restart(60 + i)
    },
    'taken off in turn': (one, other) => {
      one.disarm()
      other.restart()
      other.disarm()
      one.restart()
    },
  }
  for (const [how, move] of Object.entries(rounds)) {
    it(`says who and why however often its deadlines were moved: ${how}`, () => {
      using clock = manualClock()
      const one = new TimeoutToken(100, { name: 'one', reason })
      const other = new TimeoutToken(100, { name: 'other', reason: 'other' })
      const shared = share(one.plus(other))
      const opened = there(shared)
      const second = there(shared)
      second.onCancel(() => {})
      const last = there(share(second))
      for (let i = 1; i <= 300; i++) {
        move(one, other, i)
        assert.equal(opened.remaining, shared.remaining)
        assert.equal(last.remaining, shared.remaining)
        clock.tick(1)
      }
      other.disarm()
      one.restart(10)
      clock.tick(10)
      for (const token of [opened, last]) {
        assert.equal(token.cancelled, true)
        assert.deepEqual([token.cancelledBy?.name, token.reason, token.kind], ['one', reason, 'timeout'])
        assert.match(String(token.error?.message), /^token "one" ran out of time.*: no data for too long/)
      }
      assert.equal(shared.error, one.error)
    })
  }

  it('has one error for a deadline that another thread has seen pass while it was moved here', () => {
    using clock = manualClock()
    for (const isLast of [false, true]) {
      const deadline = new TimeoutToken(10, { name: 'deadline', reason })
      const next = new TimeoutToken(50, { name: 'next' })
      const shared = share(deadline.plus(next))
      const opened = there(shared)
      assert.equal(opened.remaining, 10)
      // What the other thread writes, by layout.ts: the ending of the deadline that it has read, into the state.
      const words = new Int32Array(shared.handle.buffer)
      const slot = shared.handle.byteOffset / 4
      const ending = words[slot + 5 + ((words[slot + 2] as number) & 1) * 9 + 8] as number
      clock.tick(5)
      deadline.disarm()
      if (isLast) next.disarm()
      assert.equal(opened.remaining, isLast ? Infinity : 45)
      Atomics.or(words, slot, ending)
      for (const token of [shared, opened]) {
        assert.deepEqual([token.kind, token.reason, token.cancelledBy?.name], ['timeout', reason, 'deadline'])
      }
      assert.deepEqual([shared.cancelledBy === deadline, deadline.cancelled], [true, false])
    }
  })

  for (const step of [-60_000, 5_000]) {
    it(`carries a deadline to a thread that was started after the wall clock had been set by ${step} ms`, () => {
      const { handle } = share(new TimeoutToken(10_000))
      const { timeOrigin } = performance
      // A thread of its own has its own origin, which went with the wall clock.
      Object.defineProperty(performance, 'timeOrigin', { value: timeOrigin + step, configurable: true })
      try {
        const { remaining } = SharedToken.from(handle)
        assert.ok(remaining > 5_001 && remaining <= 10_000, `${remaining}`)
      } finally {
        Reflect.deleteProperty(performance, 'timeOrigin')
        assert.equal(performance.timeOrigin, timeOrigin)
      }
    })
  }

  it('carries a deadline to a thread whose clock began at another time, and makes it no longer', () => {
    using clock = manualClock()
    const { handle } = share(new TimeoutToken(10_000))
    const { timeOrigin } = performance
    Object.defineProperty(performance, 'timeOrigin', { value: timeOrigin - 1, configurable: true })
    try {
      clock.tick(0)
      const { remaining } = SharedToken.from(handle)
      // By the wall clock, which goes on meanwhile.
      assert.ok(remaining > 5_000 && remaining <= 10_000, String(remaining))
    } finally {
      Reflect.deleteProperty(performance, 'timeOrigin')
    }
  })

  it('has one error for a deadline that the other side was first to see', () => {
    using clock = manualClock()
    const deadline = new TimeoutToken(10)
    const shared = share(deadline)
    const opened = there(shared)
    clock.tick(10)
    assert.equal(opened.cancelled, true)
    assert.equal(shared.error, deadline.error)
  })
})

describe('who was first', () => {
  it('is the deadline that the other side has seen pass, though a cancel comes before this one has looked', () => {
    using clock = manualClock()
    const early = new TimeoutToken(10)
    early.onCancel(() => {
      assert.equal(opened.cancelled, true)
      request.cancel('too late')
    })
    const request = new SimpleToken({ name: 'request' })
    const budget = new TimeoutToken(10, { name: 'budget' })
    const shared = share(request.plus(budget))
    const opened = there(shared)
    clock.tick(10)
    assert.deepEqual([opened.kind, shared.kind, request.kind], ['timeout', 'timeout', 'manual'])
    assert.equal(shared.error?.message, opened.error?.message)
    assert.equal(shared.cancelledBy, budget)
  })
})

describe('a deadline that is not a timeout', () => {
  /** Both sides, where the other one alone looks. */
  const ends = (shared: SharedToken, opened: SharedToken) => {
    assert.equal(opened.cancelled, true)
    assert.deepEqual(
      [opened.kind, opened.error?.message, opened.cancelledBy?.name],
      [shared.kind, shared.error?.message, shared.cancelledBy?.name],
    )
  }

  it('is the grace of a token that was cancelled before: the same error', () => {
    using clock = manualClock()
    const request = new SimpleToken({ name: 'request' }).cancel('the client left')
    const shared = share(request.grace(100))
    const opened = there(shared)
    assert.equal(opened.remaining, 100)
    clock.tick(99)
    assert.deepEqual([opened.cancelled, shared.cancelled], [false, false])
    clock.tick(1)
    ends(shared, opened)
    assert.deepEqual([opened.kind, opened.reason], ['manual', 'the client left'])
    assert.equal(opened.error?.message, 'token "request" was cancelled: the client left')
    assert.equal(shared.error, request.error)
  })

  it('is the grace of a token that is cancelled when the handle is long away', () => {
    using clock = manualClock()
    const request = new SimpleToken({ name: 'request' })
    const shared = share(request.grace(100))
    const opened = there(shared)
    const waiting = there(shared)
    let heard: unknown
    waiting.onCancel((error) => (heard = error.message))
    assert.equal(opened.remaining, Infinity)
    for (let polls = 0; polls < 10; polls++) assert.equal(opened.keepOn(), true)
    request.cancel(new RangeError('too many'))
    assert.equal(opened.remaining, 100)
    clock.tick(100)
    ends(shared, opened)
    assert.ok(opened.reason instanceof RangeError)
    assert.equal(shared.error, request.error)
    assert.equal(heard, request.error?.message)
  })

  it('is the grace of a deadline, of either that ends first, and of a grace', () => {
    using clock = manualClock()
    const stop = new SimpleToken({ name: 'stop' })
    const budget = new TimeoutToken(50, { name: 'budget' })
    const make = () => share(budget.plus(stop).grace(100).grace(10))
    const shared = make()
    const opened = there(shared)
    assert.equal(opened.remaining, 160)
    const other = make()
    stop.cancel('now')
    const last = there(other)
    assert.deepEqual([opened.remaining, last.remaining], [110, 110])
    clock.tick(110)
    ends(shared, opened)
    ends(other, last)
    assert.equal(opened.reason, 'now')
    const late = new TimeoutToken(50, { name: 'late' })
    const third = share(late.grace(100))
    const there3 = there(third)
    clock.tick(150)
    ends(third, there3)
    assert.equal(there3.error?.message, 'token "late" ran out of time after 50 ms')
    assert.equal(third.error, late.error)
  })

  it('is that of the last of several: it begins when the others have ended', () => {
    using clock = manualClock()
    const stop = new SimpleToken({ name: 'stop' })
    const shared = share(allOf(stop, new TimeoutToken(100, { name: 'slow' })))
    const opened = there(shared)
    assert.equal(opened.remaining, Infinity)
    clock.tick(10)
    stop.cancel()
    assert.equal(opened.remaining, 90)
    clock.tick(90)
    ends(shared, opened)
    assert.equal(opened.cancelledBy?.name, 'slow')
  })

  it('is handed on by who has opened the token, also when it is moved', () => {
    using clock = manualClock()
    const request = new SimpleToken({ name: 'request' })
    const idle = new TimeoutToken(500, { name: 'idle' })
    const first = share(request.grace(100).plus(idle))
    const second = there(first)
    const third = share(second)
    const opened = there(third)
    assert.equal(opened.remaining, 500)
    clock.tick(300)
    idle.restart()
    second.onCancel(() => {})
    assert.equal(second.remaining, 500)
    assert.equal(opened.remaining, 500)
    request.cancel('enough')
    assert.equal(second.remaining, 100) // a poll of the one between hands it on
    assert.equal(opened.remaining, 100)
    clock.tick(100)
    ends(first, opened)
    assert.deepEqual([third.error, opened.reason], [second.error, 'enough'])
  })

  it('takes no room from a reason for what it says itself', () => {
    using clock = manualClock()
    const reason = 'y'.repeat(250)
    const request = new SimpleToken().cancel(reason)
    const shared = share(request.grace(100))
    const opened = there(shared)
    clock.tick(100)
    assert.equal(shared.cancelled, true)
    assert.equal(opened.reason, reason)
  })

  it('gives the place back when it is disposed of, but not where another thread was on the point of cancelling it', () => {
    const make = () => share(new SimpleToken().cancel('why').grace(60_000))
    const first = make()
    const { byteOffset, generation } = first.handle
    first[Symbol.dispose]()
    const second = make()
    assert.deepEqual([second.handle.byteOffset, second.handle.generation], [byteOffset, generation + 1])
    Atomics.add(new Int32Array(second.handle.buffer), byteOffset / 4 + 1, 5)
    second[Symbol.dispose]()
    assert.notEqual(make().handle.generation, generation + 2)
  })

  it('of another copy of the package is not carried, since it may be moved there', () => {
    const other = { aborted: false, addEventListener() {}, removeEventListener() {} }
    assert.equal(there(share(other)).remaining, Infinity)
  })
})

describe('at once', () => {
  it('a deadline is known as soon as the handle is opened: a blocked thread wakes at it, a loop sees it at once', () => {
    using clock = manualClock()
    const opened = there(share(new TimeoutToken(10)))
    clock.tick(10)
    assert.equal(opened.cancelled, true)
    assert.equal(opened.kind, 'timeout')
  })

  it('an invalid date arrives as one', () => {
    const made = new SharedToken()
    made.cancel(new Date(NaN))
    assert.ok(Number.isNaN((there(made).reason as Date).getTime()))
  })

  it('a clock that is put in place under a ticker is the time from the next poll on', async () => {
    const ticker = startTicker()
    await ticker.ready
    assert.equal(new TimeoutToken(60_000).cancelled, false) // from now on 63 polls would go by the ticks
    const clock = manualClock()
    const token = new TimeoutToken(1e9)
    clock.tick(1e9)
    assert.equal(token.cancelled, true)
    clock.uninstall()
    ticker.stop()
  })

  it('a ticker that is stopped before its first tick lets go of who waits for it', async () => {
    const ticker = startTicker()
    const { ready } = ticker
    ticker.stop()
    await ready
  })
})

describe('bad input', () => {
  const { handle } = new SharedToken()
  const apart = SharedToken.at(new SharedArrayBuffer(1024), 0).handle
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['nothing', undefined, /^handle must be what `token\.handle` gives.*got undefined$/],
    ['a token', new SharedToken(), /^handle must be what/],
    ['an object', {}, /^handle must be what/],
    ['another buffer', { ...handle, buffer: new SharedArrayBuffer(4096) }, /same version of calloff/],
    ['a buffer of another size', { ...handle, buffer: new SharedArrayBuffer(64) }, /same version of calloff/],
    ['a buffer that is not shared', { ...handle, buffer: new ArrayBuffer(4096) }, /^handle must be what/],
    ['a place between two', { ...handle, byteOffset: 68 }, /same version of calloff/],
    ['a generation that is none', { ...handle, generation: 0.5 }, /same version of calloff/],
    ['a generation that is too far', { ...handle, generation: 2 ** 30 }, /same version of calloff/],
    ['a name that is none', { ...handle, name: 5 }, /^handle\.name must be a string, got 5$/],
    ['a place that is no number', { ...handle, byteOffset: '64' }, /same version of calloff/],
    ['a handle of a page, as if of the caller’s memory', { ...handle, apart: true }, /SharedToken\.from\(handle\)/],
    ['a handle of the caller’s memory, as if of a page', { ...apart, apart: false }, /same version of calloff/],
    ['a place outside of the buffer', { ...apart, byteOffset: 1000 }, /^buffer must have room for \d+ bytes/],
  ]
  for (const [what, value, message] of wrong) {
    it(`is refused as a handle: ${what}`, () => {
      const error = thrown(() => SharedToken.from(value as SharedHandle)) as Error
      assert.match(error.message, message)
      assert.ok(error instanceof TypeError || error instanceof RangeError)
    })
  }

  it('is refused as memory: not shared, misaligned, negative, too small', () => {
    const buffer = new SharedArrayBuffer(1024)
    const at =
      (...given: readonly unknown[]) =>
      () =>
        SharedToken.at(...(given as [SharedArrayBuffer, number]))
    assert.throws(at(new ArrayBuffer(1024), 0), { name: 'TypeError', message: /^buffer must be a SharedArrayBuffer/ })
    assert.throws(at(buffer, '0'), { name: 'TypeError', message: 'byteOffset must be a number, got "0"' })
    for (const offset of [2, -4, 0.5, NaN]) {
      assert.throws(at(buffer, offset), { name: 'RangeError', message: /^byteOffset must be a multiple of 4/ })
    }
    assert.throws(at(handle.buffer, handle.byteOffset), {
      name: 'TypeError',
      message: /^buffer must be memory of your own, got a page of calloff.*SharedToken\.from\(handle\)$/,
    })
    assert.equal(SharedToken.at(new SharedArrayBuffer(577), 0).cancelled, false)
    assert.throws(at(buffer, 512), {
      name: 'RangeError',
      message: /^buffer must have room for 576 bytes at byteOffset 512, got 1024/,
    })
  })

  it('is refused by share()', () => {
    assert.throws(() => share({} as never), { name: 'TypeError', message: /^token must be a token or an AbortSignal/ })
  })

  it('is a context without shared memory', () => {
    const { SharedArrayBuffer } = globalThis
    Object.assign(globalThis, { SharedArrayBuffer: undefined })
    try {
      for (const make of [
        () => new SharedToken(),
        () => SharedToken.from(handle),
        () => SharedToken.at(handle.buffer, 0),
      ]) {
        assert.throws(make, { name: 'TypeError', message: /no shared memory here: serve the page with the headers/ })
      }
    } finally {
      Object.assign(globalThis, { SharedArrayBuffer })
    }
  })

  it('in shared memory is never trusted: a report that is none is no reason', () => {
    const buffer = new SharedArrayBuffer(SharedToken.BYTES)
    const words = new Int32Array(buffer)
    for (let seed = 1; seed < 200; seed++) {
      for (let i = 1; i < words.length; i++) words[i] = Math.imul(seed * i, 2654435761)
      words[0] = (seed << 4) | 1
      const token = SharedToken.at(buffer, 0)
      assert.equal(token.cancelled, true)
      assert.equal(typeof token.error?.message, 'string')
    }
  })
})
