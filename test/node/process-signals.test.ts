import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import process from 'node:process'
import {
  allOf,
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  from,
  isCancellation,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { ProcessSignalToken } from 'calloff/node'
import { manualClock } from 'calloff/testing'
import { node, runtimes, type Runtime, start } from './programs.js'

const skip = process.platform === 'win32' ? 'Windows has no signals that one process sends another' : false
const child = 'process-signals.child.js'

const program = (runtime: Runtime, ...args: string[]) => start(runtime, child, ...args)

describe('a program that gets real signals', { skip }, () => {
  for (const runtime of runtimes) {
    describe(`on ${runtime.name}`, { skip: runtime.skip, concurrency: 2 }, () => {
      for (const [signal, code] of [
        ['SIGINT', 130],
        ['SIGTERM', 143],
      ] as const) {
        it(`${signal} cancels; the turn is finished and the program ends by itself with ${code}`, async () => {
          const it = program(runtime, 'turns')
          await it.printed('ready')
          it.send(signal)
          const ended = await it.ended
          assert.deepEqual(ended, {
            code,
            signal: null,
            lines: ['ready', 'turns true true', `cancelled process-signal ${signal} ${code}`, 'handlers 0 0'],
            errors: '',
          })
        })

        it(`a second ${signal} gets the default action`, async () => {
          const it = program(runtime, 'stubborn')
          await it.printed('ready')
          it.send(signal)
          await it.printed('handlers 0 0')
          it.send(signal)
          const ended = await it.ended
          assert.equal(ended.signal, signal)
          assert.deepEqual(ended.lines, ['ready', `cancelled process-signal ${signal} ${code}`, 'handlers 0 0'])
          assert.equal(ended.errors, '')
        })
      }

      it('so does one of the other kind, once a first has cancelled', async () => {
        const it = program(runtime, 'stubborn')
        await it.printed('ready')
        it.send('SIGINT')
        await it.printed('handlers 0 0')
        it.send('SIGTERM')
        assert.equal((await it.ended).signal, 'SIGTERM')
      })

      it('polls attach nothing: the default action ends the program at once', async () => {
        const it = program(runtime, 'poll')
        await it.printed('ready')
        it.send('SIGINT')
        assert.deepEqual(await it.ended, { code: null, signal: 'SIGINT', lines: ['ready'], errors: '' })
      })

      it('who listens no longer gets the default action', async () => {
        const it = program(runtime, 'unheard')
        await it.printed('ready')
        it.send('SIGINT')
        assert.deepEqual(await it.ended, { code: null, signal: 'SIGINT', lines: ['handlers 0', 'ready'], errors: '' })
      })

      it('a listener does not keep the process alive', async () => {
        const ended = await program(runtime, 'idle').ended
        assert.deepEqual(ended, { code: 0, signal: null, lines: ['handlers 1 1'], errors: '' })
      })

      it('neither does a token held by using', async () => {
        const ended = await program(runtime, 'held').ended
        assert.deepEqual(ended, { code: 0, signal: null, lines: ['handlers 1 false'], errors: '' })
      })

      it('every token on a signal is cancelled by it, in the order they began to listen', async () => {
        const it = program(runtime, 'several')
        await it.printed('ready')
        it.send('SIGINT')
        await it.printed('handlers 0 1')
        it.send('SIGTERM')
        await it.printed('third SIGTERM')
        it.send('SIGTERM')
        const ended = await it.ended
        assert.equal(ended.signal, 'SIGTERM')
        assert.deepEqual(ended.lines, ['ready', 'first SIGINT', 'second SIGINT', 'handlers 0 1', 'third SIGTERM'])
      })
    })
  }

  describe('in every way of listening', { concurrency: 2 }, () => {
    for (const way of [
      'onCancel',
      'wait',
      'race',
      'race of a function',
      'sleep',
      'every',
      'iterate',
      'signal',
      'derived',
      'sum',
      'grace',
    ]) {
      it(`${way} hears the signal, with the one error, and lets go of the handlers`, async () => {
        const it = program(node, 'way', way)
        await it.printed('ready')
        it.send('SIGTERM')
        assert.deepEqual(await it.ended, {
          code: 143,
          signal: null,
          lines: ['ready', 'same error true true', 'cancelled process-signal SIGTERM 143', 'handlers 0 0'],
          errors: '',
        })
      })
    }
  })

  it('a token made in answer to the first signal takes the second; the third gets the default action', async () => {
    const it = program(node, 'again')
    await it.printed('ready')
    it.send('SIGINT')
    await it.printed('first')
    it.send('SIGINT')
    await it.printed('second')
    it.send('SIGINT')
    assert.equal((await it.ended).signal, 'SIGINT')
  })

  it('other signals do as well: SIGHUP is 129', async () => {
    const it = program(node, 'hangup')
    await it.printed('ready')
    it.send('SIGHUP')
    assert.deepEqual(await it.ended, {
      code: 129,
      signal: null,
      lines: ['ready', 'cancelled SIGHUP 129'],
      errors: '',
    })
  })

  it('what a listener throws surfaces as an uncaught error, stops no other and leaves no handler', async () => {
    const it = program(node, 'throwing')
    await it.printed('ready')
    it.send('SIGINT')
    assert.deepEqual(await it.ended, {
      code: 3,
      signal: null,
      lines: ['ready', 'neighbour', 'uncaught mine 0'],
      errors: '',
    })
  })
})

// In this very process from here on. These two are nobody's here, so their handlers can be counted, and raised.
const signals = ['SIGUSR2', 'SIGHUP'] as const
const make = (...nested: CancellationToken[]) => new ProcessSignalToken(...signals, ...nested)
const handlers = () => signals.map((signal) => process.listenerCount(signal))
const NONE = [0, 0]
const ONE = [1, 1]

/** Lets all jobs run, and the event loop turn. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Has the process get a signal; resolves when its handlers have run, and the event loop has turned. */
async function raise(signal: NodeJS.Signals): Promise<void> {
  const heard = new Promise((resolve) => process.once(signal, resolve))
  const holder = setInterval(() => {}, 1_000)
  process.kill(process.pid, signal)
  await heard
  await settled()
  clearInterval(holder)
}

/** A way to listen: begins, and gives what ends it while the token lives on. Time stands still, but for `pass`. */
interface Way {
  readonly name: string
  begin(token: CancellationToken, pass: (ms: number) => void): () => unknown
}

const quietly = (promise: Promise<unknown>): void => void promise.catch(() => {})

/** Listens to what `derive` makes of the token. */
const below = (name: string, derive: (token: CancellationToken) => CancellationToken): Way => ({
  name,
  begin(token) {
    const registration = derive(token).onCancel(() => {})
    return () => assert.equal(registration.stop(), true)
  },
})

const pending = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<never>>(() => {}) }) }

const ways: readonly Way[] = [
  below('onCancel', (token) => token),
  {
    name: 'onCancel held by using',
    begin(token) {
      const registration = token.onCancel(() => {})
      return () => registration[Symbol.dispose]()
    },
  },
  {
    name: 'several listeners, here and below',
    begin(token) {
      const sum = token.plus(new SimpleToken())
      const registrations = [token, sum, new SimpleToken(sum), token].map((one) => one.onCancel(() => {}))
      return () => {
        for (const one of registrations) {
          assert.deepEqual(handlers(), ONE)
          one.stop()
        }
      }
    },
  },
  {
    name: 'wait',
    begin(token, pass) {
      quietly(token.wait({ timeout: 100 }))
      return () => pass(100)
    },
  },
  {
    name: 'race of a promise',
    begin(token) {
      let win = (): void => {}
      quietly(token.race(new Promise<void>((resolve) => (win = resolve))))
      return () => win()
    },
  },
  {
    name: 'race of functions',
    begin(token) {
      let win = (): void => {}
      const work = () => new Promise<void>((resolve) => (win = resolve))
      quietly(token.race([(inner) => inner.sleep(1_000), (inner) => inner.wait(), work]))
      return () => win()
    },
  },
  {
    name: 'race that fails',
    begin(token) {
      let fail = (): void => {}
      quietly(token.race(() => new Promise((_, reject) => (fail = () => reject(new Error('disk full'))))))
      return () => fail()
    },
  },
  {
    name: 'race with a timeout',
    begin(token, pass) {
      quietly(token.race(new Promise(() => {}), { timeout: 50 }))
      return () => pass(50)
    },
  },
  {
    name: 'sleep',
    begin(token, pass) {
      quietly(token.sleep(100))
      return () => pass(100)
    },
  },
  {
    name: 'every',
    begin(token) {
      const ticks = token.every(100)[Symbol.asyncIterator]()
      quietly(ticks.next())
      return () => ticks.return?.()
    },
  },
  {
    name: 'iterate',
    begin(token) {
      const items = token.iterate(pending)[Symbol.asyncIterator]()
      quietly(items.next())
      return () => items.return?.()
    },
  },
  below('a token derived from it', (token) => new SimpleToken(token)),
  below('a long chain of them', (token) => {
    let last = token
    for (let i = 0; i < 10_000; i++) last = new SimpleToken(last)
    return last
  }),
  below('a sum', (token) => token.plus(new SimpleToken())),
  below('a sum in which it comes twice', (token) => anyOf(token, new SimpleToken(token))),
  below('a deadline it is nested in', (token) => new TimeoutToken(1_000, token)),
  below('a condition it is nested in', (token) => new ConditionToken(() => false, token)),
  below('another process signal it is nested in', (token) => new ProcessSignalToken('SIGURG', token)),
  below('allOf', (token) => allOf(token, new SimpleToken())),
  below('grace', (token) => token.grace(100)),
  below('from', (token) => from(token)),
]

/** What ends the token itself. */
const ends: readonly (readonly [string, (token: ProcessSignalToken, parent: SimpleToken) => unknown])[] = [
  ['the signal', () => raise('SIGUSR2')],
  ['cancel()', (token) => token.cancel('by hand')],
  ['another source', (_, parent) => parent.cancel('elsewhere')],
  ['dispose', (token) => token[Symbol.dispose]()],
]

describe('handlers are attached exactly while the token has a listener', { skip }, () => {
  for (const { name, begin } of ways) {
    it(`${name}: one for each signal, gone when the listening is over`, async () => {
      using clock = manualClock()
      assert.deepEqual(handlers(), NONE)
      const token = make()
      assert.deepEqual(handlers(), NONE)
      const stop = begin(token, (ms) => clock.tick(ms))
      assert.deepEqual(handlers(), ONE)
      await stop()
      await settled()
      assert.deepEqual(handlers(), NONE)
      assert.equal(token.cancelled, false)
    })

    it(`${name}: and attached again by the next one`, async () => {
      using clock = manualClock()
      const token = make()
      for (let i = 0; i < 3; i++) {
        const stop = begin(token, (ms) => clock.tick(ms))
        assert.deepEqual(handlers(), ONE)
        await stop()
        await settled()
      }
      assert.deepEqual(handlers(), NONE)
    })

    for (const [what, end] of ends) {
      it(`${name}: gone when ${what} ends the token`, async () => {
        using clock = manualClock()
        const parent = new SimpleToken()
        const token = make(parent)
        const stop = begin(token, (ms) => clock.tick(ms))
        assert.deepEqual(handlers(), ONE)
        await end(token, parent)
        assert.deepEqual(handlers(), NONE)
        assert.equal(token.cancelled, true)
        await settled()
        if (name === 'every' || name === 'iterate') await stop()
        assert.deepEqual(handlers(), NONE)
      })
    }
  }

  for (const [what, end] of ends) {
    it(`the signal getter: attached until ${what} ends the token`, async () => {
      const parent = new SimpleToken()
      const token = make(parent)
      const { signal } = token
      assert.deepEqual(handlers(), ONE)
      assert.equal(token.signal, signal)
      assert.equal(new SimpleToken(token).signal.aborted, false)
      assert.deepEqual(handlers(), ONE)
      await end(token, parent)
      assert.deepEqual(handlers(), NONE)
      assert.equal(signal.aborted, true)
      assert.equal(signal.reason, token.error)
    })
  }

  it('the signal of a token derived from it listens as well', async () => {
    const token = make()
    const { signal } = new SimpleToken(token)
    assert.deepEqual(handlers(), ONE)
    await raise('SIGUSR2')
    assert.equal(signal.reason, token.error)
    assert.deepEqual(handlers(), NONE)
  })

  it('polls and reads attach nothing, here and below', () => {
    const token = make()
    for (const one of [token, new SimpleToken(token), anyOf(new SimpleToken(), token), allOf(token), token.grace(5)]) {
      assert.equal(one.cancelled, false)
      assert.equal(one.isCancelled({ direct: false }), false)
      assert.equal(one.keepOn(), true)
      one.check()
      void one.error
      void one.reason
      void one.cancelledBy
      assert.equal(one.remaining, Infinity)
      assert.match(String(one), /ProcessSignalToken/)
      for (const turn of one.turns()) if (turn === 3) break
      assert.deepEqual(handlers(), NONE)
    }
    assert.equal(token.exitCode, undefined)
  })

  it('neither do checkpoints and the turns of for await', async () => {
    const token = make()
    await token.checkpoint()
    for await (const turn of token.turns()) {
      assert.deepEqual(handlers(), NONE)
      if (turn === 3) break
    }
    assert.deepEqual(handlers(), NONE)
  })

  it('a cancelled token attaches none', async () => {
    const over: ProcessSignalToken[] = [
      make().cancel(),
      new ProcessSignalToken(...signals, { cancelled: true }),
      make(new SimpleToken().cancel()),
      make(new TimeoutToken(0)),
    ]
    for (const token of over) {
      let called = 0
      token.onCancel(() => called++)
      assert.equal(called, 1)
      void token.signal
      await token.wait()
      await assert.rejects(token.sleep(10))
      assert.deepEqual(handlers(), NONE)
    }
  })

  it('a token left alive by cancelling what derives from it lets go', () => {
    const token = make()
    const derived = new SimpleToken(token)
    derived.onCancel(() => {})
    assert.deepEqual(handlers(), ONE)
    derived.cancel()
    assert.deepEqual(handlers(), NONE)
    assert.equal(token.cancelled, false)
  })

  it('signals named twice get one handler', () => {
    const token = new ProcessSignalToken('SIGHUP', 'SIGHUP')
    const registration = token.onCancel(() => {})
    assert.deepEqual(handlers(), [0, 1])
    registration.stop()
    assert.deepEqual(handlers(), NONE)
  })

  it("other people's handlers stay", async () => {
    const heard: string[] = []
    const other = (signal: string) => heard.push(signal)
    process.on('SIGUSR2', other)
    try {
      const token = make()
      token.onCancel(() => heard.push('token'))
      assert.deepEqual(handlers(), [2, 1])
      await raise('SIGUSR2')
      assert.deepEqual(handlers(), [1, 0])
      await raise('SIGUSR2')
      assert.deepEqual(heard, ['SIGUSR2', 'token', 'SIGUSR2'])
    } finally {
      process.off('SIGUSR2', other)
    }
  })

  it('several tokens on one signal share one, gone with the last of them', () => {
    const tokens = [make(), make(), new ProcessSignalToken('SIGHUP')]
    const registrations = tokens.map((token) => token.onCancel(() => {}))
    assert.deepEqual(handlers(), ONE)
    registrations[0]?.stop()
    assert.deepEqual(handlers(), ONE)
    tokens[1]?.cancel()
    assert.deepEqual(handlers(), [0, 1])
    registrations[2]?.stop()
    assert.deepEqual(handlers(), NONE)
  })

  it('a token that is stopped hears nothing of a signal that others hear', async () => {
    const [stopped, other] = [make(), make()]
    const registration = stopped.onCancel(() => assert.fail('stopped'))
    other.onCancel(() => {})
    registration.stop()
    await raise('SIGUSR2')
    assert.equal(stopped.cancelled, false)
    assert.equal(other.cancelled, true)
    assert.deepEqual(handlers(), NONE)
  })

  it('a token that another one’s listener stops hears nothing of the same signal', async () => {
    const [first, second] = [make(), make()]
    first.onCancel(() => registration.stop())
    const registration = second.onCancel(() => assert.fail('stopped'))
    await raise('SIGUSR2')
    assert.equal(second.cancelled, false)
    assert.deepEqual(handlers(), NONE)
  })

  it('a token made in answer to a signal hears the next one, not that one', async () => {
    const [first, second] = [make(), make()]
    const answers: ProcessSignalToken[] = []
    const answer = () => {
      const token = make()
      token.onCancel(() => {})
      answers.push(token)
    }
    first.onCancel(answer)
    second.onCancel(answer)
    await raise('SIGUSR2')
    assert.deepEqual(
      answers.map(({ cancelled }) => cancelled),
      [false, false],
    )
    assert.deepEqual(handlers(), ONE)
    await raise('SIGUSR2')
    assert.deepEqual(
      answers.map(({ reason }) => reason),
      ['SIGUSR2', 'SIGUSR2'],
    )
    assert.deepEqual(handlers(), NONE)
  })

  it('many tokens on one signal print no warning of a leak', async () => {
    const warnings: string[] = []
    const note = (warning: Error) => warnings.push(warning.message)
    process.on('warning', note)
    const tokens = Array.from({ length: 50 }, () => make())
    try {
      for (const token of tokens) token.onCancel(() => {})
      await settled()
      assert.deepEqual(warnings, [])
    } finally {
      process.off('warning', note)
      for (const token of tokens) token.cancel()
    }
    assert.deepEqual(handlers(), NONE)
  })
})

describe('a token held by using', { skip }, () => {
  it('listens from its declaration to the end of the block', () => {
    let kept: ProcessSignalToken
    {
      using token = make()
      kept = token
      assert.deepEqual(handlers(), ONE)
      assert.equal(token.cancelled, false)
    }
    assert.deepEqual(handlers(), NONE)
    assert.equal(kept.error?.kind, 'dispose')
    assert.equal(kept.exitCode, undefined)
  })

  it('also to its end by an error', () => {
    assert.throws(() => {
      using token = make()
      assert.deepEqual(handlers(), ONE)
      throw new Error(String(token.cancelled))
    }, /^Error: false$/)
    assert.deepEqual(handlers(), NONE)
  })

  it('and with await using', async () => {
    const held = async () => {
      // oxlint-disable-next-line await-thenable -- allowed by the language, which then disposes of it as using does
      await using token = make()
      await settled()
      assert.deepEqual(handlers(), ONE)
      return token
    }
    assert.equal((await held()).error?.kind, 'dispose')
    assert.deepEqual(handlers(), NONE)
  })

  it('and with a stack of disposables, which reads the method as using does', () => {
    const stack: (() => void)[] = []
    const use = <T extends Disposable>(value: T): T => {
      const dispose = value[Symbol.dispose]
      stack.push(() => dispose.call(value))
      return value
    }
    const token = use(make())
    assert.deepEqual(handlers(), ONE)
    stack.pop()?.()
    assert.deepEqual(handlers(), NONE)
    assert.equal(token.error?.kind, 'dispose')
  })

  it('hears the signal without listeners, and removes its handler', async () => {
    using token = make()
    await raise('SIGHUP')
    assert.deepEqual(handlers(), NONE)
    assert.equal(token.reason, 'SIGHUP')
    assert.equal(token.exitCode, 129)
  })

  it('keeps what it was cancelled with when the block ends', async () => {
    let kept: ProcessSignalToken
    {
      using token = make()
      kept = token
      await raise('SIGUSR2')
    }
    assert.equal(kept.error?.kind, 'process-signal')
    assert.equal(kept.reason, 'SIGUSR2')
  })

  it('has one handler for each signal, however many listen besides', () => {
    using token = make()
    const registration = token.onCancel(() => {})
    new SimpleToken(token).onCancel(() => {})
    assert.deepEqual(handlers(), ONE)
    registration.stop()
    assert.deepEqual(handlers(), ONE)
  })

  it('lets go when another source ends it', () => {
    const parent = new SimpleToken()
    using token = make(parent)
    assert.deepEqual(handlers(), ONE)
    parent.cancel('elsewhere')
    assert.deepEqual(handlers(), NONE)
    assert.equal(token.reason, 'elsewhere')
  })

  it('attaches nothing when it is cancelled from the start', () => {
    for (const make of [
      () => new ProcessSignalToken(...signals, { cancelled: true }),
      () => new ProcessSignalToken(...signals, new SimpleToken().cancel()),
      () => new ProcessSignalToken(...signals, AbortSignal.abort()),
    ]) {
      using token = make()
      assert.deepEqual(handlers(), NONE)
      assert.equal(token.cancelled, true)
    }
    assert.deepEqual(handlers(), NONE)
  })

  it('disposing it without holding it attaches nothing that stays', () => {
    const token = make()
    token[Symbol.dispose]()
    token[Symbol.dispose]()
    assert.deepEqual(handlers(), NONE)
    assert.equal(token.error?.kind, 'dispose')
  })
})

describe('what a process signal token says', { skip }, () => {
  it('names the signal, the kind and itself', async () => {
    const token = new ProcessSignalToken('SIGUSR2', { name: 'stop button' })
    const derived = new SimpleToken(token)
    const heard: CancellationError[] = []
    derived.onCancel((error) => heard.push(error))
    await raise('SIGUSR2')
    const { error } = token
    assert.ok(error)
    assert.deepEqual(heard, [error])
    assert.equal(derived.error, error)
    assert.equal(derived.cancelledBy, token)
    assert.equal(error.kind, 'process-signal')
    assert.equal(error.cause, 'SIGUSR2')
    assert.equal(error.name, 'AbortError')
    assert.equal(error.message, 'token "stop button" was cancelled by the process signal: SIGUSR2')
    assert.equal(isCancellation(error, derived), true)
    assert.equal(token.remaining, 0)
  })

  it('its exit code is that of its own signal, and none when something else ended it', async () => {
    const token = new ProcessSignalToken('SIGUSR2')
    assert.equal(token.exitCode, undefined)
    token.onCancel(() => {})
    await raise('SIGUSR2')
    assert.equal(token.exitCode, 140)
    for (const other of [
      new ProcessSignalToken('SIGUSR2').cancel('SIGUSR2'),
      new ProcessSignalToken('SIGUSR2', { cancelled: true }),
      new ProcessSignalToken('SIGUSR2', new TimeoutToken(0)),
    ]) {
      assert.equal(other.cancelled, true)
      assert.equal(other.exitCode, undefined)
    }
  })

  it('takes options and nested tokens, signals of the platform too', () => {
    const parent = new SimpleToken({ name: 'parent' })
    const controller = new AbortController()
    for (const [token, nested] of [
      [new ProcessSignalToken('SIGHUP', parent), ['parent']],
      [new ProcessSignalToken('SIGHUP', 'SIGUSR2', { name: 'here' }, parent, controller.signal), ['parent']],
      [new ProcessSignalToken('SIGHUP', undefined as never, parent), ['parent']],
    ] as const) {
      assert.equal(token.cancelled, false)
      assert.equal(String(token).includes(nested[0]), true)
    }
    const token = new ProcessSignalToken('SIGHUP', { name: 'here' }, parent, controller.signal)
    assert.equal(token.name, 'here')
    token.onCancel(() => {})
    controller.abort('foreign')
    assert.equal(token.cancelled, true)
    assert.equal(token.error?.kind, 'signal')
    assert.equal(parent.cancelled, false)
  })

  it('reads as the call that makes it', () => {
    const parent = new SimpleToken()
    assert.equal(String(new ProcessSignalToken('SIGINT')), "ProcessSignalToken('SIGINT')")
    assert.equal(
      String(new ProcessSignalToken('SIGINT', 'SIGTERM', { name: 'stop' }, parent)),
      "ProcessSignalToken('SIGINT', 'SIGTERM', { name: 'stop' }, SimpleToken())",
    )
    assert.equal(String(new ProcessSignalToken('SIGINT').cancel()), "ProcessSignalToken('SIGINT', { cancelled: true })")
  })

  it('reads the same after the signal, which is its own rule', async () => {
    using token = new ProcessSignalToken('SIGUSR2')
    await raise('SIGUSR2')
    assert.equal(String(token), "ProcessSignalToken('SIGUSR2')")
  })
})

describe('bad input to a process signal token', () => {
  const refused = (args: readonly unknown[], expected: { name: string; message: RegExp }) => {
    const before = process.eventNames().length
    assert.throws(() => new ProcessSignalToken(...(args as never[])), expected)
    assert.equal(process.eventNames().length, before)
  }

  it('no signal is a TypeError, whatever else is there', () => {
    for (const args of [[], [{}], [{ name: 'x' }], [new SimpleToken()], [undefined]])
      refused(args, { name: 'TypeError', message: /^signals must name at least one/ })
  })

  for (const name of ['SIGNOPE', 'sigint', 'INT', '', ' SIGINT', 'toString', 'constructor', '__proto__']) {
    it(`${JSON.stringify(name)} is a TypeError that shows it`, () => {
      refused([name], { name: 'TypeError', message: new RegExp(`signals .*${JSON.stringify(name)}`) })
      refused(['SIGINT', name], { name: 'TypeError', message: new RegExp(`signals .*${JSON.stringify(name)}`) })
    })
  }

  for (const name of ['SIGKILL', 'SIGSTOP']) {
    it(`${name}, which no program can handle, is a RangeError`, { skip }, () => {
      refused([name], { name: 'RangeError', message: new RegExp(`signals .*"${name}"`) })
      refused(['SIGINT', name], { name: 'RangeError', message: new RegExp(`signals .*"${name}"`) })
    })
  }

  it('what is no signal, no options and no token is a TypeError', () => {
    for (const wrong of [2, null, true, Symbol('SIGINT'), () => 'SIGINT', 15n]) {
      refused(['SIGINT', wrong], { name: 'TypeError', message: /options/ })
      refused(['SIGINT', {}, wrong], { name: 'TypeError', message: /nested/ })
    }
    refused(['SIGINT', {}, {}], { name: 'TypeError', message: /nested/ })
    refused(['SIGINT', { name: 5 }], { name: 'TypeError', message: /name/ })
    refused(['SIGINT', { cancelled: 'yes' }], { name: 'TypeError', message: /cancelled/ })
  })

  it('a signal after the options is a TypeError', () => {
    refused(['SIGINT', {}, 'SIGTERM'], { name: 'TypeError', message: /nested .*"SIGTERM"/ })
    refused(['SIGINT', new SimpleToken(), 'SIGTERM'], { name: 'TypeError', message: /nested .*"SIGTERM"/ })
  })
})
