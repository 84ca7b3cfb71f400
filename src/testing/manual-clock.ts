import { type NamesOf, nonNegative, optional, optionsOf } from '../core/arguments.js'
import { type Clock, turn, useClock } from '../core/clock.js'

/** A clock that stands still until `tick` or `advance` moves it. */
export interface ManualClock extends Disposable {
  /** Milliseconds since it was made. */
  readonly now: number
  /** Moves the time on by `ms`, synchronously. Calls all timers that are due, in order, each at its own time. */
  tick(ms: number): void
  /** Moves the time on by `ms` too. Lets promises settle and continue before each timer, and at the end. */
  advance(ms: number): Promise<void>
  /**
   * Restores the clock that was there before. Timers that are still set are never called. Disposing of the clock does
   * the same.
   */
  uninstall(): void
}

/** The options of a manual clock. */
export interface ManualClockOptions {
  /**
   * Whether the clock moves by itself: when the program waits, it jumps to the next timer. It
   * waits for a few turns of the event loop in which no timer is set or removed. It does not know what else the program
   * waits for: a file, a socket, another thread, a real `setTimeout`. A timer that is set again and again (the poller of
   * a condition) moves it for ever. Default: false.
   */
  readonly auto?: boolean | undefined
}

const CLOCK_OPTIONS: NamesOf<ManualClockOptions> = ['auto']

/** The turns of the event loop after which an auto clock jumps: in them promises and streams have settled. */
const IDLE_TURNS = 3

interface Alarm {
  readonly due: number
  readonly callback: () => void
}

/**
 * Replaces the clock of the system by a manual clock, for this thread, until it is uninstalled. The manual clock drives
 * every deadline, `sleep`, `every`, `wait` and poll of a condition of the tokens that are made meanwhile. `waitSync`
 * moves the clock by itself.
 *
 * Nothing outside calloff is changed: `setTimeout` and `performance` stay as they are.
 *
 * @example
 * ```ts
 * import { TimeoutToken } from 'calloff'
 * import { manualClock } from 'calloff/testing'
 *
 * using clock = manualClock()
 * const token = new TimeoutToken(5_000)
 * clock.tick(4_999)
 * console.log(token.cancelled, token.remaining) // → false 1
 * clock.tick(1)
 * console.log(token.cancelled) // → true
 * ```
 */
export function manualClock(options?: ManualClockOptions): ManualClock {
  const clock = new Manual(optional('auto', 'boolean', optionsOf(options, CLOCK_OPTIONS).auto) ?? false)
  clock.install()
  return clock
}

class Manual implements ManualClock {
  #now = 0
  /** In the order of their times. Alarms of the same time are in the order in which they were set. */
  readonly #alarms: Alarm[] = []
  #restore: (() => void) | undefined
  /** The number of timers that were set or removed. */
  #changes = 0
  #isWatching = false

  constructor(readonly auto: boolean) {}

  readonly #clock: Clock = {
    now: () => this.#now,
    start: (callback, ms) => {
      const alarm = { due: this.#now + ms, callback }
      const next = this.#alarms.findIndex(({ due }) => due > alarm.due)
      this.#alarms.splice(next === -1 ? this.#alarms.length : next, 0, alarm)
      this.#changes++
      if (this.auto && !this.#isWatching) this.#watch()
      return () => {
        const at = this.#alarms.indexOf(alarm)
        if (at === -1) return
        this.#alarms.splice(at, 1)
        this.#changes++
      }
    },
    block: (ms) => this.tick(ms),
  }

  install(): void {
    this.#restore = useClock(this.#clock)
  }

  get now(): number {
    return this.#now
  }

  tick(ms: number): void {
    const until = this.#now + nonNegative('ms', ms)
    while (this.#ring(until));
    this.#now = Math.max(this.#now, until)
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + nonNegative('ms', ms)
    do await new Promise<void>(turn)
    while (this.#ring(until))
    this.#now = Math.max(this.#now, until)
  }

  /** Calls the next alarm if it is due by `until`. Returns whether it was. */
  #ring(until: number): boolean {
    const alarm = this.#alarms[0]
    if (alarm === undefined || alarm.due > until) return false
    this.#alarms.shift()
    this.#now = Math.max(this.#now, alarm.due)
    alarm.callback()
    return true
  }

  /** Jumps to the next alarm whenever nothing has changed for a few turns, as long as there are alarms. */
  #watch(): void {
    this.#isWatching = true
    let seen = this.#changes
    let idle = 0
    const look = () => {
      this.#isWatching = this.#alarms.length > 0
      if (!this.#isWatching) return
      // Before the alarm, whose callback may throw.
      turn(look)
      idle = seen === this.#changes ? idle + 1 : 0
      seen = this.#changes
      if (idle < IDLE_TURNS) return
      idle = 0
      this.#ring(Infinity)
    }
    turn(look)
  }

  uninstall(): void {
    this.#restore?.()
    this.#alarms.length = 0
  }

  [Symbol.dispose](): void {
    this.uninstall()
  }
}
