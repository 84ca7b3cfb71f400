/**
 * Counters that several threads count. A counter that is shared gets a slot, in which stands how many polls are left; from then on
 * its own thread counts there too, and the handle of a shared token says where the counters above it are.
 *
 * Which counters stand above a token never changes in its life, so the handle can carry them.
 */
import { optional, wrongType } from '../core/arguments.js'
import { now, type SharedWord } from '../core/clock.js'
import type { Origin } from '../core/elsewhere.js'
import { Cancellation, DIRECT, each, INDIRECT, LOOK, type Mode, settle, type TokenNode } from '../core/graph.js'
import { type CommonCount, CounterToken } from '../core/tokens/counter.js'
import { COUNT } from './layout.js'
import { isShared } from './memory.js'
import { OtherThread } from './other-thread.js'
import { freshSeat, type Page, pageIn, remember, type Seat } from './pages.js'
import { pollsLeft, takePoll } from './protocol.js'

/** A counter among those of a handle. */
export interface CountHandle {
  /** The memory it lives in. */
  readonly buffer: SharedArrayBuffer
  /** Where in it, in bytes. */
  readonly byteOffset: number
  /** The name of the counter. */
  readonly name: string | undefined
  /** What is said of it when it is empty. */
  readonly what: string
  /** Which polls of the shared token use it up. */
  readonly by: 'all' | 'direct' | 'none'
  /** Whether the shared token is cancelled with it; else something above the shared token waits for more. */
  readonly ends: boolean
}

/** The polls that are left of a counter, as this thread sees them: one object for each counter, whoever asks (G7 in graph.ts). */
export class Count implements CommonCount {
  readonly page: Page
  readonly slot: number
  /** The poll that has taken one last. */
  #walk = -1
  #over: Cancellation | undefined

  constructor({ page, place: { slot } }: Seat) {
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
    if (this.#walk === walk) return true // it has paid for this poll
    if (!counts) return this.left > 0
    if (!takePoll(this.page.memory, { slot: this.slot, bell: this.page.bell })) return false
    this.#walk = walk
    return true
  }

  /** What it is to this thread when it is empty, for all shared tokens below it, where the counter itself is in another thread. */
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

/** The polls of a counter, in shared memory. */
function makeCount(polls: number): Count {
  const seat = freshSeat()
  const { page, place } = seat
  page.memory.storeLong(place.slot + COUNT, polls)
  return new Count(seat)
}

/** A counter above a shared token, on a side that has opened it. */
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

  /** Counts a poll of the shared token. The cancellation that an empty counter is for it. */
  ask(mode: Mode, walk: number): Cancellation | undefined {
    if (this.count.pass(mode !== LOOK && mode >= this.#least, walk) || !this.handle.ends) return undefined
    return this.count.over(this.handle)
  }
}

/** What a shared token says of the counters above it. */
interface Sharing extends TokenNode {
  /** Those it was opened with. */
  readonly counted?: readonly Counted[]
  /** It is its source: a direct poll of it is one of the source. */
  readonly stands?: boolean
}

/** A node that is reached on the way up. */
interface Reached {
  readonly node: Sharing
  /** A direct poll of the shared token is one of this node. */
  readonly isSame: boolean
  /** The shared token is cancelled with it. */
  readonly ends: boolean
}

/**
 * The counters above a shared token, in the order in which a poll meets them; from now on they can be counted by other threads. Of
 * an all-of and a grace, which end later than what a poll meets there, those are counted that the first poll meets.
 */
export function countersAbove(source: TokenNode, isSame: boolean): readonly CountHandle[] {
  const found = new Map<Count, CountHandle>()
  const seen = { ends: new Set<TokenNode>(), not: new Set<TokenNode>() }
  const add = (count: Count, handle: CountHandle) => {
    const before = found.get(count)
    // Reached in another way before, which may have been a weaker one.
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
      if (node.opaque && !isShared && sources.length > 0) return
      sources.push({ node: one, isSame: at.isSame && node.stands === true, ends: ends && (!node.opaque || isShared) })
    })
    stack.push(...sources.toReversed())
  }
  return [...found.values()]
}

function handleOf(token: CounterToken, { isSame, ends }: Reached): [Count, CountHandle] | undefined {
  // Beyond that a counter does not go down.
  if (token.outcome || token.counter > Number.MAX_SAFE_INTEGER) return undefined
  const count = token.countWith(makeCount)
  const { page, slot } = count
  remember(page)
  const by = !token.direct ? 'all' : isSame ? 'direct' : 'none'
  const place = { buffer: page.view.buffer, byteOffset: slot * 4 }
  return [count, Object.freeze({ ...place, name: token.name, what: token.explain('counter'), by, ends })]
}

/** The counters of a handle that has arrived. Errors: `TypeError` for what is none. */
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
