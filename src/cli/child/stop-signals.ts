/** How a command under `calloff run` is told that it is called off, and by whom it is told: see run.ts. */
import process from 'node:process'
import { type CancellationError, type CancellationToken } from '../../index.js'
import { ProcessSignalToken, type RunningProcess } from '../../node/index.js'
import { hasTerminal } from '../terminal/foreground.js'

/** What calls a command off. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** What concerns the command alone: passed on to it, where the terminal has not told it. */
const PASSED_ON = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
/** Of these, what a terminal tells all that are in its foreground. */
const TYPED: ReadonlySet<NodeJS.Signals> = new Set(['SIGQUIT', 'SIGINT'])

/** From the cancellation to the end of the last process. */
export class Ending {
  /** Why it was called off; undefined as long as it was not, and for good if it has ended before. */
  why: CancellationError | undefined
  /** The terminal has told the command itself. */
  isTold = false
  readonly #stops: (() => void)[] = []

  constructor(running: RunningProcess, ending: CancellationToken, calledOff: CancellationToken, grace: number) {
    const { child } = running
    const registration = calledOff.onCancel((why) => {
      this.tell(why)
      const finish = () => void ending.cancel(why)
      const kill = () => void running.kill(why)
      this.#listen(new ProcessSignalToken(...SIGNALS), kill)
      if (!this.isTold) {
        finish()
        return
      }
      // The terminal tells whom it has in its foreground: who has left that, or does not care, is told when the leader has gone.
      child.once('exit', finish)
      this.#listen(calledOff.grace(grace / 2), finish)
      this.#listen(calledOff.grace(grace), kill)
    })
    // It was not called off if it had ended before; the deadline of a moment later is of no interest.
    child.once('exit', () => registration.stop())
    this.#stops.push(() => registration.stop())
  }

  /** It was called off. */
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

/** Passes on to the command what concerns it alone, with `more`; gives what ends that. */
export function passOn({ child }: RunningProcess, more: readonly NodeJS.Signals[]): () => void {
  if (process.platform === 'win32') return () => {}
  const signals = [...PASSED_ON, ...more]
  const handler = (signal: NodeJS.Signals) => {
    // What was typed has reached it already.
    if (!TYPED.has(signal) || !hasTerminal()) child.kill(signal)
  }
  for (const signal of signals) process.on(signal, handler)
  return () => {
    for (const signal of signals) process.off(signal, handler)
  }
}
