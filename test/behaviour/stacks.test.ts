/** Where an error says it comes from, and by what way a cancellation has come. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  allOf,
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  NEVER,
  openScope,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { SharedToken } from 'calloff/threads'
import { thrown } from './helpers.js'
import { kinds } from './kinds.js'

const errors = Error as unknown as {
  stackTraceLimit?: unknown
  prepareStackTrace?: unknown
  captureStackTrace?: unknown
}

/** The functions on the stack, the innermost first. */
function framesOf(error: Error | undefined): string[] {
  const { stack } = error as Error
  assert.equal(typeof stack, 'string')
  return (stack as string).split('\n').slice(1)
}

function assertFrom(error: CancellationError | undefined, caller: string): void {
  const [first = 'no frame'] = framesOf(error)
  assert.match(first, new RegExp(`\\b${caller}\\b`), error?.stack)
  assert.equal(error?.stack?.split('\n')[0], `${error?.name}: ${error?.message}`)
}

describe('22. the stack of a cancel by hand', () => {
  const prepared: readonly (readonly [string, (token: CancellationToken) => unknown])[] = [
    ['nobody listens', () => undefined],
    ['a listener stands', (token) => token.onCancel(() => {})],
    ['a listener stands below', (token) => new SimpleToken(new SimpleToken(token)).onCancel(() => {})],
    ['it has a signal', (token) => token.signal.aborted],
    ['it has been waited for', (token) => void token.wait()],
  ]
  for (const { name, make } of kinds) {
    for (const [how, prepare] of prepared) {
      it(`begins with the caller of cancel: ${name}, ${how}`, () => {
        const token = make()
        const below = new SimpleToken(token)
        prepare(token)
        callsCancel(token, 'why')
        // Read by other functions, later, and through another token.
        assertFrom(readLater(below), 'callsCancel')
        assert.equal(token.error, below.error)
      })
    }
  }

  function callsCancel(token: CancellationToken, reason?: unknown): void {
    token.cancel(reason)
    assert.equal(token.cancelled, true)
  }

  const readLater = (token: CancellationToken) => token.error

  it('of a scope begins with the caller of its cancel', async () => {
    const scope = openScope(new SimpleToken())
    const { token } = scope
    function cancelsScope(): void {
      scope.cancel('why')
      assert.equal(token.cancelled, true)
    }
    cancelsScope()
    assertFrom(token.error, 'cancelsScope')
    await Promise.allSettled([scope[Symbol.asyncDispose]()])
  })

  it('of a token born cancelled begins where it was made', () => {
    function makesOne(make: () => CancellationToken): CancellationToken {
      const made = make()
      assert.equal(made.cancelled, true)
      return made
    }
    class Mine extends SimpleToken {}
    const cancelled = true
    for (const [caller, make] of [
      ['makesSimple', function makesSimple() { return new SimpleToken({ cancelled }) }], // prettier-ignore
      [
        'makesTimeout',
        function makesTimeout() {
          return new TimeoutToken(5, { cancelled })
        },
      ],
      [
        'makesCondition',
        function makesCondition() {
          return new ConditionToken(() => false, { cancelled })
        },
      ],
      [
        'makesCounter',
        function makesCounter() {
          return new CounterToken(5, { cancelled })
        },
      ],
      [
        'makesShared',
        function makesShared() {
          return new SharedToken({ cancelled })
        },
      ],
      [
        'makesMine',
        function makesMine() {
          return new Mine({ cancelled })
        },
      ],
    ] as const) {
      assertFrom(makesOne(make).error, caller)
    }
  })

  it('begins with the method of a subclass that calls it', () => {
    class Mine extends SimpleToken {
      override cancel(reason?: unknown): this {
        const same = super.cancel(reason)
        assert.equal(same, this)
        return same
      }
    }
    assert.match(framesOf(new Mine().cancel().error)[0] ?? '', /\bcancel\b/)
  })

  it('keeps to the limit of the program, and leaves it as it was', () => {
    const { stackTraceLimit } = errors
    try {
      for (const limit of [0, 1, 3]) {
        errors.stackTraceLimit = limit
        const { error } = new SimpleToken({ name: 'job' }).cancel('why')
        assert.equal(errors.stackTraceLimit, limit)
        assert.equal(error?.stack?.split('\n')[0], 'AbortError: token "job" was cancelled: why')
        // Bun gives a frame even where none is asked for.
        if (!('Bun' in globalThis)) assert.ok(framesOf(error).length <= limit, error?.stack)
      }
      for (const limit of [undefined, 'none']) {
        errors.stackTraceLimit = limit
        assert.equal(new SimpleToken().cancel('why').reason, 'why')
        assert.equal(errors.stackTraceLimit, limit)
      }
    } finally {
      errors.stackTraceLimit = stackTraceLimit
    }
  })

  it('begins there although the program has frozen the limit', () => {
    const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')
    try {
      Object.defineProperty(Error, 'stackTraceLimit', { value: 7, writable: false, configurable: true })
      const token = new SimpleToken()
      callsCancel(token, 'why')
      assertFrom(token.error, 'callsCancel')
      assert.equal(errors.stackTraceLimit, 7)
    } finally {
      if (limit) Object.defineProperty(Error, 'stackTraceLimit', limit)
      else Reflect.deleteProperty(Error, 'stackTraceLimit')
    }
  })

  it('is what the program prepares, of the error itself', { skip: 'Bun' in globalThis && 'as Bun does it' }, () => {
    const { prepareStackTrace } = errors
    let seen: unknown
    try {
      errors.prepareStackTrace = (error: Error, frames: readonly { getFunctionName(): string | null }[]) => {
        seen = error
        return frames.map((frame) => frame.getFunctionName())
      }
      function cancelsPrepared(token: CancellationToken): CancellationToken {
        token.cancel()
        return token
      }
      const { error } = cancelsPrepared(new SimpleToken())
      const stack: unknown = error?.stack
      assert.ok(Array.isArray(stack))
      assert.equal(stack[0], 'cancelsPrepared')
      assert.equal(seen, error)
    } finally {
      errors.prepareStackTrace = prepareStackTrace
    }
  })

  it('is an ordinary one where the platform cannot choose', () => {
    const { captureStackTrace } = errors
    try {
      errors.captureStackTrace = undefined
      assert.match(new SimpleToken().cancel('why').error?.stack ?? '', /was cancelled: why|at |@/)
    } finally {
      errors.captureStackTrace = captureStackTrace
    }
  })

  it('costs no second error: what was read first stays', () => {
    const token = new SimpleToken().cancel('first')
    const { error } = token
    assert.equal(token.cancel('second').error, error)
    assert.equal(token.signal.reason, error)
  })
})

describe('22. the stack of another kind, which is made when it is first read', () => {
  const rules: readonly (readonly [string, () => CancellationToken])[] = [
    ['a deadline', () => new TimeoutToken(0)],
    ['a condition', () => new ConditionToken(() => true)],
    ['a counter', () => new CounterToken(0)],
    ['a disposed token', () => disposed()],
    ['a foreign signal', () => from(AbortSignal.abort('why'))],
    ['a token below', () => new SimpleToken(new SimpleToken(new TimeoutToken(0)))],
  ]
  for (const [name, make] of rules) {
    it(`begins with the caller of check(): ${name}`, () => {
      const token = make()
      function checks(): void {
        token.check()
        assert.fail('it should have thrown')
      }
      assertFrom(thrown(checks) as CancellationError, 'checks')
    })

    it(`begins with the reader of the error: ${name}`, () => {
      const token = make()
      assert.equal(token.cancelled, true)
      function reads(): CancellationError | undefined {
        const { error } = token
        return error
      }
      assertFrom(reads(), 'reads')
    })
  }

  function disposed(): CancellationToken {
    const token = new SimpleToken()
    token[Symbol.dispose]()
    return token
  }
})

describe('22. token.path', () => {
  it('is empty while the token lives, whatever it is, and asks nothing', () => {
    let calls = 0
    const counter = new CounterToken(3, { direct: false })
    const condition = new ConditionToken(() => ++calls > 0)
    for (const token of [NEVER, new SimpleToken(), anyOf(counter, condition), new SimpleToken(counter)]) {
      assert.deepEqual(token.path, [])
    }
    assert.deepEqual([calls, counter.counter], [0, 3])
  })

  it('is the token alone where it was cancelled itself', () => {
    for (const { make } of kinds) {
      const token = make().cancel()
      assert.deepEqual(token.path.map(String), [String(token)])
      assert.equal(token.path[0], token)
    }
  })

  it('leads from where it started, over every token between, down to this one', () => {
    const root = new SimpleToken({ name: 'root' })
    const left = new TimeoutToken(3_600_000, { name: 'left' }, root)
    const right = new SimpleToken({ name: 'right' }, root)
    const bottom = new SimpleToken({ name: 'bottom' }, new SimpleToken(), right, left)
    root.cancel()
    const names = (token: CancellationToken) => token.path.map(({ name }) => name)
    assert.deepEqual(names(bottom), ['root', 'right', 'bottom'])
    assert.deepEqual(names(left), ['root', 'left'])
    assert.equal(bottom.path[0], bottom.cancelledBy)
    assert.equal(bottom.path.at(-1), bottom)
    assert.notEqual(bottom.path, bottom.path)
  })

  it('goes through allOf, a grace, a rule and a signal', () => {
    const a = new SimpleToken({ name: 'a' }).cancel()
    const b = new SimpleToken({ name: 'b' })
    const both = allOf(a, b)
    const below = new SimpleToken({ name: 'below' }, both.grace(0))
    b.cancel()
    assert.equal(below.cancelled, true)
    assert.equal(below.path[0], b)
    assert.equal(below.path[1], both)
    assert.deepEqual([below.path.length, below.path.at(-1)], [4, below])

    const limit = new TimeoutToken(0, { name: 'limit' })
    const limited = new SimpleToken(limit)
    assert.deepEqual(
      limited.path.map((token) => token === limit || token === limited),
      [true, true],
    )

    const source = new SimpleToken({ name: 'source' })
    const bridged = from(new SimpleToken(source).signal)
    source.cancel()
    assert.equal(bridged.path[0], source)
    assert.equal(bridged.path.at(-1), bridged)
  })

  it('leaves out what a disposed token on the way no longer knows', () => {
    const root = new SimpleToken()
    const middle = new SimpleToken(new SimpleToken(root))
    const token = new SimpleToken(middle)
    root.cancel()
    assert.equal(token.path.length, 4)
    middle[Symbol.dispose]()
    assert.deepEqual(
      token.path.map((one) => [root, middle, token].indexOf(one)),
      [0, 1, 2],
    )
  })

  it('of a condition without caching is empty, as it is alive again', () => {
    const condition = new ConditionToken(() => true, { caching: false })
    const token = new SimpleToken(condition)
    assert.equal(token.cancelled, true)
    assert.deepEqual(condition.path, [])
    assert.deepEqual(
      token.path.map((one) => one === condition || one === token),
      [true, true],
    )
  })

  it('needs no deep stack', () => {
    const root = new SimpleToken()
    let token = root
    for (let i = 0; i < 100_000; i++) token = new SimpleToken(token)
    root.cancel()
    assert.equal(token.path.length, 100_001)
    assert.equal(token.path[0], root)
  })
})
