/** The views of a watch: a table in a terminal, lines in a file, JSON for programs. */
import type { Listing } from '../../remote/index.js'
import process from 'node:process'
import { messageOf } from './errors.js'
import { stateOf, tableOfListings, titleOf, whyOf } from './listings.js'
import { toJson } from './describe.js'
import { printMessage, printResult } from './output.js'
import { hasTerminal } from './foreground.js'
import { cutTo, paintFor } from './text.js'

/** What happened to one name. */
export interface Change {
  readonly event: 'opened' | 'changed' | 'cancelled' | 'gone'
  readonly listing: Listing
}

/** Shows a watch. */
export interface Screen {
  show(listings: readonly Listing[], changes: readonly Change[]): void
  connected(): void
  disconnected(error: Error): void
  close(): void
}

/** Prints one object a line, with `event`, `at`, and the fields of the listing or the error, if the event has one. */
export class JsonScreen implements Screen {
  #isLost = false

  show(_listings: readonly Listing[], changes: readonly Change[]): void {
    for (const { event, listing } of changes) line({ event, at: new Date(), ...listing })
  }

  connected(): void {
    this.#isLost = false
    line({ event: 'connected', at: new Date() })
  }

  disconnected(error: Error): void {
    // Printed once, however often the hub tries to connect.
    if (!this.#isLost) line({ event: 'disconnected', at: new Date(), error: messageOf(error) })
    this.#isLost = true
  }

  close(): void {}
}

function line(value: object): void {
  printResult(`${toJson(value)}\n`)
}

/** Prints a line for each change. */
export class LineScreen implements Screen {
  readonly #where: string
  #isLost = false

  constructor(where: string) {
    this.#where = where
  }

  show(_listings: readonly Listing[], changes: readonly Change[]): void {
    for (const { event, listing } of changes) {
      const why = whyOf(listing)
      const what = event === 'gone' ? 'gone' : stateOf(listing)
      printResult(`${new Date().toISOString()} ${titleOf(listing)}: ${what}${why && ` ${why}`}\n`)
    }
  }

  connected(): void {
    if (this.#isLost) printMessage(`the hub at ${this.#where} is back`)
    this.#isLost = false
  }

  disconnected(error: Error): void {
    if (!this.#isLost) printMessage(`the hub at ${this.#where} cannot be reached, waiting for it: ${messageOf(error)}`)
    this.#isLost = true
  }

  close(): void {}
}

const ENTER = '\u001B[?1049h\u001B[?25l'
const LEAVE = '\u001B[?25h\u001B[?1049l'
const HOME = '\u001B[H'
const REST_OF_LINE = '\u001B[K'
const REST_OF_SCREEN = '\u001B[J'

/**
 * Uses the whole terminal, and restores it at the end and while the program is stopped (Ctrl+Z). In the background it
 * draws nothing, because the terminal belongs to another program.
 */
export class FullScreen {
  readonly #lines: (columns: number) => readonly string[]
  readonly #redraw = () => this.draw()
  /** Whether the terminal shows what it showed before, and not these lines. */
  #isAway = true

  /** @param lines returns what is to be seen, in lines of at most so many columns */
  constructor(lines: (columns: number) => readonly string[]) {
    this.#lines = lines
    // Of the command line, only this class uses `process.stdout`. It needs the size of the terminal, and here no
    // command shares the descriptor.
    process.stdout.on('resize', this.#redraw)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#redraw)
  }

  close(): void {
    process.stdout.off('resize', this.#redraw)
    process.off('SIGTSTP', this.#suspend)
    process.off('SIGCONT', this.#redraw)
    this.#leave()
  }

  #leave(): void {
    if (!this.#isAway) printResult(LEAVE)
    this.#isAway = true
  }

  /**
   * Stops the process by the signal itself, because the shell waits for that. If the system does not stop the process,
   * the next call of {@link draw} shows the lines again.
   */
  readonly #suspend = () => {
    this.#leave()
    process.off('SIGTSTP', this.#suspend)
    process.kill(process.pid, 'SIGTSTP')
    process.on('SIGTSTP', this.#suspend)
  }

  draw(): void {
    if (!hasTerminal()) return
    if (this.#isAway) printResult(ENTER)
    this.#isAway = false
    const { columns, rows } = process.stdout
    const lines = this.#lines(columns)
    const shown = lines.slice(0, rows - 1)
    if (lines.length > rows - 1) shown.splice(-1, 1, `… ${lines.length - shown.length + 1} more`)
    printResult(`${HOME}${shown.map((one) => `${one}${REST_OF_LINE}\n`).join('')}${REST_OF_SCREEN}`)
  }
}

/** Shows the names as a table. */
export class TableScreen implements Screen {
  readonly #where: string
  readonly #paint = paintFor(1)
  readonly #screen = new FullScreen((columns) => this.#lines(columns))
  #listings: readonly Listing[] | undefined
  #trouble: string | undefined

  constructor(where: string) {
    this.#where = where
    this.#screen.draw()
  }

  show(listings: readonly Listing[]): void {
    this.#listings = listings
    this.#screen.draw()
  }

  connected(): void {
    this.#trouble = undefined
    this.#screen.draw()
  }

  disconnected(error: Error): void {
    this.#trouble = messageOf(error)
    this.#screen.draw()
  }

  close(): void {
    this.#screen.close()
  }

  #lines(columns: number): readonly string[] {
    const now = new Date()
    return [this.#title(now, columns), '', ...this.#body(now, columns)]
  }

  #title(now: Date, columns: number): string {
    const time = now.toTimeString().slice(0, 8)
    if (this.#trouble === undefined) return cutTo(`${time}  ${this.#where}`, columns)
    const state = this.#listings ? 'the hub is lost, waiting for it' : 'waiting for the hub'
    return this.#paint('red', cutTo(`${time}  ${this.#where}: ${state} (${this.#trouble})`, columns))
  }

  #body(now: Date, columns: number): string[] {
    if (!this.#listings) return this.#trouble === undefined ? ['connecting …'] : []
    if (this.#listings.length === 0) return ['no name is open or cancelled']
    return tableOfListings(this.#listings, this.#paint, now, columns)
  }
}
