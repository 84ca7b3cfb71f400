/** Loops that never yield, in the shapes in which a compiler has been seen to lift a plain read out of a loop. */
import { parentPort, workerData } from 'node:worker_threads'
import type { CancellationToken } from 'calloff'
import { SharedToken, type SharedHandle } from 'calloff/threads'

export interface Task {
  readonly shape: keyof typeof shapes | 'plain'
  readonly warm: boolean
  readonly handle: SharedHandle
  /** Of a token that is over, to warm up with. */
  readonly over: SharedHandle
}

/** As many polls as a fresh token is good for, then it is opened anew. */
const fresh = (polls: number) => (handle: SharedHandle) => {
  for (;;) {
    const token = SharedToken.from(handle)
    for (let i = 0; i < polls; i++) if (token.cancelled) return
  }
}

const open = (handle: SharedHandle): CancellationToken => SharedToken.from(handle)

export const shapes = {
  empty(handle: SharedHandle): void {
    const token = open(handle)
    while (!token.cancelled);
  },
  'keepOn with float work'(handle: SharedHandle): number {
    const token = open(handle)
    let sum = 0
    for (let i = 1; token.keepOn(); i++) sum += Math.sqrt(i)
    return sum
  },
  latch(handle: SharedHandle): void {
    const token = open(handle)
    const latch = {
      done: false,
      get over(): boolean {
        return this.done || (this.done = token.cancelled)
      },
    }
    while (!latch.over);
  },
  check(handle: SharedHandle): void {
    const token = open(handle)
    try {
      for (;;) token.check()
    } catch {
      // it is over
    }
  },
  'nested, polled outside': (handle: SharedHandle): number => {
    const token = open(handle)
    let sum = 0
    while (token.keepOn()) for (let i = 0; i < 100; i++) sum = (sum + i) | 0
    return sum
  },
  unrolled(handle: SharedHandle): void {
    const token = open(handle)
    for (;;) {
      if (token.cancelled) return
      if (token.cancelled) return
      if (token.cancelled) return
      if (token.cancelled) return
    }
  },
  allocating: (handle: SharedHandle): number => {
    const token = open(handle)
    let last = [0]
    while (token.keepOn()) last = [last[0]! + 1]
    return last[0]!
  },
  'fresh for each poll': fresh(1),
  'fresh for 3 polls': fresh(3),
  'fresh for 8 polls': fresh(8),
  'fresh for 40 polls': fresh(40),
  'a token below': (handle: SharedHandle): void => {
    const token = open(handle).plus(new SharedToken())
    while (token.keepOn());
  },
}

/** How it must not be done: the control. */
function plain({ buffer, byteOffset }: SharedHandle): void {
  const view = new Int32Array(buffer)
  const at = byteOffset / 4
  while (view[at] === 0);
}

const { shape, warm, handle, over } = workerData as Task
const loop = shape === 'plain' ? plain : shapes[shape]
if (warm) for (let i = 0; i < 20_000; i++) loop(over)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort!.postMessage('begun')
loop(handle)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort!.postMessage('seen')
