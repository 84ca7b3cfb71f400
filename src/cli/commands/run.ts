/**
 * `calloff run`: a command under a combined token.
 *
 * The command stays in our process group, so that it has the terminal as if we were not there. It reads from the
 * terminal, is stopped and continued with us, and receives Ctrl+C from the terminal itself. So
 * 1. A signal that the terminal has sent to its whole foreground (SIGINT, SIGHUP) is not sent to the command a second
 *    time: many programs take a second signal for impatience. Processes that have not ended after half of the grace are
 *    asked with SIGTERM.
 * 2. A cancellation that reached us alone (`kill`, a name, a timeout) is passed on at once, as SIGTERM.
 * 3. A second signal kills at once; a third one ends us.
 * 4. With --foreground, Ctrl+C is for the command alone and cancels nothing.
 * 5. If Ctrl+C ended the command, we end by the same signal, so that a shell that runs us in a loop sees that the user
 *    wants to end the loop.
 *
 * Nothing here uses `process.stdin`, `process.stdout` or `process.stderr`: see terminal/output.ts.
 */
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import process from 'node:process'
import {
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  SimpleToken,
  TimeoutToken,
} from '../../index.js'
import { lendToken, type ProcessReport, ProcessSignalToken, type RunningProcess, spawn } from '../../node/index.js'
import type { RemoteToken, TokenHub } from '../../remote/index.js'
import { byWhom, reasonText } from '../terminal/describe.js'
import { formatDuration } from '../terminal/duration.js'
import { givenDescriptors, stdioWith } from '../child/descriptors.js'
import { Ending, passOn, SIGNALS } from '../child/stop-signals.js'
import {
  CANCELLED,
  codeOfSignal,
  FAILED,
  NOT_EXECUTABLE,
  NOT_FOUND,
  type Outcome,
  TIMED_OUT,
} from '../terminal/exit-codes.js'
import { Failure, messageOf, UsageError } from '../terminal/errors.js'
import { leaveFirstPlace } from '../child/first-process.js'
import { refuseChangedEnvironment } from '../arguments/argument-bytes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { answered, checkName, close, connect, runIdOf } from '../connect/hub.js'
import { printMessage } from '../terminal/output.js'
import type { Guard } from '../child/start-guard.js'
import { hasTerminal } from '../terminal/foreground.js'
import { visible } from '../terminal/visible.js'

const GRACE = 5_000
/** Milliseconds between two reads of whether the stop file exists. */
const PACE = 100

/** The tokens that can cancel the command. */
interface Sources {
  readonly interrupted: ProcessSignalToken
  readonly timeout: TimeoutToken | undefined
  readonly stopFile: ConditionToken | undefined
  readonly remote: RemoteToken | undefined
}

/** `calloff run` */
export async function run(given: ParsedArguments): Promise<Outcome> {
  const [command = '', ...args] = given.operands
  const name = given.text('name')
  if (
    name === undefined &&
    (given.text('run-id') !== undefined ||
      given.text('hub') !== undefined ||
      given.has('start') ||
      given.has('replace'))
  ) {
    throw new UsageError('--hub, --run-id, --start and --replace need --name')
  }
  if (command === '') throw new UsageError('the command must not be empty')
  refuseChangedEnvironment()
  leaveFirstPlace()
  const descriptors = givenDescriptors()
  if (name !== undefined) checkName(name)
  const isForeground = given.has('foreground')
  using interrupted = new ProcessSignalToken(...SIGNALS.filter((one) => !isForeground || one !== 'SIGINT'))
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
    return await runUnder(sources, command, args, given, stdioWith(descriptors))
  } finally {
    if (hub) await close(hub.hub)
  }
}

async function openName(
  given: ParsedArguments,
  name: string,
): Promise<{ readonly hub: TokenHub; readonly token: RemoteToken }> {
  const hub = await connect(given)
  try {
    const token = given.has('replace') ? await replaceBy(hub, given, name) : hub.open(name, runIdOf(given))
    await answered(given, 'nothing was started', token.ready)
    return { hub, token }
  } catch (error) {
    await close(hub)
    throw error
  }
}

/** Cancels what runs under the name, and waits until it has ended. Says so if that takes long. */
async function replaceBy(hub: TokenHub, given: ParsedArguments, name: string): Promise<RemoteToken> {
  const token = hub.open(name, { ...runIdOf(given), replace: true })
  const tell = setTimeout(() => {
    if (!given.has('quiet')) printMessage(`waiting until what runs under ${visible(name)} has ended`)
  }, 1_000)
  try {
    await token.ready
    return token
  } catch (error) {
    throw new Failure(`nothing was started: ${messageOf(error)}`)
  } finally {
    clearTimeout(tell)
  }
}

function unlessInterrupted(interrupted: CancellationToken): (error: unknown) => undefined {
  return (error) => {
    if (!interrupted.cancelled) throw error
    return undefined
  }
}

async function runUnder(
  sources: Sources,
  command: string,
  args: readonly string[],
  given: ParsedArguments,
  stdio: ('inherit' | 'ignore')[],
): Promise<Outcome> {
  const tokens = Object.values(sources).filter((one): one is CancellationToken => one !== undefined)
  const cancelled = anyOf(...tokens)
  const grace = given.duration('grace') ?? GRACE
  const signal = given.signal('signal') ?? 'SIGTERM'
  const name = visible(basename(command))
  const tell = (text: string) => {
    if (!given.has('quiet')) printMessage(text)
  }
  const early = cancelled.isCancelled({ direct: false }) ? cancelled.error : undefined
  if (early) {
    const again =
      sources.remote?.error === early
        ? `; to use the name again: calloff forget ${visible(given.text('name') ?? '')}`
        : ''
    tell(`${name} was not started, because it was cancelled ${wordsFor(early, sources, given)}${again}`)
    return codeFor(early, sources)
  }
  const ending = new SimpleToken({ name })
  // The combined token itself is lent: a child that gets it by `fromParent()` sees at once that it is cancelled, and
  // the kind. Ctrl+C cancels it, so that such a child can clean up then, too.
  const peaceful = [...SIGNALS, ...(signal === 'SIGKILL' || signal === 'SIGSTOP' ? [] : [signal])]
  await using lent = await lendToken(cancelled, { name: given.text('name') ?? name, stopSignal: peaceful })
  await using guard = given.has('guard')
    ? await startGuard({ name, signal, grace, isQuiet: given.has('quiet') })
    : undefined
  const marks = [process.env['CALLOFF_TREE'], guard?.mark].filter(Boolean).join(' ')
  const env = { ...process.env, ...lent.env, ...(marks && { CALLOFF_TREE: marks }) }
  let running: RunningProcess
  try {
    running = await spawn(command, args, { token: ending, grace, stopSignal: signal, stdio, foreground: true, env })
  } catch (error) {
    throw notStarted(command, error)
  }
  guard?.watch(running.pid)
  const stopPassing = passOn(running, given.has('foreground') ? ['SIGINT'] : [])
  const end = new Ending(running, ending, cancelled, grace)
  void sources.remote?.finished(running.ended)
  const report = await running.ended
  // After Ctrl+C the end of the command may be seen before the signal, which then arrives within a turn.
  const isTyped = hasTerminal()
  if (isTyped && !end.why) await turns(2)
  stopPassing()
  end.stop()
  const { interrupted } = sources
  if (isTyped && !end.why && interrupted.reason === 'SIGINT' && interrupted.error) end.tell(interrupted.error)
  const { why } = end
  if (why) tell(`${name} was cancelled ${wordsFor(why, sources, given)}${howItWent(report, grace)}`)
  const isInterrupted = why ? end.isTold && why.cause === 'SIGINT' : isTyped && report.signal === 'SIGINT'
  if (isInterrupted) return 'SIGINT'
  if (why) return codeFor(why, sources)
  return report.code ?? (report.signal === null ? FAILED : codeOfSignal(report.signal))
}

async function startGuard(about: Parameters<typeof Guard.start>[0]): Promise<Guard> {
  if (process.platform === 'win32') throw new UsageError('--guard does not work on Windows')
  return await (await import('../child/start-guard.js')).Guard.start(about)
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

function notStarted(command: string, error: unknown): Failure {
  const shown = visible(command)
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new Failure(`${shown}: the command does not exist`, NOT_FOUND)
  if (code === 'EACCES' || code === 'ENOEXEC' || code === 'EPERM')
    return new Failure(`${shown}: cannot be executed`, NOT_EXECUTABLE)
  return new Failure(visible(message), NOT_EXECUTABLE)
}

function codeFor(error: CancellationError, { interrupted, timeout }: Sources): number {
  if (interrupted.error === error) return interrupted.exitCode ?? 1
  return timeout?.error === error ? TIMED_OUT : CANCELLED
}

/** What cancelled it, and why. */
function wordsFor(
  error: CancellationError,
  { interrupted, timeout, stopFile, remote }: Sources,
  given: ParsedArguments,
): string {
  if (interrupted.error === error) return `by ${interrupted.reason as string}`
  if (timeout?.error === error) return `after ${formatDuration(given.duration('timeout') ?? 0)} (--timeout)`
  if (stopFile?.error === error) return `by the stop file ${visible(given.text('stop-file') ?? '')}`
  const name = visible(given.text('name') ?? '')
  const why = remote?.kind === 'superseded' ? 'another run replaces it' : reasonText(remote?.reason)
  return `as ${name}${remote?.who ? ` ${byWhom(remote.who)}` : ''}${why && `: ${why}`}`
}

function howItWent({ forced, left }: ProcessReport, grace: number): string {
  if (left.length > 0) return `; still running: process ${left.join(', ')}`
  return forced && grace > 0 ? `; it had to be killed` : ''
}
