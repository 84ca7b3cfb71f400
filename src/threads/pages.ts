/**
 * Pages of shared memory: where new tokens get their slots, how a page is recognised when it arrives, and how a thread
 * listens to a page.
 *
 * No thread owns a page. The engine frees it when no thread holds it, and no message on its way contains it. So a slot
 * is never taken from a token that is merely garbage in this thread, since another thread may still poll that token.
 * Only an explicit dispose returns a slot.
 */
import { often } from '../core/clock.js'
import {
  ID,
  ID_WORDS,
  isSlot,
  MARK,
  OUR_MARK,
  OUR_VERSION,
  PAGE_BELL,
  PAGE_BYTES,
  slotAt,
  SLOTS,
  VERSION,
} from './layout.js'
import type { Count } from './counts.js'
import { SharedMemory, type SharedWords } from './memory.js'
import { listen, type Place, SLICE } from './protocol.js'

/** A token with listeners. */
export interface Watcher {
  /** Finds out whether the token is cancelled. */
  look(): void
}

// ---- Listening

/**
 * The pages that this thread listens to. They hold their watchers: a listener is called even if no one holds the token.
 */
const watched = new Set<Page>()
let stopCaring: (() => void) | undefined
let period = Infinity

/** Milliseconds between two polls if the platform has no `Atomics.waitAsync`. */
const POLL = 10

type WaitAsync = (view: Int32Array, index: number, value: number) => { async: boolean; value: string | Promise<string> }

const waitAsyncOf = () => (Atomics as { waitAsync?: WaitAsync }).waitAsync

/**
 * Runs every second. Polls the watched tokens, since a canceller may have died before it rang. Also stops listening to
 * pages without watchers. That is not done earlier, because the next wait often comes soon, and listening again costs
 * more than continuing.
 */
function care(): void {
  for (const page of Array.from(watched)) page.care()
  if (watched.size > 0) return
  stopCaring?.()
  period = Infinity
}

function careEvery(ms: number): void {
  if (period <= ms) return
  stopCaring?.()
  stopCaring = often(care, ms)
  period = ms
}

/** Shared memory with one doorbell: a page of ours, or the place of a single token in the caller's own memory. */
export class Page {
  readonly memory: SharedMemory
  /** See {@link remember}. */
  isKnown = false
  /** The counters with a slot in this page that this thread knows, by their slots. */
  readonly counts: Map<number, Count> = new Map()
  readonly #watchers = new Set<Watcher>()
  #isListening = false

  constructor(
    readonly view: SharedWords,
    readonly bell: number,
  ) {
    this.memory = new SharedMemory(view)
  }

  /** Calls the watcher whenever a token of the page may have ended. */
  watch(watcher: Watcher): void {
    this.#watchers.add(watcher)
    watched.add(this)
    careEvery(waitAsyncOf() ? SLICE : POLL)
    if (!this.#isListening) this.#listen()
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher)
  }

  /** Calls all watchers. */
  look(): void {
    for (const watcher of Array.from(this.#watchers)) watcher.look()
  }

  care(): void {
    if (this.#watchers.size > 0) this.look()
    else if (!this.#isListening) watched.delete(this)
    else {
      // A waiter that no thread can wake any more would stay for ever. So it is not dropped but woken: see #answer.
      this.memory.add(this.bell, 1)
      this.memory.notify(this.bell)
    }
  }

  #listen(): void {
    const look = () => this.look()
    const sleep = (rung: number) => {
      const waitAsync = waitAsyncOf()
      if (!waitAsync) return
      this.#isListening = true
      // Without a timeout, because its timer would stay behind. One wait serves all watchers, and each of them then
      // reads its own token.
      const { value } = waitAsync(this.view, this.bell, rung)
      void Promise.resolve(value).then(() => this.#answer())
    }
    listen(this.memory, this.bell, look, sleep)
  }

  #answer(): void {
    this.#isListening = false
    if (this.#watchers.size > 0) this.#listen()
    else watched.delete(this)
  }
}

// ---- Giving out slots

/** Where a token is. */
export interface Allocation {
  readonly page: Page
  readonly place: Place
}

/** The page for new tokens, and how many of its slots are given out. */
let open: Page | undefined
let given = SLOTS

/** Slots that were returned, the last one first. At most `MOST_FREE`, since each of them keeps its page. */
const free: Allocation[] = []
const MOST_FREE = 64

/** Returns a place for a new token. */
export function allocate(): Allocation {
  return free.pop() ?? allocateNew()
}

/** Returns a place that no token has had before: its words are all 0. */
export function allocateNew(): Allocation {
  if (!open || given === SLOTS) {
    open = makePage()
    given = 0
  }
  return { page: open, place: { slot: slotAt(given++), bell: PAGE_BELL, alive: 0 } }
}

/** Takes a slot back, which is in the given state from now on. */
export function giveBack(page: Page, place: Place): void {
  if (free.length < MOST_FREE) free.push({ page, place })
}

const base = new Uint32Array(ID_WORDS)
let made = 0

function makePage(): Page {
  const view = new Int32Array(new SharedArrayBuffer(PAGE_BYTES))
  // Random once for the thread, then counted. That is as good as random ids for each page, at a tenth of the cost.
  if (made === 0) crypto.getRandomValues(base)
  view.set(base, ID)
  view[ID] = (base[0] as number) + ++made
  view[VERSION] = OUR_VERSION
  view[MARK] = OUR_MARK
  return new Page(view, PAGE_BELL)
}

// ---- Recognising pages

// The same page arrives in two messages as two different buffers. So the id that is written in a page identifies it.
const known = new Map<string, WeakRef<Page>>()
let sweepAt = 64

function idOf(view: Int32Array): string {
  return view.subarray(ID, ID + ID_WORDS).join()
}

/**
 * Remembers a page whose handles leave this thread or have arrived, so that there is one object for it, however often
 * it arrives.
 */
export function remember(page: Page): void {
  if (page.isKnown) return
  page.isKnown = true
  if (known.size >= sweepAt) {
    for (const [id, reference] of known) if (!reference.deref()) known.delete(id)
    sweepAt = Math.max(64, 2 * known.size)
  }
  known.set(idOf(page.view), new WeakRef(page))
}

/** Whether a buffer is a page, of any version. */
export function isPage(buffer: SharedArrayBuffer): boolean {
  return buffer.byteLength === PAGE_BYTES && Atomics.load(new Int32Array(buffer), MARK) === OUR_MARK
}

/**
 * Returns the page in a buffer that has arrived. Returns undefined if the buffer is no page, or a page of another
 * version.
 */
export function pageIn(buffer: SharedArrayBuffer, slot: number): Page | undefined {
  if (!isPage(buffer) || !isSlot(slot)) return undefined
  const view = new Int32Array(buffer)
  if (view[VERSION] !== OUR_VERSION) return undefined
  let page = known.get(idOf(view))?.deref()
  if (!page) remember((page = new Page(view, PAGE_BELL)))
  return page
}
