/** Going on at a pace, as long as a token lasts: sleep, checkpoint, every, iterate, and plain loops over a token. */
import { nonNegative, wrongType } from './arguments.js'
import { hold, now, Timer, turn } from './clock.js'
import type { CancellationError } from './errors.js'
import { DIRECT, discover, errorOf, INDIRECT, LOOK, Subscriber, subscribe, type TokenNode } from './graph.js'

export function sleep(node: TokenNode, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    nonNegative('ms', ms)
    const dead = discover(node, INDIRECT)
    if (dead !== undefined) return reject(errorOf(dead))
    alarm(
      node,
      ms,
      () => resolve(),
      (error) => reject(error),
    )
  })
}

/** Calls one of the two: `ring` after `ms`, or `off` when the node is cancelled. Holds the process meanwhile. Gives what takes it back. */
function alarm(node: TokenNode, ms: number, ring: () => void, off: (error: CancellationError) => void): () => void {
  let timer: Timer | undefined
  const stop = () => {
    subscriber.stop()
    if (timer === undefined) hold(-1)
    else timer.stop()
  }
  const subscriber = new Subscriber(
    undefined,
    (error) => {
      stop()
      off(error)
    },
    false,
  )
  subscribe(node, subscriber)
  if (ms === Infinity) hold(1)
  else {
    timer = new Timer(
      () => {
        // A deadline of the same moment has passed as well, whichever timer came first.
        if (discover(node, LOOK) !== undefined) return
        subscriber.stop()
        ring()
      },
      ms,
      true,
    )
  }
  return stop
}

/** How long one may go on before the event loop gets its turn: half a frame; and how often, should the clock stand still. */
const SLICE_MS = 8
const SLICE_TURNS = 1_000
let sliceEnd = 0
let sliceLeft = 0

export function checkpoint(node: TokenNode): Promise<void> {
  return new Promise((resolve, reject) => {
    const dead = discover(node, DIRECT)
    if (dead !== undefined) return reject(errorOf(dead))
    breathe(() => {
      // Only a look: this turn has been paid for.
      const late = discover(node, LOOK)
      if (late === undefined) resolve()
      else reject(errorOf(late))
    })
  })
}

/** Calls back at once, or, when the time slice is used up, after the event loop has turned. */
function breathe(callback: () => void): void {
  if (--sliceLeft > 0 && now() < sliceEnd) return callback()
  turn(() => {
    sliceEnd = now() + SLICE_MS
    sliceLeft = SLICE_TURNS
    callback()
  })
}

type Next<T> = Promise<IteratorResult<T, undefined>>
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

export function every(node: TokenNode, ms: number): AsyncIterable<number> {
  nonNegative('ms', ms)
  return { [Symbol.asyncIterator]: () => new Ticks(node, ms) }
}

/** Ticks at the multiples of `ms` from its start on: no drift, and what the consumer was too slow for is skipped. */
class Ticks implements AsyncIterator<number, undefined> {
  readonly #node: TokenNode
  readonly #ms: number
  readonly #start = now()
  /** Takes back the ticks that are waited for. */
  readonly #pending = new Set<() => void>()
  #last = 0
  #over = false

  constructor(node: TokenNode, ms: number) {
    this.#node = node
    this.#ms = ms
  }

  next(): Next<number> {
    return new Promise((resolve) => {
      if (this.#over || discover(this.#node, INDIRECT) !== undefined) return resolve(DONE)
      const passed = this.#ms === 0 ? 0 : Math.floor((now() - this.#start) / this.#ms)
      const value = (this.#last = Math.max(this.#last, passed) + 1)
      const settle = (result: IteratorResult<number, undefined>) => {
        this.#pending.delete(takeBack)
        resolve(result)
      }
      const due = this.#ms === 0 ? 0 : Math.max(0, this.#start + value * this.#ms - now())
      const stop = alarm(
        this.#node,
        due,
        () => settle({ done: false, value }),
        () => settle(DONE),
      )
      const takeBack = () => {
        stop()
        settle(DONE)
      }
      this.#pending.add(takeBack)
    })
  }

  return(): Next<number> {
    this.#over = true
    for (const takeBack of this.#pending) takeBack()
    return Promise.resolve(DONE)
  }
}

type Source<T> = AsyncIterable<T> | Iterable<T>

export function iterate<T>(node: TokenNode, source: Source<T>): AsyncIterable<T> {
  const it = Object(source) as Partial<AsyncIterable<T> & Iterable<T>>
  const open = it[Symbol.asyncIterator] ?? it[Symbol.iterator]
  if (typeof open !== 'function') throw wrongType('source', 'iterable', source)
  return { [Symbol.asyncIterator]: () => new Items(node, (open as () => AsyncIterator<T> | Iterator<T>).call(source)) }
}

/** The items of a source, until the token is cancelled: then the pending ones fail at once, and the source is closed. */
class Items<T> implements AsyncIterator<T, undefined> {
  readonly #node: TokenNode
  readonly #iterator: AsyncIterator<T> | Iterator<T>
  readonly #pending = new Set<(error: CancellationError) => void>()
  #subscriber: Subscriber | undefined
  #over = false

  constructor(node: TokenNode, iterator: AsyncIterator<T> | Iterator<T>) {
    this.#node = node
    this.#iterator = iterator
  }

  next(): Next<T> {
    return new Promise((resolve, reject) => {
      if (this.#over) return resolve(DONE)
      try {
        const dead = discover(this.#node, INDIRECT)
        if (dead !== undefined) {
          this.#callOff(errorOf(dead))
          return reject(errorOf(dead))
        }
        if (this.#subscriber === undefined) {
          this.#subscriber = new Subscriber(undefined, (error) => this.#callOff(error), false)
          subscribe(this.#node, this.#subscriber)
        }
        this.#pending.add(reject)
        this.#take(resolve, reject).catch(() => {}) // it settles the promise itself, and never fails
      } catch (error) {
        this.#finish()
        reject(error)
      }
    })
  }

  async #take(resolve: (result: IteratorResult<T, undefined>) => void, reject: (error: unknown) => void): Promise<void> {
    try {
      const result = await this.#iterator.next()
      if (typeof result !== 'object' || result === null) throw wrongType('the result of next()', 'an object', result)
      if (result.done) {
        this.#finish()
        resolve(DONE)
      } else resolve({ done: false, value: await result.value })
    } catch (error) {
      this.#finish()
      reject(error)
    } finally {
      this.#pending.delete(reject)
    }
  }

  #callOff(error: CancellationError): void {
    this.#finish()
    for (const reject of this.#pending) reject(error)
    // Asked to close, not waited for: a source may be deaf, and its late complaints are nobody's.
    void this.#close().catch(() => {})
  }

  async #close(): Promise<void> {
    await this.#iterator.return?.()
  }

  #finish(): void {
    this.#over = true
    this.#subscriber?.stop()
  }

  async return(): Next<T> {
    this.#finish()
    await this.#close()
    return DONE
  }
}

/** `for (const turn of token)`: 0, 1, 2 … while it lasts, a direct poll each. */
export class Turns implements IterableIterator<number, undefined> {
  readonly #node: TokenNode
  #turn = 0

  constructor(node: TokenNode) {
    this.#node = node
  }

  next(): IteratorResult<number, undefined> {
    return discover(this.#node, DIRECT) === undefined ? { done: false, value: this.#turn++ } : DONE
  }

  [Symbol.iterator](): this {
    return this
  }
}

/** `for await (const turn of token)`: the same, and the event loop gets its turns. */
export async function* asyncTurns(node: TokenNode): AsyncGenerator<number, undefined> {
  for (let turns = 0; discover(node, DIRECT) === undefined; turns++) {
    await new Promise<void>(breathe)
    if (discover(node, LOOK) !== undefined) return
    yield turns
  }
}
