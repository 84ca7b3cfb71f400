/**
 * No abort is lost by what a platform does with signals: requests, streams, timers, events, child processes.
 *
 * Where the platform loses an abort with its own `AbortSignal.any` as well, the test is skipped there, and says so.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, type CancellationError, from, SimpleToken, TimeoutToken } from 'calloff'
import { isBrowser, isBun, isDeno, isNode, node, pause, strays, survivors } from './collect.js'
import {
  type Consume,
  delay,
  failing,
  lost,
  lostRequests,
  nothing,
  ours,
  REQUESTS,
  type Source,
  withServer,
} from './lost.js'

// What needs one of these is skipped in a browser.
const absent = {} as never
const childProcess = isBrowser ? absent : await import('node:child_process')
const { default: events } = isBrowser ? absent : await import('node:events')
const streams = isBrowser ? absent : await import('node:stream')
const pipelines = isBrowser ? absent : await import('node:stream/promises')
const utilities = isBrowser ? absent : await import('node:util')
const needsNode = isBrowser && 'a browser has none of the modules of Node'

interface Heavy {
  readonly consume: Consume
  readonly count?: number
  /** Why it is skipped altogether. */
  readonly absent?: string | false
  /** Why it is skipped for composites. */
  readonly skip?: string | false
}

const platform: Readonly<Record<string, Heavy>> = {
  'a timer that takes a signal': { consume: (signal) => failing(delay(600_000, signal)) },
  'events.once': {
    consume: (signal) => failing(events.once(new events.EventEmitter(), 'never', { signal })),
    absent: needsNode,
  },
  'events.addAbortListener': {
    consume: (signal) => {
      let heard = false
      events.addAbortListener(signal, () => (heard = true))
      return () => heard
    },
    absent: needsNode,
  },
  'a pipeline of streams': {
    consume: (signal) => {
      const { Readable, Writable } = streams
      return failing(pipelines.pipeline(new Readable({ read: nothing }), new Writable({ write: nothing }), { signal }))
    },
    absent: needsNode,
  },
  'a listener that is to be removed by it': {
    consume: removed,
    skip: isBun && 'Bun does not keep a composite for it: oven-sh/bun#43147',
  },
  'a listener that is to be removed by a composite of it': {
    consume: (signal) => removed(AbortSignal.any([signal])),
    skip: isBun && 'Bun does not keep a composite for it: oven-sh/bun#43147',
  },
  'a listener added by the method of EventTarget': {
    consume: (signal) => {
      let heard = false
      EventTarget.prototype.addEventListener.call(signal, 'abort', () => (heard = true))
      return () => heard
    },
    skip: isDeno && 'Deno keeps a composite only for listeners that are added by its own method',
  },
  'a pipe of web streams': {
    consume: (signal) => failing(new ReadableStream().pipeTo(new WritableStream(), { signal })),
    skip: (isBun || isDeno) && 'Bun and Deno do not keep a composite for pipeTo()',
  },
  'a child process': {
    consume: (signal) => {
      const forever = isDeno ? ['eval', 'setInterval(() => {}, 1000)'] : ['-e', 'setInterval(() => {}, 1000)']
      let heard = false
      const child = childProcess.spawn(process.execPath, forever, { signal, stdio: 'ignore' })
      child.on('error', ({ name }) => (heard = name === 'AbortError'))
      return () => heard
    },
    count: 3,
    absent: needsNode,
  },
}

function removed(signal: AbortSignal): () => boolean {
  const target = new EventTarget()
  let calls = 0
  target.addEventListener('ping', () => calls++, { signal })
  return () => {
    const before = calls
    target.dispatchEvent(new Event('ping'))
    return calls === before
  }
}

for (const [how, { consume, count = 20, absent = false, skip = false }] of Object.entries(platform)) {
  for (const [what, make] of Object.entries<() => Source>(ours)) {
    // A plain controller's signal is the platform's own business.
    const reason = what === 'a token' && !how.includes('composite') ? absent : absent || skip
    test(`${how} learns of ${what}`, { skip: reason }, async () => {
      assert.deepEqual(await lost(make, { [how]: consume }, count), [])
    })
  }
}

test(
  'util.aborted hears of a derived token',
  { skip: needsNode || (!isBun && 'util.aborted listens weakly, by design') },
  async () => {
    const consume: Consume = (signal) => {
      const resource = {}
      let heard = false
      utilities.aborted(signal, resource).then(
        () => (heard = true),
        () => (heard = true),
      )
      return () => heard && typeof resource === 'object'
    }
    assert.deepEqual(await lost(ours['a derived token'], { aborted: consume }, 20), [])
  },
)

test('a fetch that waits for its answer learns of a derived token', async () => {
  assert.equal(await lostRequests('never', (url, signal) => fetch(url, { signal })), 0)
})

test('a fetch that waits for a composite of it learns of a derived token', async () => {
  assert.equal(await lostRequests('never', (url, signal) => fetch(url, { signal: AbortSignal.any([signal]) })), 0)
})

test('a fetch that reads the body learns of a derived token', async () => {
  const read = async (url: string, signal: AbortSignal) => (await fetch(url, { signal })).text()
  assert.equal(await lostRequests('half', read), 0)
})

test(
  'a fetch of a Request hears of a derived token',
  { skip: isNode && 'Node loses it with a plain AbortController as well, once the Request is dropped' },
  async () => {
    assert.equal(await lostRequests('never', (url, signal) => fetch(new Request(url, { signal }))), 0)
  },
)

test('a fetch that is over keeps neither the token nor its signal, while its source lives on', async () => {
  const root = new SimpleToken()
  await withServer('whole', async (url) => {
    const over: Promise<unknown>[] = []
    const send = (token: SimpleToken): SimpleToken => {
      over.push(fetch(url, { signal: token.signal }).then((response) => response.text()))
      return token
    }
    const all = () => Promise.all(over.splice(0))
    const tokens = await survivors(REQUESTS, () => send(new SimpleToken(root)), all)
    const signals = await survivors(REQUESTS, () => send(new SimpleToken(root)).signal, all)
    assert.ok(tokens <= strays && signals <= strays, `${tokens} tokens and ${signals} signals were kept`)
  })
})

// ---- What comes out -------------------------------------------------------------------------------------------------

test('the reason is one object, in a listener, a composite, a fetch, a timer and the token', async () => {
  await withServer('never', async (url) => {
    const root = new SimpleToken()
    const token = new SimpleToken(root)
    const seen: unknown[] = []
    token.signal.addEventListener('abort', ({ target }) => seen.push((target as AbortSignal).reason))
    const composite = AbortSignal.any([AbortSignal.any([token.signal])])
    composite.addEventListener('abort', () => seen.push(composite.reason))
    const request = fetch(url, { signal: token.signal }).catch((error: unknown) => seen.push(error))
    const other = fetch(url, { signal: composite }).catch((error: unknown) => seen.push(error))
    const sleep = delay(60_000, token.signal).catch((error: unknown) =>
      // Node wraps it, Bun and Deno do not always, browsers never.
      seen.push(error === root.error ? error : (error as Error).cause),
    )
    root.cancel(new Error('enough'))
    await Promise.all([request, other, sleep])
    const error = root.error as CancellationError
    assert.deepEqual(
      seen.map((one) => one === error),
      Array.from({ length: 5 }, () => true),
    )
    assert.equal(token.error, error)
    assert.equal(token.signal.reason, error)
    assert.equal(from(composite).error, error)
  })
})

test('fifty listeners on a signal print no warning', { skip: needsNode }, async () => {
  const warnings: string[] = []
  const note = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', note)
  try {
    const root = new SimpleToken()
    const signals = [
      root.signal,
      new SimpleToken(root).signal,
      new TimeoutToken(60_000, root).signal,
      allOf(root, new SimpleToken()).signal,
      root.grace(10).signal,
      from(new AbortController().signal).signal,
      new SimpleToken({ cancelled: true }).signal,
    ]
    for (const signal of signals) for (let i = 0; i < 50; i++) signal.addEventListener('abort', () => i)
    await pause(10)
    assert.deepEqual(warnings, [])
  } finally {
    process.off('warning', note)
  }
})

test(
  'the warning of the platform would have been seen',
  { skip: node[0] !== 20 && 'only Node 20 warns of more than ten listeners on a signal' },
  async () => {
    const warnings: string[] = []
    const note = (warning: Error): void => void warnings.push(warning.name)
    // Not to be printed this time.
    const printers = process.listeners('warning')
    process.removeAllListeners('warning')
    process.on('warning', note)
    try {
      const { signal } = new AbortController()
      for (let i = 0; i < 50; i++) signal.addEventListener('abort', () => i)
      await pause(10)
      assert.deepEqual(warnings, ['MaxListenersExceededWarning'])
    } finally {
      process.off('warning', note)
      for (const printer of printers) process.on('warning', printer)
    }
  },
)
