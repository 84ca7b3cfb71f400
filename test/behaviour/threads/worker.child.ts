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

const port = parentPort!
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
const say = (message: unknown) => port.postMessage(message)

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
    for (const turn of token) turns = turn
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
  loop(token: SharedToken, way: unknown): unknown {
    say('begun')
    ways[way as keyof typeof ways](token)
    return seen(token.error)
  },
  /** Blocked, without a poll. */
  block(token: SharedToken, timeout: unknown): unknown {
    say('begun')
    return seen(token.waitSync(timeout === undefined ? undefined : { timeout: timeout as number }))
  },
  async wait(token: SharedToken): Promise<unknown> {
    const waiting = token.wait()
    say('begun')
    return seen(await waiting)
  },
  listen(token: SharedToken): Promise<unknown> {
    return new Promise((resolve) => {
      token.onCancel((error) => resolve(seen(error)))
      say('begun')
    })
  },
  signal(token: SharedToken): Promise<unknown> {
    return new Promise((resolve) => {
      const { signal } = token
      signal.addEventListener('abort', () => resolve(seen(signal.reason as CancellationError)))
      say('begun')
    })
  },
  async race(token: SharedToken): Promise<unknown> {
    const racing = token.race(new Promise<never>(() => {}))
    say('begun')
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

port.on('message', (order: Order) => {
  Object.assign(Atomics, { waitAsync: order.withoutWaitAsync ? undefined : waitAsync })
  const run = async () => jobs[order.job](SharedToken.from(order.handle), order.argument)
  void run().then(
    (result) => say({ result }),
    (error: unknown) => say({ failed: String(error) }),
  )
})
