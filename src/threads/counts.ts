/**
 * Counters that several threads count. A shared counter gets a slot, which contains how many polls are left. From then
 * on its own thread counts there too, and the handle of a shared token says where the counters above it are.
 *
 * The set of counters above a token never changes, so the handle can carry them.
 */
import { optional, wrongType } from '../core/arguments.js'
import { now, type SharedWord } from '../core/clock.js'
import type { Origin } from '../core/remote-origin.js'
import {
  Cancellation,
  DIRECT,
  each,
  INDIRECT,
  neededLive,
  READ,
  type Mode,
  settle,
  type TokenNode,
} from '../core/graph.js'
import { type CommonCount, CounterToken } from '../core/tokens/counter.js'
import { COUNT } from './layout.js'
import { isShared } from './memory.js'
import { OtherThread } from './other-thread.js'
import { allocateNew, type Page, pageIn, remember, type Allocation } from './pages.js'
import { pollsLeft, takePoll } from './protocol.js'

/** A counter in a handle. */
export interface CountHandle {
  /** The memory that contains it. */
  readonly buffer: SharedArrayBuffer
  /** Its position in the memory, in bytes. */
  readonly byteOffset: number
  /** The name of the counter. */
  readonly name: string | undefined
  /** What the message says when it is empty. */
  readonly what: string
  /** Which polls of the shared token use it up. */
  readonly by: 'all' | 'direct' | 'none'
  /** Whether the shared token is cancelled with it. If not, a token above the shared token waits for more. */
  readonly ends: boolean
}

/**
 * The polls that are left of a counter, as this thread sees them. There is one object for each counter, however many
 * tokens use it (G7 in graph.ts).
 */
export class Count implements CommonCount {
  readonly page: Page
  readonly slot: number
  /** The number of the poll that has used it last. */
  #walk = -1
  #over: Cancellation | undefined

  constructor({ page, place: { slot } }: Allocation) {
    this.page = page
    this.slot = slot
    page.counts.set(slot, this)
  }

  get left(): number {
    return pollsLeft(this.page.memory, this.slot)
  }

  get word(): SharedWord {
    const { view, bell } = this.page
    return { view, index: bell, value: Atomics.load(view, bell) }
  }

  pass(counts: boolean, walk: number): boolean {
    if (this.#walk === walk) return true // this poll has already used one
    if (!counts) return this.left > 0
    if (!takePoll(this.page.memory, { slot: this.slot, bell: this.page.bell })) return false
    this.#walk = walk
    return true
  }

  /**
   * Returns the cancellation by the empty counter, for all shared tokens below it in this thread, if the counter itself
   * is in another thread.
   */
  over(origin: Origin): Cancellation {
    if (!this.#over) {
      const token = new OtherThread(origin)
      settle(token, (this.#over = new Cancellation(token, 'counter', undefined, now())))
    }
    return this.#over
  }

  watch(look: () => void): () => void {
    const watcher = { look }
    this.page.watch(watcher)
    return () => this.page.unwatch(watcher)
  }
}

/** Stores the polls of a counter in shared memory. */
function makeCount(polls: number): Count {
  const allocation = allocateNew()
  const { page, place } = allocation
  page.memory.storeLong(place.slot + COUNT, polls)
  return new Count(allocation)
}

/** A counter above a shared token, on a side that has opened the token. */
export class Counted {
  readonly count: Count
  readonly handle: CountHandle
  /** The weakest poll that uses it up. */
  readonly #least: number

  constructor(count: Count, handle: CountHandle) {
    this.count = count
    this.handle = handle
    this.#least = USES[handle.by]
  }

  /** Counts a poll of the shared token. Returns the cancellation of the shared token if the counter is empty. */
  pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    if (this.count.pass(mode !== READ && mode >= this.#least, walk) || !this.handle.ends) return undefined
    return this.count.over(this.handle)
  }
}

/** What this module reads of a shared token. */
interface Sharing extends TokenNode {
  /** The counters with which it was opened. */
  readonly counted?: readonly Counted[]
  /** Whether a direct poll of it is a direct poll of its source. */
  readonly stands?: boolean
}

/** A node that is reached on the way up. */
interface Reached {
  readonly node: Sharing
  /** Whether a direct poll of the shared token is a direct poll of this node. */
  readonly isSame: boolean
  /** Whether the shared token is cancelled with it. */
  readonly ends: boolean
}

/**
 * Returns the counters above a shared token, in the order in which a poll reaches them. From now on other threads can
 * count them. A some-of (an all-of is one) and a grace are cancelled later than their first sources. Of these, the result
 * contains the counters that the first poll reaches.
 */
export function countersAbove(source: TokenNode, isSame: boolean): readonly CountHandle[] {
  const found = new Map<Count, CountHandle>()
  const seen = { ends: new Set<TokenNode>(), not: new Set<TokenNode>() }
  const add = (count: Count, handle: CountHandle) => {
    const before = found.get(count)
    // It was reached by another path before, which may have been a weaker one.
    if (before) found.set(count, { ...before, ends: before.ends || handle.ends })
    else found.set(count, handle)
  }
  const stack: Reached[] = [{ node: source, isSame, ends: true }]
  for (let at; (at = stack.pop());) {
    const { node, ends } = at
    const visited = ends ? seen.ends : seen.not
    if (!node.rules || seen.ends.has(node) || visited.has(node)) continue
    visited.add(node)
    if (node instanceof CounterToken) {
      const handle = handleOf(node, at)
      if (handle) add(...handle)
    }
    for (const { count, handle } of (node as Sharing).counted ?? []) {
      add(count, {
        ...handle,
        by: handle.by === 'direct' && !at.isSame ? 'none' : handle.by,
        ends: ends && handle.ends,
      })
    }
    const isShared = 'counted' in node
    const sources: Reached[] = []
    each(node.sources, (one) => {
      if (node.opaque && !isShared && sources.length === neededLive(node)) return
      sources.push({ node: one, isSame: at.isSame && node.stands === true, ends: ends && (!node.opaque || isShared) })
    })
    stack.push(...sources.toReversed())
  }
  return [...found.values()]
}

function handleOf(token: CounterToken, { isSame, ends }: Reached): [Count, CountHandle] | undefined {
  // Above that number a counter does not count down.
  if (token.outcome || token.counter > Number.MAX_SAFE_INTEGER) return undefined
  const count = token.countWith(makeCount)
  const { page, slot } = count
  remember(page)
  const by = !token.direct ? 'all' : isSame ? 'direct' : 'none'
  const place = { buffer: page.view.buffer, byteOffset: slot * 4 }
  return [count, Object.freeze({ ...place, name: token.name, what: token.explain('counter'), by, ends })]
}

/** Reads the counters of a handle that has arrived. Errors: `TypeError` for a value that is no list of counters. */
export function countedIn(handles: unknown): readonly Counted[] {
  if (handles === undefined) return []
  if (!Array.isArray(handles)) throw wrongType('handle.counters', 'an array', handles)
  return handles.map(countedBy)
}

const USES = { all: INDIRECT, direct: DIRECT, none: Infinity }

function countedBy(given: unknown): Counted {
  const { buffer, byteOffset, name, what, by } = Object(given) as Partial<CountHandle>
  const isWhole =
    isShared(buffer) && typeof byteOffset === 'number' && typeof what === 'string' && Object.hasOwn(USES, by ?? '')
  const page = isWhole ? pageIn(buffer, byteOffset / 4) : undefined
  if (!isWhole || !page)
    throw wrongType('handle.counters', 'counters of a handle of the same version of calloff', given)
  optional('handle.counters.name', 'string', name)
  return new Counted(countAt(page, byteOffset / 4), given as CountHandle)
}

function countAt(page: Page, slot: number): Count {
  return page.counts.get(slot) ?? new Count({ page, place: { slot, bell: page.bell, alive: 0 } })
}
