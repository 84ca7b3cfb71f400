// How the processes of a measurement speak to each other off the clock: a line of JSON each, over the standard streams.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Milliseconds until a process that was to answer has given up. */
const PATIENCE = 60_000

/** What the present runtime is started with: what Node and Bun say, and Deno does not. */
const flags = globalThis.Deno
  ? ['run', '--allow-all', '--no-lock', '--quiet', '--v8-flags=--expose-gc']
  : process.execArgv

/** A process that does as it is told: `ask` sends an order, and resolves with its answer. */
export class Helper {
  #child
  #lines
  #waiting = []
  #complaint = ''

  /** @param {string} file Of this folder, run on the present runtime. */
  static start(file) {
    return new Helper(process.execPath, [...flags, fileURLToPath(new URL(file, import.meta.url))])
  }

  /** @param {string} file Of this folder. @param {string} given */
  static python(file, given) {
    return new Helper('python3', [fileURLToPath(new URL(file, import.meta.url)), given])
  }

  constructor(command, given) {
    this.#child = spawn(command, given, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.#complaint += text))
    this.#child.stdin.on('error', () => {})
    this.#child.on('error', (error) => this.#end(error.message))
    this.#child.on('close', () => this.#end(this.#complaint.trim() || 'it has ended'))
    this.#lines = createInterface({ input: this.#child.stdout })
    this.#lines.on('line', (line) => {
      const { error, ...answer } = JSON.parse(line)
      const { resolve, reject } = this.#waiting.shift() ?? {}
      if (error) reject?.(new Error(error))
      else resolve?.(answer)
    })
  }

  /** Answers come in the order of the orders. */
  ask(order) {
    if (order) this.#child.stdin.write(`${JSON.stringify(order)}\n`)
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#end(`no answer to ${JSON.stringify(order)}`), PATIENCE)
      const settled = (settle) => (value) => {
        clearTimeout(late)
        settle(value)
      }
      this.#waiting.push({ resolve: settled(resolve), reject: settled(reject) })
    })
  }

  #end(why) {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(`a process of the measurement: ${why}`))
  }

  /** Its input ends, and so does it. */
  end() {
    this.#child.stdin.end()
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return resolve()
      const late = setTimeout(() => this.#child.kill('SIGKILL'), 2_000)
      this.#child.once('close', () => {
        clearTimeout(late)
        resolve()
      })
    })
  }
}

/** On the other side: obeys until its input ends. An order gives its answer, or nothing. */
export function obey(orders) {
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
  const work = async ({ do: what, ...order }) => {
    try {
      say((await orders[what](order)) ?? {})
    } catch (error) {
      say({ error: error?.stack ?? String(error) })
    }
  }
  createInterface({ input: process.stdin })
    .on('line', (line) => void work(JSON.parse(line)))
    .on('close', () => process.exit(0))
}
