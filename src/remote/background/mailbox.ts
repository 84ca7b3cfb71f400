/**
 * Carries events of the worker to a thread that never yields. The events wait in a message port without a listener, and a counter in
 * shared memory, the bell, counts them. A poll of a token reads the bell, which costs almost nothing, and takes the events out of the port
 * when the bell has changed. So a caller that sees a token cancelled can read its whole reason, however long that is.
 *
 * A thread that yields, or waits on the bell (`waitSync`), is woken.
 *
 * Invariants
 * MB1. An event is in the port before the bell rings, so a thread that reads the bell after that finds it.
 * MB2. The bell is read before the port, so an event that comes later is noticed at the next poll.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { SharedWord } from '../../core/clock.js'
import type { WorkerEvent } from './messages.js'

/** The index of the number of events. */
const RUNG = 0
/** The index of a flag: the other thread was woken and has not read the port yet. */
const WOKEN = 1
const WORDS = 2

/** After this many plain reads, a poll reads atomically, because JavaScriptCore lifts plain reads out of a loop. As in threads/shared-token.ts. */
const PLAIN_POLLS = 64

export function newBell(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(WORDS * 4))
}

/** The end of the worker. */
export class MailboxSender {
  readonly #wake: () => void

  constructor(
    private readonly port: MessagePort,
    private readonly bell: Int32Array<SharedArrayBuffer>,
    wake: () => void,
  ) {
    this.#wake = wake
  }

  put(event: WorkerEvent): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.port.postMessage(event)
    Atomics.add(this.bell, RUNG, 1)
    Atomics.notify(this.bell, RUNG)
    if (Atomics.exchange(this.bell, WOKEN, 1) === 0) this.#wake()
  }
}

/** The end of the hub. */
export class MailboxReceiver {
  readonly #take: (event: WorkerEvent) => void
  #seen = 0
  #left = 0

  constructor(
    private readonly port: MessagePort,
    private readonly bell: Int32Array<SharedArrayBuffer>,
    take: (event: WorkerEvent) => void,
  ) {
    this.#take = take
  }

  /** Handles the waiting events, if the bell has changed. */
  poll(): void {
    if (--this.#left > 0 && this.bell[RUNG] === this.#seen) return
    this.#left = PLAIN_POLLS
    const rung = Atomics.load(this.bell, RUNG)
    if (rung === this.#seen) return
    this.#seen = rung
    for (;;) {
      const found = receiveMessageOnPort(this.port)
      if (!found) return
      this.#take(found.message as WorkerEvent)
    }
  }

  /** Called when this thread was woken. */
  wake(): void {
    Atomics.store(this.bell, WOKEN, 0)
    this.#left = 0
    this.poll()
  }

  /** The word that a blocked thread waits on. */
  get word(): SharedWord {
    return { view: this.bell, index: RUNG, value: this.#seen }
  }

  close(): void {
    this.port.close()
  }
}
