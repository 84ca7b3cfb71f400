// A program that gets process signals from the test that started it: node process-signals.child.js <scenario>
import process from 'node:process'
import { anyOf, type CancellationToken, isCancellation, NEVER, SimpleToken } from 'calloff'
import { ProcessSignalToken } from 'calloff/node'

const say = (...words: unknown[]): void => console.log(words.map(String).join(' '))

/** Tells the test that it may send its signal, once the event loop has turned and handlers are in place. */
const ready = (): void => void setTimeout(() => say('ready'), 5)

/** Keeps the process busy until somebody ends it. */
const goOn = (): void => void setInterval(() => {}, 1_000)

/** What the token says; and what handlers are left, once the event loop has turned. */
const report = async (token: ProcessSignalToken): Promise<void> => {
  say('cancelled', token.error?.kind, token.reason, token.exitCode)
  await new Promise((resolve) => setImmediate(resolve))
  say('handlers', process.listenerCount('SIGINT'), process.listenerCount('SIGTERM'))
}

/** Ways to listen that come to an end when the signal arrives. */
const ways: Record<string, (token: CancellationToken) => Promise<unknown>> = {
  onCancel: (token) => new Promise((resolve) => void token.onCancel(resolve)),
  wait: (token) => token.wait(),
  race: (token) => token.race(new Promise(() => {})).catch((error: unknown) => error),
  'race of a function': (token) => token.race((inner) => inner.wait()).catch((error: unknown) => error),
  sleep: (token) => token.sleep(1e9).catch((error: unknown) => error),
  every: async (token) => {
    for await (const tick of token.every(1e9)) say('tick', tick)
    return token.error
  },
  iterate: async (token) => {
    try {
      for await (const item of token.iterate({
        [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<string>>(() => {}) }),
      }))
        say('item', item)
      return undefined
    } catch (error) {
      return error
    }
  },
  signal: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason))),
  derived: (token) => new SimpleToken(token).wait(),
  sum: (token) => anyOf(new SimpleToken(), token).wait(),
  grace: (token) => token.grace(0).wait(),
}

const scenarios: Record<string, () => unknown> = {
  /** Finishes the turn it is in, cleans up, and says how it ended. */
  async turns() {
    using token = new ProcessSignalToken('SIGINT', 'SIGTERM')
    ready()
    let begun = 0
    let finished = 0
    for await (const turn of token.turns()) {
      begun = turn + 1
      await NEVER.sleep(1)
      finished++
    }
    say('turns', begun > 0, begun === finished)
    await report(token)
    process.exitCode = token.exitCode
  },

  /** Goes on for ever after the first signal. */
  stubborn() {
    const token = new ProcessSignalToken('SIGINT', 'SIGTERM')
    token.onCancel(() => void report(token))
    goOn()
    ready()
  },

  /** Asks now and then, and does not listen. */
  poll() {
    const token = new ProcessSignalToken('SIGINT')
    const derived = new SimpleToken(token)
    setInterval(() => {
      token.check()
      if (derived.cancelled || token.error || !token.keepOn() || String(token) === '') say('over')
    }, 1)
    ready()
  },

  /** Has listened, and no longer does. */
  async unheard() {
    const token = new ProcessSignalToken('SIGINT')
    token.onCancel(() => say('heard')).stop()
    await token.race([(inner) => inner.sleep(1e9), Promise.resolve()])
    await token.wait({ timeout: 1 }).catch(() => {})
    const sum = anyOf(token, new SimpleToken())
    sum.onCancel(() => {})
    sum.cancel()
    goOn()
    say('handlers', process.listenerCount('SIGINT'))
    ready()
  },

  /** Only listens: nothing else keeps it alive. */
  idle() {
    const token = new ProcessSignalToken('SIGINT', 'SIGTERM')
    token.onCancel(() => say('heard'))
    token.plus(new SimpleToken()).signal.addEventListener('abort', () => say('aborted'))
    say('handlers', process.listenerCount('SIGINT'), process.listenerCount('SIGTERM'))
  },

  /** Held by `using`, and nothing else keeps it alive. */
  held() {
    using token = new ProcessSignalToken('SIGINT')
    say('handlers', process.listenerCount('SIGINT'), token.cancelled)
  },

  /** Several tokens on one signal hear the same one. */
  several() {
    const first = new ProcessSignalToken('SIGINT')
    const second = new ProcessSignalToken('SIGTERM', 'SIGINT')
    const third = new ProcessSignalToken('SIGTERM')
    first.onCancel(() => say('first', first.reason))
    second.onCancel(() => say('second', second.reason))
    third.onCancel(() => say('third', third.reason))
    setTimeout(() => say('ready'), 5)
    first.onCancel(() => {
      setTimeout(() => say('handlers', process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')), 5)
    })
    goOn()
  },

  /** A second token made in answer to the first signal takes the second one: a program may ask twice, if it means to. */
  again() {
    const first = new ProcessSignalToken('SIGINT')
    first.onCancel(() => {
      const second = new ProcessSignalToken('SIGINT')
      second.onCancel(() => say('second'))
      say('first')
    })
    goOn()
    ready()
  },

  /** Any signal that can be handled will do. */
  hangup() {
    const token = new ProcessSignalToken('SIGHUP')
    token.onCancel(() => {
      say('cancelled', token.reason, token.exitCode)
      process.exit(token.exitCode)
    })
    goOn()
    ready()
  },

  /** What a listener throws surfaces as an uncaught error, after the others were called. */
  throwing() {
    const token = new ProcessSignalToken('SIGINT')
    process.once('uncaughtException', (error) => {
      say('uncaught', error.message, process.listenerCount('SIGINT'))
      process.exit(3)
    })
    token.onCancel(() => {
      throw new Error('mine')
    })
    token.onCancel(() => say('neighbour'))
    goOn()
    ready()
  },
}

const [name = '', way = ''] = process.argv.slice(2)
if (name === 'way') {
  const token = new ProcessSignalToken('SIGINT', 'SIGTERM')
  const listening = ways[way]
  if (!listening) throw new Error(`there is no way "${way}"`)
  goOn()
  ready()
  const error = await listening(token)
  say('same error', error === token.error, isCancellation(error, token))
  await report(token)
  process.exit(token.exitCode)
} else {
  await scenarios[name]?.()
}
