/**
 * How threads agree: every step over the shared words of a slot, and nothing else. Pure but for the {@link Memory} it is
 * given, so that test/model can run this very code through every interleaving; polls, which are hot, stand in
 * shared-token.ts and only read.
 *
 * Invariants
 * TH1. STATE leaves alive(g) once, by one compare-and-exchange. Who wins that is the canceller, and nobody else is.
 * TH2. STATE becomes alive(g + 1) only by the owner, and only after the owner himself has moved it from alive(g) to disposed.
 *     So whoever finds another generation knows how his own has ended.
 * TH3. A part of the report area belongs to who moved TAKEN past it. TAKEN goes back only by TH9, so no part is ever given out
 *     to a second one, in any generation, and none is written after it has been published.
 * TH4. A cancelled state is published after its whole report was written, in the same word that says where it is. So who
 *     reads that word sees the whole report, may take his time to read it, and needs no second look.
 * TH5. The bells are rung after the state has changed, and a sleeper reads the bell before he looks at the state. So no
 *     wake-up is lost.
 * TH6. Nobody ever waits for another thread to go on. One that dies between any two steps leaves a part of the report area
 *     unused, or sleepers who were not woken: hence sleepers look again after a while (`SLICE`), and polls miss nothing.
 * TH7. Only the owner writes deadlines: into the one of the two that DUE does not point to, then DUE. A deadline says when, and
 *     how the token ends then: what TH1 adds to STATE, with a report that the owner has prepared in a part of his own (TH3).
 *     So whoever sees it pass needs to know, and to write, nothing else.
 * TH8. The bells are rung for a deadline that begins or comes nearer, too; for one that is moved away only where FOLLOWED says
 *     that somebody tells others of it. Who says so does it before he reads DUE, and the owner looks after he has written it.
 * TH9. The owner gives his parts of the report area back when he uses the slot again, if nobody else has taken any: then
 *     nobody reads them, since he himself has ended the token, without a report (TH2).
 * TH10. COUNT goes down by one at a time, by a compare-and-exchange, and never below 0: each poll it stood for is taken by one
 *     thread. The thread that takes the last one rings the bell. One that dies may take one poll with it, and no more.
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

/** Shared words. All but `read` and `write`, which are plain, are atomic and sequentially consistent; `Long` ones are of 64 bits. */
export interface Memory {
  load(word: number): number
  store(word: number, value: number): void
  add(word: number, value: number): number
  /** Gives what stood there: `expected` if the exchange was made. */
  compareExchange(word: number, expected: number, value: number): number
  loadLong(word: number): number
  compareExchangeLong(word: number, expected: number, value: number): number
  /** Wakes everybody who sleeps on the word. A count of one might wake a thread that is just being terminated. */
  notify(word: number): void
  read(word: number): number
  write(word: number, value: number): void
}

/** Where a token is: its slot, its doorbell, and what its state is as long as it is alive. */
export interface Place {
  readonly slot: number
  readonly bell: number
  readonly alive: number
}

/** How long a sleeper sleeps at most before he looks by himself, in milliseconds: see TH6. */
export const SLICE = 1_000

/** What there is to say about a cancellation, in at most `room` words; undefined for nothing, or if it is too long. */
export type Report = (room: number) => Int32Array | undefined

/** Cancels a token. True if it was this call that did it. */
export function cancel(memory: Memory, place: Place, kind: CancellationKind, report: Report): boolean {
  if (isOver(memory, place)) return false
  return publish(memory, place, prepare(memory, place, kind, report))
}

/** Writes a report, which takes part of the area. Gives the ending that has it. */
export function prepare(memory: Memory, place: Place, kind: CancellationKind, report: Report): number {
  return endingOf(kind, hand(memory, place, report))
}

/** The look of a poll that wants to be sure. */
export function isOver(memory: Memory, place: Place): boolean {
  return stateOf(memory, place) !== place.alive
}

/** Takes a part of the report area and writes the report there; -1 if there is none. */
function hand(memory: Memory, { slot }: Place, report: Report): number {
  for (let taken = memory.load(slot + TAKEN); ;) {
    const words = taken >= 0 && taken < REPORT_WORDS ? report(REPORT_WORDS - taken) : undefined
    if (!words || words.length > REPORT_WORDS - taken) return -1
    // Who loses here tries again with what is left; since TAKEN only grows, that ends. (TH3)
    const found = memory.compareExchange(slot + TAKEN, taken, taken + words.length)
    if (found === taken) {
      for (let i = 0; i < words.length; i++) memory.write(reportAt(slot) + taken + i, words[i] as number)
      return taken
    }
    taken = found
  }
}

/** Ends a token in a way that is written already. True if it was this call that did it. */
export function publish(memory: Memory, place: Place, ending: number): boolean {
  const { slot, alive } = place
  const won = memory.compareExchange(slot + STATE, alive, alive | ending) === alive
  if (won) ring(memory, place)
  return won
}

/** Wakes whoever sleeps on the token or on its doorbell. */
export function ring(memory: Memory, { slot, bell }: Place): void {
  memory.notify(slot + STATE) // a thread that is blocked
  ringBell(memory, bell) // threads that listen
}

/** Wakes those who sleep on a doorbell. */
function ringBell(memory: Memory, bell: number): void {
  memory.add(bell, 1)
  memory.notify(bell)
}

/**
 * The words of the report, as many as its first one asks for by `lengthOf`, but none of another report's area; none if the
 * state has no report. (TH4)
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
  // Whoever sees a cancellation mostly does so for the first time, with code that is not compiled yet: every turn counts.
  const words = new Int32Array(Math.min(lengthOf(memory.read(from)), REPORT_WORDS - chunk))
  for (let i = 0; i < words.length; i++) words[i] = memory.read(from + i)
  return words
}

/**
 * The owner ends the token without a report. Gives the state under which he may make a new token in the slot; undefined if
 * the slot must never be used again: somebody else has ended the token, whose kind and report must stay; or has taken a part
 * of the report area, of which `own` are the owner's words (TH9); or the generations are used up.
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

/** The owner begins a new token in a slot he has disposed of. (TH2) */
export function begin(memory: Memory, { slot, alive }: Place): void {
  memory.store(slot + DUE, 0) // whoever still reads the old one is over anyway
  memory.store(slot + FOLLOWED, 0)
  memory.store(slot + STATE, alive)
}

/** The state as it is now; once it is not alive any more, for good, unless it is of another generation (TH2). */
export function stateOf(memory: Memory, { slot }: Place): number {
  return memory.load(slot + STATE)
}

/** The owner sets a deadline, or moves it: the moment, and the ending. (TH7, TH8) */
export function setDeadline(memory: Memory, place: Place, words: Int32Array, isNearer: boolean): void {
  const { slot } = place
  // From 1 up, round the corner to 1 again; 0 is no deadline.
  const due = (memory.load(slot + DUE) % 2 ** 30) + 1
  const at = deadlineAt(slot, due)
  // Atomic here and below, because plain accesses may be moved past a look at DUE.
  for (let i = 0; i < words.length; i++) memory.store(at + i, words[i] as number)
  memory.store(slot + DUE, due)
  if (isNearer || memory.load(slot + FOLLOWED)) ring(memory, place)
}

/** From now on the bells are rung for whatever becomes of the deadline. (TH8) */
export function followDeadline(memory: Memory, { slot }: Place): void {
  memory.store(slot + FOLLOWED, 1)
}

/** The number of the deadline that holds, 0 if there is none. */
export function dueOf(memory: Memory, { slot }: Place): number {
  return memory.load(slot + DUE)
}

/**
 * Fills in the deadline that holds, and gives its number. Where the owner moves it meanwhile it is read again, so a reader
 * goes round only as often as the owner has gone on. (TH7)
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

/** Takes one poll of a counter; false if none is left. (TH10) */
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

/** How many polls of a counter nobody has taken. */
export function pollsLeft(memory: Memory, slot: number): number {
  return memory.loadLong(slot + COUNT)
}

/** One round of a thread that listens: whoever rings after `look` has begun wakes it, or keeps it from falling asleep. (TH5) */
export function listen(memory: Memory, bell: number, look: () => void, sleep: (rung: number) => void): void {
  const rung = memory.load(bell)
  look()
  sleep(rung)
}
