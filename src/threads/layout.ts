/**
 * The layout of the shared memory: the only place with indexes. All positions are counted in words of 32 bits, because
 * plain reads of these never tear. Besides them `Atomics.wait` accepts only words of 64 bits, which are far slower.
 *
 * ```text
 * page (4096 bytes)                          slot (144 words, 576 bytes)
 * ┌───────┬─────────────────────────┐        ┌────┬──────────┬─────────────────────────────────────────┐
 * │ 0     │ mark: a page of ours    │        │ 0  │ STATE    │ generation (19) · report (8) · kind (4) │
 * │ 1     │ layout version          │        │ 1  │ TAKEN    │ words of the report area handed out     │
 * │ 2…5   │ id, 128 bits            │        │ 2  │ DUE      │ which of the two deadlines holds, 0: no │
 * │ 6     │ doorbell                │        │ 3  │ BELL     │ doorbell of a slot outside of a page    │
 * │ 16…   │ slot 0                  │        │ 4  │ FOLLOWED │ a thread passes the deadline on         │
 * │ …     │ … slot 6                │        │ 5… │ deadlines│ two of 9 words: when, and what it does  │
 * └───────┴─────────────────────────┘        │ 23…│ reports  │ 121 words, handed out front to back     │
 *                                            └────┴──────────┴─────────────────────────────────────────┘
 * ```
 *
 * A counter that several threads count has a slot of its own. Only two words of that slot have a meaning: 6 and 7 are
 * one number of 64 bits, COUNT, the polls that are left.
 *
 * A state of 0 is a token of generation 0 that is not cancelled, so fresh memory needs no setup. For code that does not
 * know this layout (a WebAssembly module), every state but 0 means cancelled, and a 1 that such code stores is a cancel
 * by hand.
 */
import type { CancellationKind } from '../core/errors.js'

// ---- Page

/**
 * Small on purpose: engines charge every arriving buffer with its full size, and one live token keeps its whole page.
 */
export const PAGE_BYTES = 4096
export const MARK = 0
export const VERSION = 1
export const ID = 2
export const ID_WORDS = 4
export const PAGE_BELL = 6
const FIRST_SLOT = 16

/** "calo": marks a page as one of ours. */
export const OUR_MARK = 0x63616c6f
/** Increased with every change of this file that is incompatible with other versions. */
export const OUR_VERSION = 3

// ---- Slot

export const STATE = 0
export const TAKEN = 1
export const DUE = 2
export const BELL = 3
export const FOLLOWED = 4
const DEADLINES = 5
/** In the slot of a counter: a number of 64 bits, so an even word. */
export const COUNT = 6
/** The words of a moment that other threads can read: see moments.ts. */
export const MOMENT_WORDS = 8
/** The words of a deadline: the moment, and an ending. */
export const DEADLINE_WORDS = MOMENT_WORDS + 1
const REPORTS = 23

/** The words for reports in one slot. A correct canceller takes a part of them, once. */
export const REPORT_WORDS = 121
export const SLOT_WORDS = REPORTS + REPORT_WORDS
export const SLOT_BYTES = SLOT_WORDS * 4
export const SLOTS = Math.floor((PAGE_BYTES / 4 - FIRST_SLOT) / SLOT_WORDS)

/** Returns the first word of a slot of a page. */
export function slotAt(index: number): number {
  return FIRST_SLOT + index * SLOT_WORDS
}

/** Whether a word is the first of a slot of a page. */
export function isSlot(word: number): boolean {
  const index = (word - FIRST_SLOT) / SLOT_WORDS
  return Number.isInteger(index) && index >= 0 && index < SLOTS
}

/**
 * Returns the first word of the deadline that a value of DUE stands for. The owner may write the other deadline
 * meanwhile.
 */
export function deadlineAt(slot: number, due: number): number {
  return slot + DEADLINES + (due & 1) * DEADLINE_WORDS
}

/** Returns the first word of the report area. */
export function reportAt(slot: number): number {
  return slot + REPORTS
}

// ---- State word

const KIND_BITS = 4
const CHUNK_BITS = 8
const GENERATION = KIND_BITS + CHUNK_BITS
const KIND_MASK = (1 << KIND_BITS) - 1
const CHUNK_MASK = (1 << CHUNK_BITS) - 1

/** One bit is left free, so that the word is never negative. */
export const LAST_GENERATION = 2 ** (31 - GENERATION) - 1

/** Returns the one state that says that this token is not cancelled. */
export function aliveState(generation: number): number {
  return generation << GENERATION
}

/**
 * Returns the bits that end a token when they are added to an alive state. `chunk` is where the report begins in the
 * report area, -1 for none.
 */
export function endingOf(kind: CancellationKind, chunk: number): number {
  return ((chunk + 1) << KIND_BITS) | NUMBERS[kind]
}

/** Whether a state belongs to the generation whose alive state is `alive`. */
export function isOf(state: number, alive: number): boolean {
  return state >>> GENERATION === alive >>> GENERATION
}

/**
 * Returns where the report begins in the report area. Returns -1 if there is no report, or if the stored state is not
 * ours.
 */
export function chunkOf(state: number): number {
  return Math.min((state >>> KIND_BITS) & CHUNK_MASK, REPORT_WORDS) - 1
}

/**
 * The numbers of the kinds in shared memory, where 0 is alive. A new kind does not compile until it has a number. A
 * number never changes.
 */
const NUMBERS: Readonly<Record<CancellationKind, number>> = {
  manual: 1,
  timeout: 2,
  condition: 3,
  counter: 4,
  dispose: 5,
  race: 6,
  sibling: 7,
  signal: 8,
  'process-signal': 9,
  disconnect: 10,
  lease: 11,
  superseded: 12,
}
const KINDS = new Map(Object.entries(NUMBERS).map(([kind, number]) => [number, kind as CancellationKind]))

/** Returns the kind of a state that is not alive. A state that other code has stored counts as a cancel by hand. */
export function kindOf(state: number): CancellationKind {
  return KINDS.get(state & KIND_MASK) ?? 'manual'
}
