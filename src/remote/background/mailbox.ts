/**
 * How news reach a thread that never yields. They wait in a message port that nobody listens to, beside a bell in shared memory:
 * a poll of a token reads the bell, which costs next to nothing, and takes the news out of the port when it has rung. So whoever
 * sees a token cancelled has all that there is to know about it, however long the reason is.
 *
 * A thread that does yield, or sleeps on the bell (`waitSync`), is woken.
 *
 * Invariants
 * M1. News are in the port before the bell rings, so who reads the bell after that finds them.
 * M2. The bell is read before the port, so what comes after is noticed at the next poll.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { SharedWord } from '../../core/clock.js'
import type { News } from './messages.js'

/** Counts the news. */
const RUNG = 0
/** Whether the other thread has been woken, and has not looked yet. */
const WOKEN = 1
const WORDS = 2

/**
 * After so many polls by plain reads, one is atomic: JavaScriptCore lifts plain ones out of a loop. As in threads/shared-token.ts.
 */
const PLAIN_POLLS = 64

export function newBell(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(WORDS * 4))
}

/** The end that news are put into. */
export class Outbox {
  readonly #port: MessagePort
  readonly #bell: Int32Array<SharedArrayBuffer>
  readonly #wake: () => void

  constructor(port: MessagePort, bell: Int32Array<SharedArrayBuffer>, wake: () => void) {
    this.#port = port
    this.#bell = bell
    this.#wake = wake
  }

  put(news: News): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage(news)
    Atomics.add(this.#bell, RUNG, 1)
    Atomics.notify(this.#bell, RUNG)
    if (Atomics.exchange(this.#bell, WOKEN, 1) === 0) this.#wake()
  }
}

/** The end that they are taken out of. */
export class Inbox {
  readonly #port: MessagePort
  readonly #bell: Int32Array<SharedArrayBuffer>
  readonly #take: (news: News) => void
  #seen = 0
  #left = 0

  constructor(port: MessagePort, bell: Int32Array<SharedArrayBuffer>, take: (news: News) => void) {
    this.#port = port
    this.#bell = bell
    this.#take = take
  }

  /** Takes what there is, if the bell has rung. */
  poll(): void {
    if (--this.#left > 0 && this.#bell[RUNG] === this.#seen) return
    this.#left = PLAIN_POLLS
    const rung = Atomics.load(this.#bell, RUNG)
    if (rung === this.#seen) return
    this.#seen = rung
    for (;;) {
      const found = receiveMessageOnPort(this.#port)
      if (!found) return
      this.#take(found.message as News)
    }
  }

  /** This thread was woken. */
  wake(): void {
    Atomics.store(this.#bell, WOKEN, 0)
    this.#left = 0
    this.poll()
  }

  /** What a blocked thread sleeps on. */
  get word(): SharedWord {
    return { view: this.#bell, index: RUNG, value: this.#seen }
  }

  close(): void {
    this.#port.close()
  }
}
