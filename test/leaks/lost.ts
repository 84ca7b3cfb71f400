/** Whether an abort is heard by those who use a signal, when everything else was dropped and collected before it. */
import assert from 'node:assert/strict'
import { SimpleToken } from 'calloff'
import { collect, isBrowser, pause, until } from './collect.js'

export const nothing = (): void => {}

/** A signal, and what calls it off: all that is kept of the tokens. */
export interface Source {
  readonly signal: AbortSignal
  readonly cancel: () => void
}

/** The two ways in which a signal is made: it is that of a controller, or a composite. */
export const ours = {
  // Each function keeps only what its `cancel` mentions.
  'a token': () => {
    const token = new SimpleToken()
    return { signal: token.signal, cancel: () => token.cancel() }
  },
  'a derived token': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(root).signal, cancel: () => root.cancel() }
  },
} as const

/** Begins to use a signal; gives whether it has heard of the abort, without keeping the signal unless it says so. */
export type Consume = (signal: AbortSignal) => () => boolean

/** How often each of the consumers missed the abort of a token made for it alone: their names and how many of `count`. */
export async function lost(
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
export async function prepared(make: () => Source, consume: Consume, count: number) {
  return Array.from({ length: count }, () => one(make, consume))
}

function one(make: () => Source, consume: Consume): { cancel: () => void; heard: () => boolean } {
  const { signal, cancel } = make()
  return { cancel, heard: consume(signal) }
}

/** Hears of an abort by the failure of a promise. */
export const failing = (promise: Promise<unknown>): (() => boolean) => {
  let heard = false
  promise.then(nothing, () => (heard = true))
  return () => heard
}

/** A timer of the platform that takes a signal: that of `node:timers/promises`, or the scheduler of a browser. */
export const delay: (ms: number, signal: AbortSignal) => Promise<unknown> = isBrowser
  ? (ms, signal) => (globalThis as unknown as Page).scheduler.postTask(nothing, { delay: ms, signal })
  : await import('node:timers/promises').then(
      ({ setTimeout }) =>
        (ms, signal) =>
          setTimeout(ms, undefined, { signal }),
    )

interface Page {
  readonly scheduler: { postTask(task: () => void, options: { delay: number; signal: AbortSignal }): Promise<unknown> }
}

/** What a server answers: nothing ever, half a body and no more, or all of it. */
export type Answer = 'never' | 'half' | 'whole'

/** Lets `use` have the address of a server that answers so: that of the site itself in a page, elsewhere one of its own. */
export async function withServer(answer: Answer, use: (url: string) => Promise<void>): Promise<void> {
  if (isBrowser) return use(new URL(`/${answer}`, globalThis.location.href).href)
  const { createServer } = await import('node:http')
  const server = createServer((_request, response) => {
    if (answer === 'never') return
    response.writeHead(200, { 'content-type': 'text/plain' })
    if (answer === 'half') response.write('half of ')
    else response.end('all of it')
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  try {
    await use(`http://127.0.0.1:${(server.address() as { port: number }).port}/`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => {
      server.close(resolve)
    })
  }
}

/** How many requests may be under way at once. More of them wait, in a browser, until one of the first is over. */
export const REQUESTS = isBrowser ? 6 : 20

/** How many requests missed the abort: each is under way before everything else is dropped and collected. */
export async function lostRequests(
  answer: Answer,
  send: (url: string, signal: AbortSignal) => Promise<unknown>,
): Promise<number> {
  let misses = -1
  await withServer(answer, async (url) => {
    let begun = 0
    const consume: Consume = (signal) => {
      const sent = send(url, signal)
      begun++
      return failing(sent)
    }
    const kept = await prepared(ours['a derived token'], consume, REQUESTS)
    assert.equal(begun, REQUESTS)
    await pause(200) // the requests and the first half of the answers are on their way
    await collect()
    for (const { cancel, heard } of kept) {
      assert.equal(heard(), false, 'failed before the cancel')
      cancel()
    }
    await until(() => kept.every(({ heard }) => heard()))
    misses = kept.filter(({ heard }) => !heard()).length
  })
  return misses
}
