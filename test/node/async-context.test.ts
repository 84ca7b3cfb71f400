import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import process from 'node:process'
import {
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  DefaultToken,
  latest,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { ProcessSignalToken } from 'calloff/node'
import { manualClock } from 'calloff/testing'
import { node, runtimes, start } from './programs.js'

const context = new AsyncLocalStorage<string>()
const here = () => context.getStore()
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Registers a listener in a context of that name; gives where it ran, as soon as it has. */
function listenIn(name: string | undefined, token: CancellationToken): { readonly ran: (string | undefined)[] } {
  const ran: (string | undefined)[] = []
  const listen = () => token.onCancel(() => ran.push(here()))
  if (name === undefined) context.exit(listen)
  else context.run(name, listen)
  return { ran }
}

describe('listeners run in the async context they were registered in', () => {
  it('and so does the clean-up function of a promise of callbacks', async () => {
    const token = new SimpleToken()
    const ran: unknown[] = []
    const promise = context.run('start', () => token.promise(() => () => ran.push(here())))
    context.run('canceller', () => token.cancel())
    await assert.rejects(promise)
    assert.deepEqual(ran, ['start'])
  })

  it('and settled() shows their names all the same', async () => {
    const token = new SimpleToken()
    token.onCancel(function hang() {
      return new Promise(() => {})
    })
    token.cancel()
    const { pending } = await token.settled({ timeout: 0 })
    assert.deepEqual(
      pending.map(({ listener }) => listener),
      ['hang'],
    )
  })

  it('when a caller cancels it in another', () => {
    const token = new SimpleToken()
    const { ran } = listenIn('registration', token)
    context.run('canceller', () => token.cancel())
    assert.deepEqual(ran, ['registration'])
  })

  it('when they were registered in none', () => {
    const token = new SimpleToken()
    const { ran } = listenIn(undefined, token)
    context.run('canceller', () => token.cancel())
    assert.deepEqual(ran, [undefined])
  })

  it('each in its own', () => {
    const token = new SimpleToken()
    const listeners = ['a', undefined, 'b', 'a'].map((name) => listenIn(name, token))
    context.run('canceller', () => token.cancel())
    assert.deepEqual(
      listeners.map(({ ran }) => ran),
      [['a'], [undefined], ['b'], ['a']],
    )
  })

  it('so does a task that had to wait for the call before it', async () => {
    const ran: (string | undefined)[] = []
    const run = latest(async () => {
      ran.push(here())
      await turn()
      return here()
    })
    void context.run('one', run)
    assert.equal(await context.run('two', run), 'two')
    assert.deepEqual(ran, ['one', 'two'])
  })

  it('when a deadline passes', () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    const { ran } = listenIn('registration', token)
    // The timer is there already, so the second one would run in the context of the first.
    const { ran: second } = listenIn('second', token)
    context.run('clock', () => clock.tick(100))
    assert.deepEqual([ran, second], [['registration'], ['second']])
  })

  it('when a real timer goes off', async () => {
    const token = new TimeoutToken(1)
    const { ran } = listenIn('registration', token)
    const { ran: second } = listenIn('second', token)
    const { ran: below } = listenIn('below', new SimpleToken(token))
    await context.run('waiter', () => token.wait())
    assert.deepEqual([ran, second, below], [['registration'], ['second'], ['below']])
  })

  const polls: readonly (readonly [string, (token: CancellationToken) => unknown])[] = [
    ['cancelled', (token) => token.cancelled],
    ['keepOn', (token) => token.keepOn()],
    ['check', (token) => assert.throws(() => token.check())],
    ['error', (token) => token.error],
    ['text', (token) => String(token)],
  ]
  for (const [name, poll] of polls) {
    it(`when a poll or read discovers it: ${name}`, () => {
      using clock = manualClock()
      // Of the same moment, and set before its own timer.
      const poller = new TimeoutToken(100)
      const token = new TimeoutToken(100)
      poller.onCancel(() => {
        assert.deepEqual(ran, [])
        context.run('poller', () => poll(token))
        assert.deepEqual(ran, ['registration'])
      })
      const { ran } = listenIn('registration', token)
      clock.tick(100)
      assert.deepEqual(ran, ['registration'])
    })
  }

  it('when a poll of a condition or a counter says so', () => {
    let over = false
    for (const token of [new ConditionToken(() => over, { pollEvery: Infinity }), new CounterToken(1)]) {
      const { ran } = listenIn('registration', token)
      context.run('poller', () => {
        assert.equal(token.cancelled, false)
        over = true
        assert.equal(token.cancelled, true)
      })
      assert.deepEqual(ran, ['registration'])
      over = false
    }
  })

  it("when a condition's own poller says so", () => {
    using clock = manualClock()
    let asked: string | undefined = 'nobody'
    const token = new ConditionToken(() => {
      asked = here()
      return true
    })
    const { ran } = listenIn('registration', token)
    context.run('clock', () => clock.tick(10))
    assert.deepEqual(ran, ['registration'])
    assert.notEqual(asked, 'nobody')
  })

  it('when a foreign signal aborts', () => {
    const controller = new AbortController()
    const token = new SimpleToken(controller.signal)
    const { ran } = listenIn('registration', token)
    const { ran: below } = listenIn('below', token.plus(new SimpleToken()))
    context.run('canceller', () => controller.abort())
    assert.deepEqual([ran, below], [['registration'], ['below']])
  })

  it('when the platform cancels by time', async () => {
    const { ran, done } = await new Promise<{ ran: (string | undefined)[]; done: boolean }>((resolve) => {
      const token = new SimpleToken(AbortSignal.timeout(1))
      const { ran } = listenIn('registration', token)
      const holder = setInterval(() => {}, 1_000)
      token.onCancel(() => {
        clearInterval(holder)
        resolve({ ran, done: token.cancelled })
      })
    })
    assert.equal(done, true)
    assert.deepEqual(ran, ['registration'])
  })

  it('when a process signal arrives', { skip: process.platform === 'win32' ? 'no such signals' : false }, async () => {
    const token = new ProcessSignalToken('SIGUSR2')
    const { ran } = listenIn('registration', token)
    const { ran: second } = listenIn('second', token)
    const heard = context.run('waiter', () => token.wait())
    context.run('sender', () => process.kill(process.pid, 'SIGUSR2'))
    await heard
    assert.deepEqual([ran, second], [['registration'], ['second']])
  })

  it('when a race is over, a token is disposed of, a source far above is cancelled', async () => {
    const top = new SimpleToken()
    const sum = anyOf(new SimpleToken(), new SimpleToken(new SimpleToken(top)))
    const { ran } = listenIn('registration', sum)
    context.run('canceller', () => top.cancel())
    assert.deepEqual(ran, ['registration'])

    let losing: { ran: (string | undefined)[] } | undefined
    await context.run('racer', () =>
      new SimpleToken().race([
        (token) => {
          losing = listenIn('loser', token)
          return new Promise<void>(() => {})
        },
        Promise.resolve(),
      ]),
    )
    assert.deepEqual(losing?.ran, ['loser'])

    const token = new SimpleToken()
    const held = listenIn('registration', token)
    context.run('disposer', () => token[Symbol.dispose]())
    assert.deepEqual(held.ran, ['registration'])
  })

  it('when the token is cancelled already: at once, where they are', () => {
    const token = context.run('canceller', () => new SimpleToken().cancel())
    assert.deepEqual(listenIn('registration', token).ran, ['registration'])
  })

  it('and so does what they start', async () => {
    const token = new SimpleToken()
    const later = context.run(
      'registration',
      () =>
        new Promise<unknown[]>((resolve) => {
          const react = async () => {
            const seen = [here()]
            await Promise.resolve()
            seen.push(here())
            setTimeout(() => resolve([...seen, here()]), 1)
          }
          token.onCancel(() => void react())
        }),
    )
    context.run('canceller', () => token.cancel())
    assert.deepEqual(await later, ['registration', 'registration', 'registration'])
  })

  it('while the canceller stays in its own', () => {
    const token = new SimpleToken()
    const { ran } = listenIn('registration', token)
    context.run('canceller', () => {
      token.cancel()
      assert.equal(here(), 'canceller')
    })
    assert.deepEqual(ran, ['registration'])
  })

  it('what is awaited goes on in the context of who awaits, as always', async () => {
    const token = new SimpleToken()
    const waiting = context.run('waiter', async () => {
      await token.wait()
      return here()
    })
    const sleeping = context.run('sleeper', async () => {
      await assert.rejects(token.sleep(1e9))
      return here()
    })
    context.run('canceller', () => token.cancel())
    assert.deepEqual(await Promise.all([waiting, sleeping]), ['waiter', 'sleeper'])
  })
})

describe('beyond the context nothing changes', () => {
  it('order: first come first called, parents before children', () => {
    const parent = new SimpleToken()
    const child = new SimpleToken(parent)
    const order: string[] = []
    context.run('a', () => child.onCancel(() => order.push('child')))
    context.run('b', () => parent.onCancel(() => order.push('parent 1')))
    parent.onCancel(() => order.push('parent 2'))
    parent.cancel()
    assert.deepEqual(order, ['parent 1', 'parent 2', 'child'])
  })

  it('a listener is given the error, once, and inside the call that cancels', () => {
    const token = new SimpleToken()
    const given: CancellationError[] = []
    let below: boolean | undefined
    const derived = new SimpleToken(token)
    context.run('registration', () =>
      token.onCancel((...args) => {
        assert.equal(args.length, 1)
        given.push(...args)
        below = derived.cancelled
      }),
    )
    token.cancel('why')
    token.cancel('again')
    assert.deepEqual(given, [token.error])
    assert.equal(below, true)
  })

  it('stop() and dispose prevent the call, and say so', () => {
    const token = new SimpleToken()
    const { first, second } = context.run('registration', () => ({
      first: token.onCancel(() => assert.fail('stopped')),
      second: token.onCancel(() => assert.fail('disposed of')),
    }))
    assert.equal(
      context.run('other', () => first.stop()),
      true,
    )
    second[Symbol.dispose]()
    token.cancel()
    assert.equal(first.stop(), false)
    assert.equal(token.onCancel(() => {}).stop(), false)
  })

  it('one that stops another from its own context prevents its call', () => {
    const token = new SimpleToken()
    context.run('a', () => token.onCancel(() => assert.equal(second.stop(), true)))
    const second = context.run('b', () => token.onCancel(() => assert.fail('stopped')))
    token.cancel()
    assert.equal(second.stop(), false)
  })

  it('one that registers another from its own context passes that on', () => {
    const token = new SimpleToken()
    const ran: unknown[] = []
    context.run('a', () =>
      token.onCancel(() => {
        ran.push(here())
        token.onCancel(() => ran.push(here()))
      }),
    )
    context.run('canceller', () => token.cancel())
    assert.deepEqual(ran, ['a', 'a'])
  })

  it('a DefaultToken still takes listeners and calls none', () => {
    const registration = context.run('a', () => new DefaultToken().onCancel(() => assert.fail('never')))
    assert.equal(registration.stop(), true)
    assert.equal(registration.stop(), false)
  })

  it('what is no function is a TypeError', () => {
    assert.throws(() => new SimpleToken().onCancel('listener' as never), { name: 'TypeError', message: /listener/ })
  })

  it('what a listener throws is uncaught and stops no other; the context is put back', async () => {
    const ended = await start(node, 'async-context-errors.child.js').ended
    assert.deepEqual(ended, {
      code: 0,
      signal: null,
      lines: ['a throws', 'b hears', 'after cancel() in canceller', 'uncaught: mine'],
      errors: '',
    })
  })
})

describe('a program that imports only calloff', () => {
  for (const runtime of runtimes) {
    it(`runs listeners in the context of the canceller, on ${runtime.name}`, { skip: runtime.skip }, async () => {
      const ended = await start(runtime, 'async-context.child.js').ended
      assert.equal(ended.errors, '')
      assert.deepEqual(JSON.parse(ended.lines[0] ?? '{}'), {
        'by hand': 'canceller',
        'by poll': 'poller',
        'at once': 'registration',
        'after wait()': 'waiter',
      })
    })
  }
})

describe('a program that imports calloff/node', () => {
  for (const runtime of runtimes) {
    it(`runs listeners in the context of their registration, on ${runtime.name}`, { skip: runtime.skip }, async () => {
      const ended = await start(runtime, 'async-context-node.child.js').ended
      assert.equal(ended.errors, '')
      assert.deepEqual(JSON.parse(ended.lines[0] ?? '{}'), {
        'by hand': 'registration',
        'by poll': 'registration',
        'at once': 'registration',
        'after wait()': 'waiter',
      })
    })
  }
})
