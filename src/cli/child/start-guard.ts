/** A process that ends the tree of a command when this process is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { readEntryNow } from '../../system/process-table.js'
import { Failure } from '../terminal/errors.js'
import { DONE, type Guarded, type Started } from './guard-protocol.js'

const PROGRAM = fileURLToPath(new URL('guard.js', import.meta.url))

export class Guard {
  readonly #child: ChildProcess
  /** The value of `CALLOFF_TREE` for the environment of the command. */
  readonly mark: string

  private constructor(child: ChildProcess, mark: string) {
    this.#child = child
    this.mark = mark
  }

  /** Starts the guard, before the command. Errors: a {@link Failure} if it cannot be started. */
  static async start({ grace, ...more }: Omit<Guarded, 'mark'> & { readonly grace: number }): Promise<Guard> {
    // Without the mark of an outer `calloff run`, which would end the guard with its tree otherwise.
    const { CALLOFF_TREE: _mark, ...env } = process.env
    const child = spawn(process.execPath, [PROGRAM], { detached: true, env, stdio: ['pipe', 'ignore', 'inherit'] })
    // The guard may be killed as well.
    child.stdin.on('error', () => {})
    try {
      await once(child, 'spawn')
    } catch (error) {
      throw new Failure(`the guard could not be started: ${(error as Error).message}`)
    }
    child.unref()
    const guarded: Guarded = { ...more, mark: randomUUID(), grace: Number.isFinite(grace) ? grace : null }
    child.stdin.write(`${JSON.stringify(guarded)}\n`)
    return new Guard(child, guarded.mark)
  }

  /** Tells the guard that the command runs. */
  watch(pid: number): void {
    const started: Started = { pid, started: readEntryNow(pid)?.started }
    this.#child.stdin?.write(`${JSON.stringify(started)}\n`)
  }

  /** Tells the guard that nothing is left to guard. Resolves when the message is written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#child.stdin?.end(`${DONE}\n`, () => resolve()))
  }
}
