// Another thread, which tells at what moment it came to know of a cancellation.
import { Worker } from 'node:worker_threads'
import { ANSWER, PING, PONG, READY, WORDS } from './words.mjs'

/** Milliseconds until a thread that was to answer has given up. */
const PATIENCE = 2_000

/** Milliseconds for comparing the clocks, and how long the fastest exchange may take for it to count. */
const COMPARING = 30
const EXACT = 0.004

const own = new Int32Array(new SharedArrayBuffer(4))

/** Asleep, not at work: what is to be measured is on its own. */
const pause = (ms) => Atomics.wait(own, 0, 0, ms)

function spin(ms) {
  for (const end = performance.now() + ms; performance.now() < end;);
}

export class Responder {
  #worker
  #words
  #moment
  /** What the other thread's clock is ahead of ours. */
  #ahead = 0
  /** How long the fastest exchange took: the clocks are compared no better than that. */
  #doubt = Infinity

  constructor() {
    const buffer = new SharedArrayBuffer(WORDS * 4 + 8)
    this.#words = new Int32Array(buffer, 0, WORDS)
    this.#moment = new Float64Array(buffer, WORDS * 4, 1)
    this.#worker = new Worker(new URL('answer.mjs', import.meta.url), { workerData: buffer })
    this.#worker.unref()
  }

  static async start() {
    const responder = new Responder()
    await new Promise((resolve, reject) => {
      responder.#worker.once('message', resolve)
      responder.#worker.once('error', reject)
    })
    responder.#compareClocks()
    return responder
  }

  /** Nanoseconds from the call on this side to the moment the other knows. */
  reach(peer, way) {
    const token = peer.shared()
    const before = Atomics.load(this.#words, ANSWER)
    const file = peer.reaches
    this.#post({ file, peer: peer.name, way, handle: peer.handle?.(token) })
    this.#await(READY, before)
    // Until it really spins, or really sleeps. Whoever calls off a busy loop is at work himself.
    if (way === 'spin' && peer.spin) spin(0.1)
    else pause(1.5)
    const begin = performance.now()
    if (peer.told) this.#post('now')
    else peer.sharedCancel(token)
    this.#await(ANSWER, before)
    const took = this.#moment[0] - this.#ahead - begin
    if (took < -this.#doubt) throw new Error('the clocks of the two threads do not agree')
    return Math.max(0, took) * 1e6
  }

  #await(word, before) {
    const state = Atomics.load(this.#words, word) === before ? Atomics.wait(this.#words, word, before, PATIENCE) : 'ok'
    if (state === 'timed-out') throw new Error('the other thread does not answer')
  }

  #post(message) {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message)
  }

  /** By the fastest of many exchanges. Where threads have a clock in common, the difference is less than can be told. */
  #compareClocks() {
    this.#post('clock')
    // Two threads that spin go slowly where there is one processor for them.
    const first = performance.now()
    let end = Infinity
    for (let turn = 1; performance.now() < end || this.#doubt > EXACT; turn++) {
      const begin = performance.now()
      Atomics.store(this.#words, PING, turn)
      while (Atomics.load(this.#words, PONG) !== turn);
      const took = performance.now() - begin
      // The first one has to wake the other thread, which may take longer than all the others.
      if (turn === 1) end = performance.now() + COMPARING
      if (begin - first > PATIENCE)
        throw new Error('the clocks of the two threads cannot be compared, for lack of processors')
      if (took >= this.#doubt) continue
      this.#doubt = took
      this.#ahead = this.#moment[0] - (begin + took / 2)
    }
    Atomics.store(this.#words, PING, -1)
    if (Math.abs(this.#ahead) <= this.#doubt / 2) this.#ahead = 0
  }
}
