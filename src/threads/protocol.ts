/**
 * How threads agree: every step over the shared words of a slot, and nothing else. The code is pure except for the
 * {@link Memory} that it receives, so that test/model can run this very code through every interleaving. Polls are hot.
 * They are in shared-token.ts, and only read.
 *
 * Invariants
 * TH1. STATE leaves alive(g) once, by one compare-and-exchange. The thread whose exchange succeeds is the canceller. No
 *     other thread is.
 * TH2. Only the owner sets STATE to alive(g + 1), and only after the owner itself has moved it from alive(g) to
 *     disposed. So a thread that finds another generation knows how its own token has ended.
 * TH3. A part of the report area belongs to the thread that moved TAKEN past it. TAKEN goes back only by TH9. So no
 *     part is given out twice, in any generation, and no part is written after it was published.
 * TH4. A cancelled state is published after its whole report was written, and the same word says where the report is.
 *     So a thread that reads that word sees the whole report, may take its time to read it, and needs no second read of
 *     the word.
 * TH5. The bells are rung after the state has changed, and a sleeper reads the bell before it reads the state. So no
 *     wake-up is lost.
 * TH6. No thread waits for another thread to make progress. A thread that dies between any two steps leaves a part of
 *     the report area unused, or sleepers that were not woken. So sleepers read the state again after a while
 *     (`SLICE`), and polls miss nothing.
 * TH7. Only the owner writes deadlines: first into the one of the two that DUE does not point to, then into DUE. A
 *     deadline contains its moment and the ending: the value that TH1 adds to STATE, with a report that the owner has
 *     prepared in a part of its own (TH3). So a thread that sees the deadline pass needs to know, and to write, nothing
 *     else.
 * TH8. The bells are also rung for a deadline that begins or comes nearer. For a deadline that moves away they are rung
 *     only if FOLLOWED says that a thread passes the deadline on to others. Such a thread sets FOLLOWED before it reads
 *     DUE, and the owner reads FOLLOWED after it has written DUE.
 * TH9. The owner gives its parts of the report area back when it uses the slot again, if no other thread has taken a
 *     part. Then no thread reads them, since the owner itself has ended the token, without a report (TH2).
 * TH10. COUNT goes down by one at a time, by a compare-and-exchange, and never below 0: each of its polls is taken by
 *     one thread. The thread that takes the last one rings the bell. A thread that dies may take one poll with it, and
 *     no more.
 */
import {
  aliveState,
  chunkOf,
  COUNT,
  deadlineAt,
  DUE,
  endingOf,
  FOLLOWED,
  isOf,
  LAST_GENERATION,
  REPORT_WORDS,
  reportAt,
  STATE,
  TAKEN,
} from './layout.js'
import type { CancellationKind } from '../core/errors.js'

/**
 * Shared words. All methods are atomic and sequentially consistent, except the plain `read` and `write`. `Long` words
 * have 64 bits.
 */
export interface Memory {
  load(word: number): number
  store(word: number, value: number): void
  add(word: number, value: number): number
  /** Returns the value before the call. It is `expected` if the exchange was made. */
  compareExchange(word: number, expected: number, value: number): number
  loadLong(word: number): number
  compareExchangeLong(word: number, expected: number, value: number): number
  /**
   * Wakes all threads that sleep on the word. A count of one might wake only a thread that is just being terminated.
   */
  notify(word: number): void
  read(word: number): number
  write(word: number, value: number): void
}

/** Where a token is: its slot, its doorbell, and its state as long as it is not cancelled. */
export interface Place {
  readonly slot: number
  readonly bell: number
  readonly alive: number
}

/** How long a sleeper sleeps at most before it reads the state again, in milliseconds: see TH6. */
export const SLICE = 1_000

/**
 * Encodes the report of a cancellation in at most `room` words. Returns undefined if there is none, or if it is too
 * long.
 */
export type Report = (room: number) => Int32Array | undefined

/** Cancels a token. Returns true if this call has cancelled it. */
export function cancel(memory: Memory, place: Place, kind: CancellationKind, report: Report): boolean {
  if (isOver(memory, place)) return false
  return publish(memory, place, prepare(memory, place, kind, report))
}

/** Writes a report, which takes a part of the area. Returns the ending with that report. */
export function prepare(memory: Memory, place: Place, kind: CancellationKind, report: Report): number {
  return endingOf(kind, hand(memory, place, report))
}

/** Reads the state atomically, for polls that must be sure. */
export function isOver(memory: Memory, place: Place): boolean {
  return stateOf(memory, place) !== place.alive
}

/** Takes a part of the report area and writes the report there. Returns its position, or -1 if there is no report. */
function hand(memory: Memory, { slot }: Place, report: Report): number {
  for (let taken = memory.load(slot + TAKEN); ;) {
    const words = taken >= 0 && taken < REPORT_WORDS ? report(REPORT_WORDS - taken) : undefined
    if (!words || words.length > REPORT_WORDS - taken) return -1
    // If another thread was faster, try again with the rest of the area. TAKEN only grows, so the loop ends. (TH3)
    const found = memory.compareExchange(slot + TAKEN, taken, taken + words.length)
    if (found === taken) {
      for (let i = 0; i < words.length; i++) memory.write(reportAt(slot) + taken + i, words[i] as number)
      return taken
    }
    taken = found
  }
}

/** Ends a token with an ending that is already prepared. Returns true if this call has ended it. */
export function publish(memory: Memory, place: Place, ending: number): boolean {
  const { slot, alive } = place
  const won = memory.compareExchange(slot + STATE, alive, alive | ending) === alive
  if (won) ring(memory, place)
  return won
}

/** Wakes all threads that sleep on the token or on its doorbell. */
export function ring(memory: Memory, { slot, bell }: Place): void {
  memory.notify(slot + STATE) // blocked threads
  ringBell(memory, bell) // listening threads
}

/** Wakes all threads that sleep on a doorbell. */
function ringBell(memory: Memory, bell: number): void {
  memory.add(bell, 1)
  memory.notify(bell)
}

/**
 * Returns the words of the report. `lengthOf` computes their number from the first word. They never go beyond the
 * report area. Returns no words if the state has no report. (TH4)
 */
export function readReport(
  memory: Memory,
  { slot, alive }: Place,
  state: number,
  lengthOf: (first: number) => number,
): Int32Array {
  const chunk = isOf(state, alive) ? chunkOf(state) : -1
  if (chunk < 0 || chunk >= REPORT_WORDS) return new Int32Array(0)
  const from = reportAt(slot) + chunk
  // Most threads run this for the first time when they see a cancellation, in code that is not compiled yet. So every
  // turn counts.
  const words = new Int32Array(Math.min(lengthOf(memory.read(from)), REPORT_WORDS - chunk))
  for (let i = 0; i < words.length; i++) words[i] = memory.read(from + i)
  return words
}

/**
 * The owner ends the token without a report. Returns the state for a new token in the slot. That state is undefined if
 * the slot must never be used again, for one of three reasons: another thread has ended the token, and its kind and
 * report must stay; another thread has taken a part of the report area, of which `own` words are the owner's (TH9); the
 * generations are used up.
 */
export function dispose(
  memory: Memory,
  place: Place,
  own: number,
): { readonly won: boolean; readonly next: number | undefined } {
  const won = publish(memory, place, endingOf('dispose', -1))
  const generation = place.alive / aliveState(1)
  const reusable = won && generation < LAST_GENERATION && memory.compareExchange(place.slot + TAKEN, own, 0) === own
  return { won, next: reusable ? aliveState(generation + 1) : undefined }
}

/** The owner begins a new token in a slot that it has disposed of. (TH2) */
export function begin(memory: Memory, { slot, alive }: Place): void {
  memory.store(slot + DUE, 0) // for a thread that still reads the old deadline, the token is cancelled anyway
  memory.store(slot + FOLLOWED, 0)
  memory.store(slot + STATE, alive)
}

/** Reads the present state. A state that is not alive is final, unless it belongs to another generation (TH2). */
export function stateOf(memory: Memory, { slot }: Place): number {
  return memory.load(slot + STATE)
}

/** The owner sets or moves a deadline: the moment, and the ending. (TH7, TH8) */
export function setDeadline(memory: Memory, place: Place, words: Int32Array, isNearer: boolean): void {
  const { slot } = place
  // The numbers start at 1 and wrap around to 1. 0 means no deadline.
  const due = (memory.load(slot + DUE) % 2 ** 30) + 1
  const at = deadlineAt(slot, due)
  // Atomic here and below, because plain accesses may be reordered around an access of DUE.
  for (let i = 0; i < words.length; i++) memory.store(at + i, words[i] as number)
  memory.store(slot + DUE, due)
  if (isNearer || memory.load(slot + FOLLOWED)) ring(memory, place)
}

/** From now on the bells are rung for every change of the deadline. (TH8) */
export function followDeadline(memory: Memory, { slot }: Place): void {
  memory.store(slot + FOLLOWED, 1)
}

/** Returns the number of the valid deadline, 0 if there is none. */
export function dueOf(memory: Memory, { slot }: Place): number {
  return memory.load(slot + DUE)
}

/**
 * Fills in the valid deadline, and returns its number. If the owner moves it meanwhile, it is read again. So a reader
 * repeats only as often as the owner moves the deadline. (TH7)
 */
export function readDeadline(memory: Memory, { slot }: Place, words: Int32Array): number {
  for (;;) {
    const due = memory.load(slot + DUE)
    if (due === 0) return 0
    const at = deadlineAt(slot, due)
    for (let i = 0; i < words.length; i++) words[i] = memory.load(at + i)
    if (memory.load(slot + DUE) === due) return due
  }
}

/** Takes one poll of a counter. Returns false if none is left. (TH10) */
export function takePoll(memory: Memory, { slot, bell }: Omit<Place, 'alive'>): boolean {
  for (let left = pollsLeft(memory, slot); left > 0;) {
    const found = memory.compareExchangeLong(slot + COUNT, left, left - 1)
    if (found !== left) {
      left = found
      continue
    }
    if (left === 1) ringBell(memory, bell)
    return true
  }
  return false
}

/** Returns how many polls of a counter are left. */
export function pollsLeft(memory: Memory, slot: number): number {
  return memory.loadLong(slot + COUNT)
}

/**
 * One round of a listening thread. A ring after `look` has begun wakes the thread, or keeps it from falling asleep.
 * (TH5)
 */
export function listen(memory: Memory, bell: number, look: () => void, sleep: (rung: number) => void): void {
  const rung = memory.load(bell)
  look()
  sleep(rung)
}
