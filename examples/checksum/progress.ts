import type { CancellationToken } from 'calloff'
import { bytes, count, duration } from './units.js'
import { printable } from './words.js'

/** Says how far it has got: in a terminal in one line that is rewritten, else in plain lines now and then. */
export class Progress {
  files = 0
  bytes = 0
  /** What is being worked on. */
  current = ''
  readonly #start = performance.now()
  readonly #terminal: boolean
  readonly #output: NodeJS.WriteStream

  constructor(output: NodeJS.WriteStream) {
    this.#output = output
    this.#terminal = output.isTTY
  }

  /** Shows it until the token is cancelled. */
  async show(token: CancellationToken): Promise<void> {
    for await (const _ of token.every(this.#terminal ? 100 : 1_000)) this.#draw(token.remaining)
    this.#clear()
  }

  /** Prints a line of its own. */
  say(line: string): void {
    this.#clear()
    this.#output.write(`${line}\n`)
  }

  /** `'1,234 files, 56.7 MB in 2.0 s (617 files/s, 28.3 MB/s)'` */
  get summary(): string {
    const ms = performance.now() - this.#start
    const rate = `${count((this.files / ms) * 1_000)} files/s, ${bytes((this.bytes / ms) * 1_000)}/s`
    return `${count(this.files)} ${this.files === 1 ? 'file' : 'files'}, ${bytes(this.bytes)} in ${duration(ms)} (${rate})`
  }

  #draw(remaining: number): void {
    const left = remaining === Infinity ? '' : `, ${duration(remaining)} left`
    const line = `${this.summary}${left}`
    if (!this.#terminal) return void this.#output.write(`${line}\n`)
    const width = (this.#output.columns || 80) - 1
    const room = Math.max(0, width - line.length - 2)
    const current = printable(this.current)
    const tail = current.length <= room ? current : `…${current.slice(current.length - room + 1)}`
    this.#output.write(`\r\x1B[K${`${line}  ${tail}`.slice(0, width)}`)
  }

  #clear(): void {
    if (this.#terminal) this.#output.write('\r\x1B[K')
  }
}
