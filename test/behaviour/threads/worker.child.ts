/** What a worker does with a shared token: one job at a time, by message. */
import { parentPort } from 'node:worker_threads'
import type { CancellationError } from 'calloff'
import { SharedToken, type SharedHandle } from 'calloff/threads'

export interface Order {
  readonly job: keyof typeof jobs
  readonly handle: SharedHandle
  /** What the job needs besides. */
  readonly argument?: unknown
  /** Before it: nothing here may know of `Atomics.waitAsync`. */
  readonly withoutWaitAsync?: boolean
}

/** An order as it arrives: what is said in answer to it has its number. */
export type Numbered = Order & { readonly number: number }

/** What is said: that the job has begun, what it has come to, or what it has thrown. */
export type Said = { readonly begun: true } | { readonly result: unknown } | { readonly failed: string }

type Begin = () => void

const port = parentPort!

/** What a cancellation looks like from here. */
export interface Seen {
  readonly kind: string
  readonly name: string
  readonly message: string
  readonly by: string | undefined
  readonly isError: boolean
  readonly reason: unknown
}

const seen = (error: CancellationError | undefined): Seen | undefined =>
  error && {
    kind: error.kind,
    name: error.name,
    message: error.message,
    by: error.token.name,
    isError: error.cause instanceof Error,
    reason: error.cause instanceof Error ? error.cause.message : error.cause,
  }

const ways = {
  cancelled(token: SharedToken): void {
    while (!token.cancelled);
  },
  keepOn(token: SharedToken): void {
    while (token.keepOn());
  },
  below(token: SharedToken): void {
    for (const below = token.plus(new SharedToken()); below.keepOn(););
  },
  for(token: SharedToken): number {
    let turns = 0
    for (const turn of token.turns()) turns = turn
    return turns
  },
  check(token: SharedToken): void {
    try {
      for (;;) token.check()
    } catch (error) {
      if (error !== token.error) throw error
    }
  },
}

const jobs = {
  /** Polls without ever yielding, in the way that is asked for. */
  loop(token: SharedToken, way: unknown, begin: Begin): unknown {
    begin()
    ways[way as keyof typeof ways](token)
    return seen(token.error)
  },
  /** Says how many turns the loop had. */
  count(token: SharedToken, _: unknown, begin: Begin): unknown {
    begin()
    let turns = 0
    while (token.keepOn()) turns++
    return { turns, seen: seen(token.error) }
  },
  /** Blocked, without a poll. */
  block(token: SharedToken, _: unknown, begin: Begin): unknown {
    begin()
    return seen(token.waitSync())
  },
  async wait(token: SharedToken, _: unknown, begin: Begin): Promise<unknown> {
    const waiting = token.wait()
    begin()
    return seen(await waiting)
  },
  listen(token: SharedToken, _: unknown, begin: Begin): Promise<unknown> {
    return new Promise((resolve) => {
      token.onCancel((error) => resolve(seen(error)))
      begin()
    })
  },
  signal(token: SharedToken, _: unknown, begin: Begin): Promise<unknown> {
    return new Promise((resolve) => {
      const { signal } = token
      signal.addEventListener('abort', () => resolve(seen(signal.reason as CancellationError)))
      begin()
    })
  },
  async race(token: SharedToken, _: unknown, begin: Begin): Promise<unknown> {
    const racing = token.race(new Promise<never>(() => {}))
    begin()
    return racing.catch((error: unknown) => seen(error as CancellationError))
  },
  cancel(token: SharedToken, reason: unknown): unknown {
    token.cancel(reason)
    return seen(token.error)
  },
  /** What it looks like, without waiting for anything. */
  look(token: SharedToken): unknown {
    return { remaining: token.remaining, text: String(token), seen: seen(token.error) }
  },
  handOn(token: SharedToken): unknown {
    return token.handle
  },
}

const { waitAsync } = Atomics as { waitAsync?: unknown }

port.on('message', ({ number, job, handle, argument, withoutWaitAsync }: Numbered) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const say = (said: Said) => port.postMessage({ number, said })
  Object.assign(Atomics, { waitAsync: withoutWaitAsync ? undefined : waitAsync })
  const run = async () => jobs[job](SharedToken.from(handle), argument, () => say({ begun: true }))
  void run().then(
    (result) => say({ result }),
    (error: unknown) => say({ failed: String(error) }),
  )
})
