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
import type { Deadline } from '../core/deadline.js'
import { type Cancellation, discover, READ, settle, type TokenNode } from '../core/graph.js'
import { predictPublished } from '../core/remaining.js'
import { RemoteOrigin } from '../core/remote-origin.js'
import { chunkOf, DEADLINE_WORDS, kindOf, MOMENT_WORDS, REPORT_WORDS } from './layout.js'
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

/** The ending of a deadline that was taken off. No cancellation has it: it would leave the token alive. */
const OFF = 0

const isSame = (a: Cancellation, b: Cancellation) =>
  a.origin === b.origin && a.kind === b.kind && Object.is(a.reason, b.reason)

/**
 * Whether two cancellations come from one token. A token of another thread or process is a new object each time that its
 * deadline is read.
 */
const isOfOne = (a: Cancellation, b: Cancellation) =>
  isSame(a, b) ||
  (a.kind === b.kind &&
    a.origin instanceof RemoteOrigin &&
    b.origin instanceof RemoteOrigin &&
    a.origin.name === b.origin.name)

/** Returns the text without the length of the time, which would need a new report after each move. */
const withoutLength = (what: string) => what.replace(/ after \S+ ms/, '')

/** A cancellation whose report is in shared memory. */
interface Prepared {
  /** The last one that has this report. */
  cancellation: Cancellation
  readonly ending: number
  /** What happened, as the report has it. */
  readonly what: string | undefined
  /** The kind and the whole report. */
  readonly text: string
}

/** The side that has made the token. Only this side may write (TH7 in protocol.ts). */
export class PublishedDeadline {
  readonly #memory: Memory
  readonly #place: Place
  /**
   * All reports so far. Each is used again for the same cancellation, because the report area is small and a deadline
   * may be moved without end.
   */
  readonly #prepared: Prepared[] = []
  /** What the other sides know. Undefined before the first deadline, and while there is none. */
  #published: Prepared | undefined
  /** The number of words of the report area that are taken. */
  words = 0

  constructor(memory: Memory, place: Place) {
    this.#memory = memory
    this.#place = place
  }

  /**
   * Publishes the next cancellation of the source, or that there is none, unless the other sides know it already.
   * Returns true if it was published.
   */
  tell(source: TokenNode, shared: TokenNode): boolean {
    const next = predictPublished(source)
    const last = this.#published
    const lastAt = last?.cancellation.at ?? Infinity
    const prepared = next && this.#prepare(next, shared)
    if (prepared && next) prepared.cancellation = next
    if (prepared === last && (next?.at ?? Infinity) === lastAt) return false
    this.#published = prepared
    writeMoment(next?.at ?? 0, scratch, 0)
    scratch[MOMENT_WORDS] = prepared?.ending ?? OFF
    setDeadline(this.#memory, this.#place, scratch, !!next && next.at < lastAt)
    return true
  }

  #prepare(next: Cancellation, shared: TokenNode): Prepared {
    let report = reportOf(next, shared, undefined)
    const earlier = this.#prepared.filter(({ cancellation }) => isOfOne(cancellation, next))
    const known = () =>
      earlier.find(({ cancellation, what }) => isSame(cancellation, next) && what === report.origin?.what)
    let found = known()
    if (found) return found
    const { origin } = report
    if (origin && earlier.length > 0) report = { ...report, origin: { ...origin, what: withoutLength(origin.what) } }
    found = known()
    if (found) return found
    const text = `${next.kind} ${String(encodeReport(report, REPORT_WORDS))}`
    found = this.#prepared.find((one) => one.text === text)
    if (found) return found
    let words: Int32Array | undefined
    const ending = prepare(this.#memory, this.#place, next.kind, (room) => (words = encodeReport(report, room)))
    if (words && chunkOf(ending) >= 0) this.words += words.length
    found = { cancellation: next, ending, what: report.origin?.what, text }
    this.#prepared.push(found)
    return found
  }

  /** Returns the ending that stands for a cancellation. Returns undefined for a cancellation that was not published. */
  endingFor(cancellation: Cancellation): number | undefined {
    const published = this.#published
    const isIt = published?.cancellation.at === cancellation.at && isSame(published.cancellation, cancellation)
    return isIt ? published.ending : undefined
  }

  /**
   * Returns the cancellation that a state stands for, if it was published. In that case another side was the first to
   * notice the deadline. If the source has been cancelled by the same deadline, its cancellation is returned, so that
   * there is one error.
   */
  endedBy(state: number, source: TokenNode): Cancellation | undefined {
    // The deadline may have been moved, or another one may have become the next, after that side had noticed it.
    const known = [this.#published, ...this.#prepared]
    const published = known.find((one) => one && state === (this.#place.alive | one.ending))?.cancellation
    if (!published) return undefined
    // The clocks of two threads differ a little. What that side has seen pass has passed for the deadline here as well,
    // so that both have one error.
    const { origin, at } = published
    if ((origin as Deadline).deadline === at && !discover(origin, READ)) settle(origin, published)
    const found = discover(source, READ)
    return found && isSame(found, published) ? found : published
  }
}

/** A side that has opened the token. */
export class FollowedDeadline {
  /** In milliseconds of this thread's clock. `Infinity` if there is no deadline, or if it was taken off. */
  at = Infinity
  /** How the token ends then. */
  ending = OFF
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
    this.ending = this.#due ? (scratch[MOMENT_WORDS] as number) : OFF
    this.at = this.ending === OFF ? Infinity : readMoment(scratch, 0)
    this.#ahead = undefined
    return true
  }

  hasPassed(): boolean {
    return this.at < Infinity && !isBefore(this.at)
  }

  /**
   * Returns the cancellation that the deadline will cause for the shared token, always the same one until the deadline
   * is moved. Returns undefined if there is none.
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
