/**
 * The deadline of a shared token: the side that has made it tells, those that have opened it follow.
 *
 * What is told is a whole cancellation, the one that the earliest deadline above the token will be: mostly that of a
 * `TimeoutToken`, but that of a grace carries whatever has ended its source. Its report is in shared memory before the time
 * comes, so whoever is first to see it pass ends the token by it, and every side reads the same.
 */
import { isBefore, now } from '../core/clock.js'
import { type Cancellation, discover, LOOK, type TokenNode } from '../core/graph.js'
import { foreseeTold } from '../core/remaining.js'
import { chunkOf, DEADLINE_WORDS, kindOf, MOMENT_WORDS } from './layout.js'
import { readMoment, writeMoment } from './moments.js'
import { storyOf, toldBy } from './other-thread.js'
import {
  dueOf,
  followDeadline,
  type Memory,
  type Place,
  prepare,
  readDeadline,
  readReport,
  setDeadline,
} from './protocol.js'
import { decodeStory, encodeStory, lengthOf } from './reports.js'

const scratch = new Int32Array(DEADLINE_WORDS)

const isSame = (a: Cancellation, b: Cancellation) =>
  a.origin === b.origin && a.kind === b.kind && Object.is(a.reason, b.reason)

/** The side that has made the token, and alone may write (TH7 in protocol.ts). */
export class ToldDeadline {
  readonly #memory: Memory
  readonly #place: Place
  /** What the others know: the cancellation, and the ending that stands for it. */
  #told: Cancellation | undefined
  #ending = 0
  /** Words of the report area that are taken for it. */
  words = 0

  constructor(memory: Memory, place: Place) {
    this.#memory = memory
    this.#place = place
  }

  /** Tells the others what lies ahead of the source, if that is not what they know. True if they are told. */
  tell(source: TokenNode, shared: TokenNode): boolean {
    const next = foreseeTold(source)
    const last = this.#told
    if (!next || (last?.at === next.at && isSame(last, next))) return false
    if (!last || !isSame(last, next)) this.#prepare(next, shared)
    this.#told = next
    writeMoment(next.at, scratch, 0)
    scratch[MOMENT_WORDS] = this.#ending
    setDeadline(this.#memory, this.#place, scratch, !last || next.at < last.at)
    return true
  }

  #prepare(next: Cancellation, shared: TokenNode): void {
    const story = storyOf(next, shared, undefined)
    let words: Int32Array | undefined
    this.#ending = prepare(this.#memory, this.#place, next.kind, (room) => (words = encodeStory(story, room)))
    if (words && chunkOf(this.#ending) >= 0) this.words += words.length
  }

  /** The ending that stands for a cancellation; undefined for one that the others have not been told of. */
  endingFor(cancellation: Cancellation): number | undefined {
    const told = this.#told
    return told?.at === cancellation.at && isSame(told, cancellation) ? this.#ending : undefined
  }

  /**
   * The cancellation that a state stands for, if it is the one that the others were told of: one of them was first to notice.
   * That of the source if it has come to it, so that there is one error; unless something else has ended that one meanwhile.
   */
  endedBy(state: number, source: TokenNode): Cancellation | undefined {
    const told = this.#told
    if (!told || state !== (this.#place.alive | this.#ending)) return undefined
    const found = discover(source, LOOK)
    return found && isSame(found, told) ? found : told
  }
}

/** A side that has opened the token. */
export class FollowedDeadline {
  /** On this thread's clock. */
  at = Infinity
  /** How the token ends then. */
  ending = 0
  readonly #memory: Memory
  readonly #place: Place
  /** Which one it is, see protocol.ts. */
  #due = 0
  #ahead: Cancellation | undefined

  constructor(memory: Memory, place: Place) {
    this.#memory = memory
    this.#place = place
  }

  /** Reads it again if it was moved since. True if it was. */
  follow(): boolean {
    if (dueOf(this.#memory, this.#place) === this.#due) return false
    this.#due = readDeadline(this.#memory, this.#place, scratch)
    this.at = this.#due ? readMoment(scratch, 0) : Infinity
    this.ending = scratch[MOMENT_WORDS] as number
    this.#ahead = undefined
    return true
  }

  hasPassed(): boolean {
    return this.at < Infinity && !isBefore(this.at)
  }

  /** The cancellation that it will be for the shared token, always the same one; undefined if there is none. */
  ahead(shared: TokenNode): Cancellation | undefined {
    if (this.at === Infinity) return undefined
    return (this.#ahead ??= this.#read(shared))
  }

  /** The same as the end of the token, if that is what the state stands for. */
  endedBy(state: number, shared: TokenNode): Cancellation | undefined {
    if (this.at === Infinity || state !== (this.#place.alive | this.ending)) return undefined
    const end = this.ahead(shared) as Cancellation
    return end.at <= now() ? end : undefined
  }

  #read(shared: TokenNode): Cancellation {
    const state = this.#place.alive | this.ending
    const story = decodeStory(readReport(this.#memory, this.#place, state, lengthOf))
    return toldBy(story, kindOf(state), shared, this.at)
  }

  /** From now on this side is told of every move: it tells others in its turn. */
  insist(): void {
    followDeadline(this.#memory, this.#place)
  }
}
