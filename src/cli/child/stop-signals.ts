/** Signals a command under `calloff run` that it is cancelled, unless the terminal has signalled it: see run.ts. */
import process from 'node:process'
import { type CancellationError, type CancellationToken } from '../../index.js'
import { ProcessSignalToken, type RunningProcess } from '../../node/index.js'
import { hasTerminal } from '../terminal/foreground.js'

/** The signals that cancel a command. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** The signals that are for the command alone. They are passed on to it, unless the terminal has sent them to it. */
const PASSED_ON = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
/** The signals that a terminal sends to all processes in its foreground. */
const TYPED: ReadonlySet<NodeJS.Signals> = new Set(['SIGQUIT', 'SIGINT'])

/** From the cancellation to the end of the last process. */
export class Ending {
  /** Why the command was cancelled. Undefined while it is not cancelled; stays undefined if it ends first. */
  why: CancellationError | undefined
  /** Whether the terminal has sent the signal to the command itself. */
  isTold = false
  readonly #stops: (() => void)[] = []

  constructor(running: RunningProcess, ending: CancellationToken, cancelled: CancellationToken, grace: number) {
    const { child } = running
    const registration = cancelled.onCancel((why) => {
      this.tell(why)
      const finish = () => void ending.cancel(why)
      const kill = () => void running.kill(why)
      this.#listen(new ProcessSignalToken(...SIGNALS), kill)
      if (!this.isTold) {
        finish()
        return
      }
      // The terminal signals its foreground alone. Processes that left it, or ignored the signal, are asked when the
      // leader ends.
      child.once('exit', finish)
      this.#listen(cancelled.grace(grace / 2), finish)
      this.#listen(cancelled.grace(grace), kill)
    })
    // A command that ended first was not cancelled: a deadline a moment later does not count.
    child.once('exit', () => registration.stop())
    this.#stops.push(() => registration.stop())
  }

  /** Records that the command was cancelled. */
  tell(why: CancellationError): void {
    this.why = why
    this.isTold = why.kind === 'process-signal' && why.cause !== 'SIGTERM' && hasTerminal()
  }

  #listen(token: CancellationToken, callback: () => void): void {
    const registration = token.onCancel(callback)
    this.#stops.push(() => registration.stop())
  }

  stop(): void {
    for (const stop of this.#stops) stop()
  }
}

/** Passes the signals for the command alone, and `more`, on to it. Returns a function that ends this. */
export function passOn({ child }: RunningProcess, more: readonly NodeJS.Signals[]): () => void {
  if (process.platform === 'win32') return () => {}
  const signals = [...PASSED_ON, ...more]
  const handler = (signal: NodeJS.Signals) => {
    // A typed signal has reached the command already.
    if (!TYPED.has(signal) || !hasTerminal()) child.kill(signal)
  }
  for (const signal of signals) process.on(signal, handler)
  return () => {
    for (const signal of signals) process.off(signal, handler)
  }
}
