/**
 * `calloff run`: a command under a sum of tokens.
 *
 * Who has the terminal. The command stays in our process group, so that it has the terminal as if we were not there: it reads from it,
 * is stopped and continued with us, and hears Ctrl+C from the terminal itself. So
 * 1. What the terminal has told everybody (SIGINT, SIGHUP) is not said to the command a second time: many programs take the second one
 *    for impatience. Who has not ended by half of the grace is asked in our own words, SIGTERM.
 * 2. What was said to us alone (`kill`, a name, a timeout) is passed on at once, as SIGTERM.
 * 3. A second signal kills at once; a third one ends us.
 *
 * Nothing here touches `process.stdin` and its like: see say.ts.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import process from 'node:process'
import { isatty } from 'node:tty'
import {
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  SimpleToken,
  TimeoutToken,
} from '../index.js'
import { lendToken, type ProcessReport, ProcessSignalToken, type RunningProcess, spawn } from '../node/index.js'
import type { RemoteToken, TokenHub } from '../remote/index.js'
import { byWhom, reasonText } from './describe.js'
import { formatDuration } from './duration.js'
import { CALLED_OFF, codeOfSignal, FAILED, NOT_EXECUTABLE, NOT_FOUND, type Outcome, TIMED_OUT } from './exit-codes.js'
import { Failure, UsageError } from './failures.js'
import { refuseChangedEnvironment } from './foreign-bytes.js'
import type { Given } from './given.js'
import { answered, checkName, close, connect, runOf } from './hub.js'
import { say } from './say.js'
import { visible } from './visible.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** What concerns the command alone: passed on to it, where the terminal has not told it. */
const PASSED_ON = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
const GRACE = 5_000
/** Milliseconds between two looks for the stop file. */
const PACE = 100

/** Who can call it off. */
interface Sources {
  readonly interrupted: ProcessSignalToken
  readonly timeout: TimeoutToken | undefined
  readonly stopFile: ConditionToken | undefined
  readonly remote: RemoteToken | undefined
}

/** `calloff run` */
export async function run(given: Given): Promise<Outcome> {
  const [command = '', ...args] = given.operands
  const name = given.text('name')
  if (
    name === undefined &&
    (given.text('run') !== undefined || given.text('hub') !== undefined || given.has('start'))
  ) {
    throw new UsageError('--hub, --run and --start are of no use without --name')
  }
  if (command === '') throw new UsageError('the command must not be empty')
  refuseChangedEnvironment()
  if (name !== undefined) checkName(name)
  using interrupted = new ProcessSignalToken(...SIGNALS)
  const connecting = name === undefined ? undefined : openName(given, name)
  const hub = connecting && (await interrupted.race(connecting).catch(unlessInterrupted(interrupted)))
  const path = given.text('stop-file')
  const within = given.duration('timeout')
  const sources: Sources = {
    interrupted,
    timeout: within === undefined ? undefined : new TimeoutToken(within),
    stopFile: path === undefined ? undefined : new ConditionToken(() => existsSync(path), { pollEvery: PACE }),
    remote: hub?.token,
  }
  try {
    return await runUnder(sources, command, args, given)
  } finally {
    if (hub) await close(hub.hub)
  }
}

async function openName(given: Given, name: string): Promise<{ readonly hub: TokenHub; readonly token: RemoteToken }> {
  const hub = await connect(given)
  const token = hub.open(name, runOf(given))
  try {
    await answered(given, 'nothing was started', token.ready)
  } catch (error) {
    await close(hub)
    throw error
  }
  return { hub, token }
}

function unlessInterrupted(interrupted: CancellationToken): (error: unknown) => undefined {
  return (error) => {
    if (!interrupted.cancelled) throw error
    return undefined
  }
}

async function runUnder(sources: Sources, command: string, args: readonly string[], given: Given): Promise<Outcome> {
  const tokens = Object.values(sources).filter((one): one is CancellationToken => one !== undefined)
  const calledOff = anyOf(...tokens)
  const grace = given.duration('grace') ?? GRACE
  const name = visible(basename(command))
  const tell = (text: string) => {
    if (!given.has('quiet')) say(text)
  }
  const early = calledOff.isCancelled({ direct: false }) ? calledOff.error : undefined
  if (early) {
    const again =
      sources.remote?.error === early
        ? `; to use the name again: calloff forget ${visible(given.text('name') ?? '')}`
        : ''
    tell(`${name} was not started, for it was called off ${wordsFor(early, sources, given)}${again}`)
    return codeFor(early, sources)
  }
  const ending = new SimpleToken({ name })
  // What is lent is the sum itself: who has it by `fromParent()` sees at once that it is over, and of what kind its end is.
  // Ctrl+C calls it off, so that who has it may finish in peace then, too.
  await using lent = await lendToken(calledOff, { name: given.text('name') ?? name, stopSignal: SIGNALS })
  const env = { ...process.env, ...lent.env }
  let running: RunningProcess
  try {
    running = await spawn(command, args, { token: ending, grace, stdio: 'inherit', foreground: true, env })
  } catch (error) {
    throw notStarted(command, error)
  }
  const stopPassing = passOn(running)
  const end = new Ending(running, ending, calledOff, grace)
  void sources.remote?.finished(running.ended)
  const report = await running.ended
  stopPassing()
  end.stop()
  const { why } = end
  if (!why) return report.code ?? (report.signal === null ? FAILED : codeOfSignal(report.signal))
  tell(`${name} was called off ${wordsFor(why, sources, given)}${howItWent(report, grace)}`)
  // A shell that runs us in a loop is to see that the user wants out of that, too.
  if (end.isTold && why.cause === 'SIGINT') return 'SIGINT'
  return codeFor(why, sources)
}

/** From the cancellation to the end of the last process. */
class Ending {
  /** Why it was called off; undefined as long as it was not, and for good if it has ended before. */
  why: CancellationError | undefined
  /** The terminal has told the command itself. */
  isTold = false
  readonly #stops: (() => void)[] = []

  constructor(running: RunningProcess, ending: CancellationToken, calledOff: CancellationToken, grace: number) {
    const { child } = running
    const registration = calledOff.onCancel((why) => {
      this.why = why
      this.isTold = why.kind === 'process-signal' && why.cause !== 'SIGTERM' && hasTerminal()
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

  #listen(token: CancellationToken, callback: () => void): void {
    const registration = token.onCancel(callback)
    this.#stops.push(() => registration.stop())
  }

  stop(): void {
    for (const stop of this.#stops) stop()
  }
}

/** Whether what is typed in a terminal is heard here, and so by the command as well. */
function hasTerminal(): boolean {
  try {
    // The group, and the one that the terminal talks to: the 5th and the 8th field, counted behind the name, which may have blanks.
    const fields = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ')
    return fields !== undefined && fields[2] === fields[5]
  } catch {
    return [0, 1, 2].some((descriptor) => isatty(descriptor))
  }
}

/** Gives what takes it back. */
function passOn({ child }: RunningProcess): () => void {
  if (process.platform === 'win32') return () => {}
  const handler = (signal: NodeJS.Signals) => {
    // Ctrl+\ has reached it already.
    if (signal !== 'SIGQUIT' || !hasTerminal()) child.kill(signal)
  }
  for (const signal of PASSED_ON) process.on(signal, handler)
  return () => {
    for (const signal of PASSED_ON) process.off(signal, handler)
  }
}

function notStarted(command: string, error: unknown): Failure {
  const shown = visible(command)
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new Failure(`${shown}: there is no such command`, NOT_FOUND)
  if (code === 'EACCES' || code === 'ENOEXEC' || code === 'EPERM')
    return new Failure(`${shown}: cannot be executed`, NOT_EXECUTABLE)
  return new Failure(visible(message), NOT_EXECUTABLE)
}

function codeFor(error: CancellationError, { interrupted, timeout }: Sources): number {
  if (interrupted.error === error) return interrupted.exitCode ?? 1
  return timeout?.error === error ? TIMED_OUT : CALLED_OFF
}

/** Who it was, and why. */
function wordsFor(error: CancellationError, { interrupted, timeout, stopFile, remote }: Sources, given: Given): string {
  if (interrupted.error === error) return `by ${interrupted.reason as string}`
  if (timeout?.error === error) return `after ${formatDuration(given.duration('timeout') ?? 0)} (--timeout)`
  if (stopFile?.error === error) return `by the stop file ${visible(given.text('stop-file') ?? '')}`
  const name = visible(given.text('name') ?? '')
  const why = reasonText(remote?.reason)
  return `as ${name}${remote?.who ? ` ${byWhom(remote.who)}` : ''}${why && `: ${why}`}`
}

function howItWent({ forced, left }: ProcessReport, grace: number): string {
  if (left.length > 0) return `; still there: process ${left.join(', ')}`
  return forced && grace > 0 ? `; it had to be killed` : ''
}
