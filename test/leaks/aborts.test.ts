/**
 * No abort is lost: everything but the consumer of a signal is dropped and collected, then the token is cancelled.
 *
 * Where the platform loses an abort with its own `AbortSignal.any` as well, the test is skipped there, and says so.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { addAbortListener, EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { allOf, type CancellationError, ConditionToken, from, SimpleToken, TimeoutToken } from 'calloff'
import { collect, isBun, isDeno, isNode, node, strays, until } from './collect.js'

const nothing = (): void => {}

/** A signal, and what calls it off: all that is kept of the tokens. */
interface Source {
  readonly signal: AbortSignal
  readonly cancel: () => void
}

// Each function keeps only what its `cancel` mentions.
const sources: Readonly<Record<string, () => Source>> = {
  'a token': () => {
    const token = new SimpleToken()
    return { signal: token.signal, cancel: () => token.cancel() }
  },
  'a derived token': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(root).signal, cancel: () => root.cancel() }
  },
  'a sum, by its second operand': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken().plus(root).signal, cancel: () => root.cancel() }
  },
  'a token far below': () => {
    const root = new SimpleToken()
    let token = root
    for (let i = 0; i < 20; i++) token = new SimpleToken(token, new SimpleToken())
    return { signal: token.signal, cancel: () => root.cancel() }
  },
  'a token below one that is kept, whose own source is gone': () => {
    const middle = new SimpleToken(new SimpleToken())
    return { signal: new SimpleToken(middle).signal, cancel: () => middle.cancel() }
  },
  'a token below one that is disposed of': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(root).signal, cancel: () => root[Symbol.dispose]() }
  },
  'a token below one that ends in a poll': () => {
    let over = false
    const root = new ConditionToken(() => over, { pollEvery: Infinity })
    return {
      signal: new SimpleToken(root).signal,
      cancel: () => {
        over = true
        assert.equal(root.cancelled, true)
      },
    }
  },
  'a deadline': () => ({ signal: new TimeoutToken(400).signal, cancel: nothing }),
  'a token below a deadline': () => ({
    signal: new SimpleToken(new SimpleToken(new TimeoutToken(400), new SimpleToken())).signal,
    cancel: nothing,
  }),
  'a deadline that is called off from above': () => {
    const root = new SimpleToken()
    return { signal: new TimeoutToken(60_000, root).signal, cancel: () => root.cancel() }
  },
  'a condition': () => {
    const state = { over: false }
    return { signal: new ConditionToken(() => state.over).signal, cancel: () => (state.over = true) }
  },
  'a token below a condition': () => {
    const state = { over: false }
    const condition = new ConditionToken(() => state.over, { caching: false, pollEvery: 5 })
    return { signal: new SimpleToken(new SimpleToken(), condition).signal, cancel: () => (state.over = true) }
  },
  allOf: () => {
    const one = new SimpleToken()
    const other = new SimpleToken()
    const cancel = (): void => {
      one.cancel()
      other.cancel()
    }
    return { signal: allOf(one, new SimpleToken(other)).signal, cancel }
  },
  'a token below allOf': () => {
    const one = new SimpleToken()
    return { signal: new SimpleToken(allOf(one, new TimeoutToken(100))).signal, cancel: () => one.cancel() }
  },
  'a grace': () => {
    const root = new SimpleToken()
    return { signal: root.grace(20).signal, cancel: () => root.cancel() }
  },
  'a token below the grace of a derived token': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(new SimpleToken(root).grace(20)).signal, cancel: () => root.cancel() }
  },
  'a foreign signal': () => {
    const controller = new AbortController()
    return { signal: from(controller.signal).signal, cancel: () => controller.abort() }
  },
  'a token below a foreign composite': () => {
    const controller = new AbortController()
    const foreign = AbortSignal.any([controller.signal, new AbortController().signal])
    return { signal: new SimpleToken(new SimpleToken(foreign)).signal, cancel: () => controller.abort() }
  },
  'a token below a foreign timeout': () => ({
    signal: new SimpleToken(AbortSignal.timeout(400)).signal,
    cancel: nothing,
  }),
  'a token below the signal of another': () => {
    const root = new SimpleToken()
    return { signal: from(new SimpleToken(root).signal).plus(new SimpleToken()).signal, cancel: () => root.cancel() }
  },
}

/** Begins to use a signal; gives whether it has heard of the abort, without keeping the signal unless it says so. */
type Consume = (signal: AbortSignal) => () => boolean

const light: Readonly<Record<string, Consume>> = {
  'a listener': (signal) => {
    let heard = false
    signal.addEventListener('abort', () => (heard = true))
    return () => heard
  },
  onabort: (signal) => {
    let heard = false
    signal.onabort = () => (heard = true)
    return () => heard
  },
  'a look at the signal': (signal) => () => signal.aborted,
  'a look at a composite of it': (signal) => {
    const composite = AbortSignal.any([signal, new AbortController().signal])
    return () => composite.aborted
  },
  'a look at a composite of a composite of it': (signal) => {
    const composite = AbortSignal.any([AbortSignal.any([signal])])
    return () => composite.aborted
  },
  'a listener on a composite of it': (signal) => {
    let heard = false
    AbortSignal.any([signal]).addEventListener('abort', () => (heard = true))
    return () => heard
  },
  'a listener on a composite of a composite of it': (signal) => {
    let heard = false
    AbortSignal.any([AbortSignal.any([signal]), new AbortController().signal]).onabort = () => (heard = true)
    return () => heard
  },
}

/** How often each of the consumers missed the abort of a token made for it alone: their names and how many of `count`. */
async function lost(
  make: () => Source,
  consumers: Readonly<Record<string, Consume>>,
  count: number,
): Promise<string[]> {
  const kept = await Promise.all(Object.values(consumers).map((consume) => prepared(make, consume, count)))
  await collect()
  for (const one of kept.flat()) {
    // What ends by itself may do so early on a slow machine, and has been heard then.
    assert.ok(one.cancel === nothing || !one.heard(), 'heard before the cancel')
    one.cancel()
  }
  await until(() => kept.flat().every(({ heard }) => heard()))
  return Object.keys(consumers).flatMap((how, i) => {
    const misses = kept[i]?.filter(({ heard }) => !heard()).length ?? count
    return misses === 0 ? [] : [`${how}: ${misses} of ${count} aborts were lost`]
  })
}

/** A function of its own, so that no frame holds a signal. */
async function prepared(make: () => Source, consume: Consume, count: number) {
  return Array.from({ length: count }, () => one(make, consume))
}

function one(make: () => Source, consume: Consume): { cancel: () => void; heard: () => boolean } {
  const { signal, cancel } = make()
  return { cancel, heard: consume(signal) }
}

for (const [what, make] of Object.entries(sources)) {
  test(`whoever listens to ${what}, or to what was composed of it, hears the abort`, async () => {
    assert.deepEqual(await lost(make, light, 20), [])
  })
}

test('the platform hears of a cancelled token that was collected before anybody looked', async () => {
  // Node 24.16 and later, and 26.1 to 26.8, would forget it: nodejs/node#65995.
  const make = (): Source => {
    let root: SimpleToken | undefined = new SimpleToken()
    const { signal } = new SimpleToken(root, new SimpleToken())
    return {
      signal,
      cancel: () => {
        root?.cancel()
        root = undefined
      },
    }
  }
  for (const how of [
    'a look at the signal',
    'a look at a composite of it',
    'a look at a composite of a composite of it',
  ]) {
    const kept = await prepared(make, light[how] as Consume, 40)
    await collect()
    for (const { cancel } of kept) cancel()
    await collect()
    assert.equal(kept.filter(({ heard }) => !heard()).length, 0, how)
  }
})

// ---- Consumers of the platform --------------------------------------------------------------------------------------

const failing = (promise: Promise<unknown>): (() => boolean) => {
  let heard = false
  promise.then(nothing, () => (heard = true))
  return () => heard
}

interface Heavy {
  readonly consume: Consume
  readonly count?: number
  readonly skip?: string | false
}

const platform: Readonly<Record<string, Heavy>> = {
  'a delay of timers/promises': { consume: (signal) => failing(delay(600_000, undefined, { signal })) },
  'events.once': { consume: (signal) => failing(once(new EventEmitter(), 'never', { signal })) },
  'events.addAbortListener': {
    consume: (signal) => {
      let heard = false
      addAbortListener(signal, () => (heard = true))
      return () => heard
    },
  },
  'a pipeline of streams': {
    consume: (signal) =>
      failing(pipeline(new Readable({ read: nothing }), new Writable({ write: nothing }), { signal })),
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
      const child = spawn(process.execPath, forever, { signal, stdio: 'ignore' })
      child.on('error', ({ name }) => (heard = name === 'AbortError'))
      return () => heard
    },
    count: 3,
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

const ours = { 'a token': sources['a token'], 'a derived token': sources['a derived token'] } as const
for (const [how, { consume, count = 20, skip = false }] of Object.entries(platform)) {
  for (const [what, make] of Object.entries(ours)) {
    // A plain controller's signal is the platform's own business.
    const reason = what === 'a token' && !how.includes('composite') ? false : skip
    test(`${how} hears of ${what}`, { skip: reason }, async () => {
      assert.deepEqual(await lost(make as () => Source, { [how]: consume }, count), [])
    })
  }
}

test(
  'util.aborted hears of a derived token',
  {
    skip: isBun ? false : 'util.aborted listens weakly, by design',
  },
  async () => {
    const { aborted } = await import('node:util')
    const consume: Consume = (signal) => {
      const resource = {}
      let heard = false
      aborted(signal, resource).then(
        () => (heard = true),
        () => (heard = true),
      )
      return () => heard && typeof resource === 'object'
    }
    assert.deepEqual(await lost(sources['a derived token'] as () => Source, { aborted: consume }, 20), [])
  },
)

/** A local server that leaves every request open: without an answer, or after the first half of it. */
async function withServer(answers: boolean, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((_request, response) => {
    if (!answers) return
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('half of ')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

/** Waits until every request is under way, then drops, collects and cancels. */
async function lostRequests(
  answers: boolean,
  send: (url: string, signal: AbortSignal) => Promise<unknown>,
): Promise<number> {
  let misses = -1
  await withServer(answers, async (url) => {
    let begun = 0
    const consume: Consume = (signal) => {
      const sent = send(url, signal)
      begun++
      return failing(sent)
    }
    const kept = await prepared(sources['a derived token'] as () => Source, consume, 20)
    assert.equal(begun, 20)
    await delay(200) // the requests and the first half of the answers are on their way
    await collect()
    for (const { cancel } of kept) cancel()
    await until(() => kept.every(({ heard }) => heard()))
    misses = kept.filter(({ heard }) => !heard()).length
  })
  return misses
}

test('a fetch that waits for its answer hears of a derived token', async () => {
  assert.equal(await lostRequests(false, (url, signal) => fetch(url, { signal })), 0)
})

test('a fetch that waits for a composite of it hears of a derived token', async () => {
  assert.equal(await lostRequests(false, (url, signal) => fetch(url, { signal: AbortSignal.any([signal]) })), 0)
})

test('a fetch that reads the body hears of a derived token', async () => {
  const read = async (url: string, signal: AbortSignal) => (await fetch(url, { signal })).text()
  assert.equal(await lostRequests(true, read), 0)
})

test(
  'a fetch of a Request hears of a derived token',
  {
    skip: isNode && 'Node loses it with a plain AbortController as well, once the Request is dropped',
  },
  async () => {
    assert.equal(await lostRequests(false, (url, signal) => fetch(new Request(url, { signal }))), 0)
  },
)

// ---- What comes out -------------------------------------------------------------------------------------------------

test('the reason is one object, in a listener, a composite, a fetch, a delay and the token', async () => {
  await withServer(false, async (url) => {
    const root = new SimpleToken()
    const token = new SimpleToken(root)
    const seen: unknown[] = []
    token.signal.addEventListener('abort', ({ target }) => seen.push((target as AbortSignal).reason))
    const composite = AbortSignal.any([AbortSignal.any([token.signal])])
    composite.addEventListener('abort', () => seen.push(composite.reason))
    const request = fetch(url, { signal: token.signal }).catch((error: unknown) => seen.push(error))
    const other = fetch(url, { signal: composite }).catch((error: unknown) => seen.push(error))
    const sleep = delay(60_000, undefined, { signal: token.signal }).catch((error: unknown) =>
      // Node wraps it, Bun and Deno do not always.
      seen.push(error instanceof Error && error.cause !== undefined ? error.cause : error),
    )
    root.cancel(new Error('enough'))
    await Promise.all([request, other, sleep])
    const error = root.error as CancellationError
    assert.deepEqual(
      seen.map((one) => one === error || (one as { cause?: unknown }).cause),
      Array.from({ length: 5 }, () => true),
    )
    assert.equal(token.error, error)
    assert.equal(token.signal.reason, error)
    assert.equal(from(composite).error, error)
  })
})

test('fifty listeners on a signal print no warning', async () => {
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
    await delay(10)
    assert.deepEqual(warnings, [])
  } finally {
    process.off('warning', note)
  }
})

test(
  'the warning of the platform would have been seen',
  {
    skip: node[0] !== 20 && 'only Node 20 warns of more than ten listeners on a signal',
  },
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
      await delay(10)
      assert.deepEqual(warnings, ['MaxListenersExceededWarning'])
    } finally {
      process.off('warning', note)
      for (const printer of printers) process.on('warning', printer)
    }
  },
)

test('an abort that nobody should hear is not heard: the check of these checks', async () => {
  const silent = (): Source => ({ signal: new SimpleToken().signal, cancel: nothing })
  const kept = await prepared(silent, light['a listener'] as Consume, 20)
  await collect()
  assert.equal(kept.filter(({ heard }) => heard()).length, 0)
  // And a token of a bridge that listens weakly would be found out: the composite below depends on nothing that is kept.
  const weak = (): Source => {
    const root = new SimpleToken()
    const own = new AbortController()
    const reference = new WeakRef(own)
    root.onCancel(() => reference.deref()?.abort())
    return { signal: own.signal, cancel: () => root.cancel() }
  }
  const held = await prepared(weak, light['a listener on a composite of it'] as Consume, 20)
  await collect()
  for (const { cancel } of held) cancel()
  assert.ok(held.filter(({ heard }) => heard()).length <= strays)
})
