/**
 * The deadline of a shared token: the side that has made the token publishes it, and the sides that have opened the
 * token follow it.
 *
 * A whole cancellation is published: the one that the earliest deadline above the token will cause. Usually that is the
 * cancellation of a `TimeoutToken`. The cancellation of a grace, however, carries the one that has cancelled its
 * source. The report is in shared memory before the deadline passes. So the first thread that sees the deadline pass
 * ends the token with that report, and every side reads the same.
 */
import { isBefore, now } from '../core/clock.js'
import { type Cancellation, discover, READ, type TokenNode } from '../core/graph.js'
import { predictPublished } from '../core/remaining.js'
import { chunkOf, DEADLINE_WORDS, kindOf, MOMENT_WORDS } from './layout.js'
import { readMoment, writeMoment } from './moments.js'
import { reportOf, cancellationOf } from './other-thread.js'
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
import { decodeReport, encodeReport, lengthOf } from './reports.js'

const scratch = new Int32Array(DEADLINE_WORDS)

const isSame = (a: Cancellation, b: Cancellation) =>
  a.origin === b.origin && a.kind === b.kind && Object.is(a.reason, b.reason)

/** The side that has made the token. Only this side may write (TH7 in protocol.ts). */
export class PublishedDeadline {
  readonly #memory: Memory
  readonly #place: Place
  /** What the other sides know: the cancellation, and the ending that stands for it. */
  #published: Cancellation | undefined
  #ending = 0
  /** The number of words of the report area that are taken for it. */
  words = 0

  constructor(memory: Memory, place: Place) {
    this.#memory = memory
    this.#place = place
  }

  /**
   * Publishes the next cancellation of the source, unless the other sides know it already. Returns true if it was
   * published.
   */
  tell(source: TokenNode, shared: TokenNode): boolean {
    const next = predictPublished(source)
    const last = this.#published
    if (!next || (last?.at === next.at && isSame(last, next))) return false
    if (!last || !isSame(last, next)) this.#prepare(next, shared)
    this.#published = next
    writeMoment(next.at, scratch, 0)
    scratch[MOMENT_WORDS] = this.#ending
    setDeadline(this.#memory, this.#place, scratch, !last || next.at < last.at)
    return true
  }

  #prepare(next: Cancellation, shared: TokenNode): void {
    const report = reportOf(next, shared, undefined)
    let words: Int32Array | undefined
    this.#ending = prepare(this.#memory, this.#place, next.kind, (room) => (words = encodeReport(report, room)))
    if (words && chunkOf(this.#ending) >= 0) this.words += words.length
  }

  /** Returns the ending that stands for a cancellation. Returns undefined for a cancellation that was not published. */
  endingFor(cancellation: Cancellation): number | undefined {
    const published = this.#published
    return published?.at === cancellation.at && isSame(published, cancellation) ? this.#ending : undefined
  }

  /**
   * Returns the cancellation that a state stands for, if it is the published one. In that case another side was the
   * first to notice the deadline. If the source has been cancelled by the same deadline, its cancellation is returned,
   * so that there is one error.
   */
  endedBy(state: number, source: TokenNode): Cancellation | undefined {
    const published = this.#published
    if (!published || state !== (this.#place.alive | this.#ending)) return undefined
    const found = discover(source, READ)
    return found && isSame(found, published) ? found : published
  }
}

/** A side that has opened the token. */
export class FollowedDeadline {
  /** In milliseconds of this thread's clock. */
  at = Infinity
  /** How the token ends then. */
  ending = 0
  readonly #memory: Memory
  readonly #place: Place
  /** The number of the deadline: see protocol.ts. */
  #due = 0
  #ahead: Cancellation | undefined

  constructor(memory: Memory, place: Place) {
    this.#memory = memory
    this.#place = place
  }

  /** Reads the deadline again if it was moved since. Returns true if it was. */
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

  /**
   * Returns the cancellation that the deadline will cause for the shared token, always the same one. Returns undefined
   * if there is none.
   */
  ahead(shared: TokenNode): Cancellation | undefined {
    if (this.at === Infinity) return undefined
    return (this.#ahead ??= this.#read(shared))
  }

  /** Returns the same cancellation if the token has ended and the state stands for it. */
  endedBy(state: number, shared: TokenNode): Cancellation | undefined {
    if (this.at === Infinity || state !== (this.#place.alive | this.ending)) return undefined
    const end = this.ahead(shared) as Cancellation
    return end.at <= now() ? end : undefined
  }

  #read(shared: TokenNode): Cancellation {
    const state = this.#place.alive | this.ending
    const report = decodeReport(readReport(this.#memory, this.#place, state, lengthOf))
    return cancellationOf(report, kindOf(state), shared, this.at)
  }

  /** From now on every move is reported to this side, because it publishes the deadline to others. */
  followMoves(): void {
    followDeadline(this.#memory, this.#place)
  }
}
