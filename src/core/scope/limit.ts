/** How many tasks may run at once, in one scope or in several: places, and a queue of those who wait for one. */
import { optionalCount, wrongType } from '../arguments.js'

interface Waiter {
  /** Called when it has got its place. */
  readonly ready: () => void
  before: Waiter
  after: Waiter
}

/** Places for tasks. They are given in the order of the calls of `enter`. */
export interface Gate {
  /** A task that needs places of several gates takes them in this order. So no two tasks wait for each other. */
  readonly order: number
  readonly max: number
  running(): number
  waiting(): number
  /**
   * Takes a place. If none is free, it returns a function that leaves the queue, and calls `ready` once there is a place.
   */
  enter(ready: () => void): (() => void) | undefined
  /** Gives a place back, and gives the free ones to those who wait. */
  leave(): void
}

let gates = 0

/** Returns the place of a new limit in the order. By the fraction it differs from that of a limit of another copy. */
const nextOrder = () => ++gates + Math.random()

/** Its state is in closures, so that it works behind a proxy, and in a scope of another copy of the package. */
function makeGate(max: number, order: number): Gate {
  let running = 0
  let waiting = 0
  let isAdmitting = false
  // A ring, so that one in the middle leaves it at once.
  const ring = {} as Waiter
  ring.before = ring.after = ring

  const remove = (waiter: Waiter) => {
    waiting--
    waiter.before.after = waiter.after
    waiter.after.before = waiter.before
  }
  return Object.freeze<Gate>({
    order,
    max,
    running: () => running,
    waiting: () => waiting,
    enter(ready) {
      if (running < max && !waiting) {
        running++
        return undefined
      }
      const waiter: Waiter = { ready, before: ring.before, after: ring }
      ring.before.after = ring.before = waiter
      waiting++
      return () => remove(waiter)
    },
    // It is not reentrant: a task that ends while it is being started leaves the next start to the loop.
    leave() {
      running--
      if (isAdmitting) return
      isAdmitting = true
      while (running < max && waiting) {
        const { after } = ring
        remove(after)
        running++
        after.ready()
      }
      isAdmitting = false
    },
  })
}

// `Symbol.for`, so that the scopes of another copy of the package find it.
const GATE = Symbol.for('calloff.Limit')

/**
 * A limit that several scopes share: at most `max` of their tasks run at once. It is given as `concurrency` to `scope`,
 * `openScope`, `s.map` and `s.stream`. The tasks of all scopes wait in one queue and start in the order in which they
 * came. When a scope is cancelled, its waiting tasks leave the queue at once.
 *
 * A task that waits for another task under the same limit may wait for ever: it has the place that the other task
 * needs. So a scope within a task has no limit, or a limit of its own.
 *
 * Memory: the limit holds the tasks that wait, and nothing else. It holds no scope that has ended.
 *
 * @example
 * ```ts
 * import { Limit, scope } from 'calloff'
 *
 * const database = new Limit(2) // no more queries than that at once
 * const read = (ids: number[]) => scope((s) => s.map(ids, async (id) => id * 10), { concurrency: database })
 * console.log(await Promise.all([read([1, 2, 3]), read([4])])) // → [ [ 10, 20, 30 ], [ 40 ] ]
 * ```
 */
export class Limit {
  /** How many tasks may run at once. */
  readonly max: number

  /**
   * @param max a whole number from 1 on, or `Infinity`
   * @throws RangeError or TypeError for any other value
   */
  constructor(max: number) {
    if (max === undefined) throw wrongType('max', 'a number', max)
    this.max = optionalCount('max', max) as number
    Object.defineProperty(this, GATE, { value: makeGate(max, nextOrder()) })
  }

  /** How many tasks have a place now. */
  get running(): number {
    return (gateOf(this) as Gate).running()
  }

  /** How many tasks wait for a place now. */
  get waiting(): number {
    return (gateOf(this) as Gate).waiting()
  }
}

function gateOf(value: unknown): Gate | undefined {
  return Object(value)[GATE] as Gate | undefined
}

/** The checked option `concurrency`. */
export interface Concurrency {
  readonly max: number
  /** The shared limit that was given. */
  readonly gate: Gate | undefined
}

export function concurrencyOf(value: number | Limit | undefined): Concurrency {
  const gate = gateOf(value)
  if (gate) return { max: gate.max, gate }
  if (value !== undefined && typeof value !== 'number') throw wrongType('concurrency', 'a number or a Limit', value)
  return { max: optionalCount('concurrency', value) ?? Infinity, gate: undefined }
}

/**
 * The gates of a scope: none where there is no limit. The gate of one scope comes before all that are shared, so that a
 * task which waits for its own scope has no place that other scopes could use.
 */
export function gatesOf({ max, gate }: Concurrency): readonly Gate[] {
  return gate ? [gate] : max < Infinity ? [makeGate(max, 0)] : []
}

/** These gates with one more, in order. No gate is in it twice. */
export function withGate(all: readonly Gate[], gate: Gate | undefined): readonly Gate[] {
  if (!gate || all.includes(gate)) return all
  const others = all.filter(({ order }) => order < gate.order)
  return [...others, gate, ...all.slice(others.length)]
}
