// The platform's own AbortController and AbortSignal, the way one uses them without a library.
import { addAbortListener } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** @type {import('./index.mjs').Peer} */
const native = {
  name: 'native',
  together,
  oneFails,
  create() {
    const controller = new AbortController()
    // Node makes it lazily, and nobody can poll a controller.
    void controller.signal
    return controller
  },
  token: (controller) => controller.signal,
  cancel: (controller) => controller.abort(),
  polls(signals, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (signals[i & 7].aborted) over++
    return over
  },
  pollsOne(signal, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (signal.aborted) over++
    return over
  },
  derive1: (parent) => AbortSignal.any([parent]),
  derive2: (a, b) => AbortSignal.any([a, b]),
  child(parent) {
    const controller = new AbortController()
    return { signal: AbortSignal.any([parent, controller.signal]), abort: () => controller.abort() }
  },
  timeout: (ms) => AbortSignal.timeout(ms),
  timeoutToken: (signal) => signal,
  listen(signal, listener) {
    signal.addEventListener('abort', listener)
    return listener
  },
  unlisten: (signal, listener) => signal.removeEventListener('abort', listener),
  race: (signal, work) =>
    new Promise((resolve, reject) => {
      const off = () => reject(signal.reason)
      if (signal.aborted) return off()
      signal.addEventListener('abort', off)
      const settle = (how) => (result) => {
        signal.removeEventListener('abort', off)
        how(result)
      }
      work.then(settle(resolve), settle(reject))
    }),
  async calledOff() {
    const controller = new AbortController()
    const slept = sleep(60_000, undefined, { signal: controller.signal })
    controller.abort()
    try {
      await slept
      return false
    } catch {
      return true
    }
  },
}

/** What `scope` does, written out by hand. */
async function together(values) {
  const controller = new AbortController()
  const { signal } = controller
  const works = values.map(async (value) => {
    await Promise.resolve()
    signal.throwIfAborted()
    return value
  })
  return (await waitFor(works, controller)).reduce((sum, value) => sum + value, 0)
}

async function oneFails(others) {
  const controller = new AbortController()
  const { signal } = controller
  let stopped = 0
  const endless = () =>
    new Promise((_, reject) => {
      const off = () => {
        stopped++
        reject(signal.reason)
      }
      signal.addEventListener('abort', off, { once: true })
    })
  const works = Array.from({ length: others }, endless)
  works.push(Promise.reject(new Error('work')))
  await waitFor(works, controller).catch(() => {})
  return stopped
}

async function waitFor(works, controller) {
  try {
    return await Promise.all(works)
  } catch (error) {
    controller.abort(error)
    await Promise.allSettled(works)
    throw error
  }
}

/** Just the controller, which is all some code makes in the end. @type {import('./index.mjs').Peer} */
const controllerAlone = {
  ...native,
  name: 'native, signal not asked for',
  only: ['create'],
  create: () => new AbortController(),
}

/** @type {import('./index.mjs').Peer} */
const withAddAbortListener = {
  ...native,
  name: 'native addAbortListener',
  only: ['listen', 'listen-1000', 'fanout-listeners'],
  listen: (signal, listener) => addAbortListener(signal, listener),
  unlisten: (_signal, handle) => handle[Symbol.dispose](),
}

/** What everybody writes first: one promise for the signal, raced again and again. @type {import('./index.mjs').Peer} */
const naiveRace = {
  name: 'native naive Promise.race',
  only: ['race', 'leak'],
  create() {
    const controller = new AbortController()
    const { signal } = controller
    const ended = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
    ended.catch(() => {})
    return { controller, ended }
  },
  token: (source) => source.ended,
  cancel: ({ controller }) => controller.abort(),
  race: (ended, work) => Promise.race([ended, work]),
}

/** What `token.signal` is held against. @type {import('./index.mjs').Peer} */
const signals = {
  name: 'native signal',
  only: ['signal-root', 'signal-derived'],
  signalParent: () => new AbortController().signal,
  // Somebody has to keep what aborts it, and hands it out again: that is what a token does with its own.
  signalBearer: (parent) => ({ parent, controller: undefined, signal: undefined }),
  signalOfRoot(bearer) {
    bearer.controller = new AbortController()
    return (bearer.signal = bearer.controller.signal)
  },
  signalOfDerived(bearer) {
    bearer.controller = new AbortController()
    return (bearer.signal = AbortSignal.any([bearer.parent, bearer.controller.signal]))
  },
}

/** How a thread is told without shared memory: only if it listens. @type {import('./index.mjs').Peer} */
const message = { name: 'native postMessage', reaches: 'native', told: true, shared: () => undefined }

export const peers = [native, controllerAlone, withAddAbortListener, naiveRace, signals, message]
