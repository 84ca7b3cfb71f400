import { type ChildProcess, spawn as start, type SpawnOptions as NodeSpawnOptions } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Socket } from 'node:net'
import process from 'node:process'
import type { Readable, Writable } from 'node:stream'
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from '../../core/arguments.js'
import { often } from '../../core/clock.js'
import type { CancellationError } from '../../core/errors.js'
import type { TokenLike } from '../../core/tokens/from.js'
import { type CancellationToken, type Registration, SimpleToken } from '../../core/token.js'
import { watchForUnnamed } from './exit-status.js'
import { watchOver } from '../signals/on-exit.js'
import { ProcessError } from './errors.js'
import { type Ending, type Leader, ProcessTree, type TreeOptions } from '../../system/process-tree.js'
import type { PreparedToken } from '../lending/lend-token.js'
import { signalArgument, TOKEN_FOR_SIGNAL, tokenArgument } from '../context/token-argument.js'

/** How to start a child process, and how to end it. */
export interface SpawnOptions extends Pick<
  NodeSpawnOptions,
  'argv0' | 'cwd' | 'env' | 'gid' | 'shell' | 'stdio' | 'uid' | 'windowsHide' | 'windowsVerbatimArguments'
> {
  /** Cancels it: a token, or whatever `from()` takes. Default: none. */
  readonly token?: TokenLike | undefined
  /** For messages, and the name of its own token. Default: the command. */
  readonly name?: string | undefined
  /**
   * Milliseconds between asking the processes to end and killing them. 0 kills at once, `Infinity` never does. Windows cannot
   * ask. Default: 5,000.
   */
  readonly grace?: number | undefined
  /** The signal that asks. Default: `'SIGTERM'`. */
  readonly stopSignal?: NodeJS.Signals | undefined
  /**
   * What becomes of processes it has left behind when it ends by itself: `'wait'` for those that hold its output (as
   * Node does; the others are daemons and stay), `'end'` all of them, or `'leave'` them, whatever they hold. Default: `'wait'`.
   */
  readonly leftovers?: 'wait' | 'end' | 'leave' | undefined
  /**
   * It stays in the foreground of the terminal, and can read from it (an editor, a password): no process group of its own.
   * Ctrl+C reaches it directly, and its tree is found through the table of processes alone. Default: false.
   */
  readonly foreground?: boolean | undefined
  /**
   * It, and whatever it starts, can have the token by `fromParent()`: to see the cancel in a loop, to know who and why, and to
   * finish in peace, since a program that has the token is not ended by `stopSignal`, only killed after `grace`. Default: false.
   */
  readonly lend?: boolean | undefined
}

export const SPAWN_OPTIONS: NamesOf<SpawnOptions> = [
  'token',
  'name',
  'grace',
  'stopSignal',
  'leftovers',
  'foreground',
  'lend',
  'argv0',
  'cwd',
  'env',
  'gid',
  'shell',
  'stdio',
  'uid',
  'windowsHide',
  'windowsVerbatimArguments',
]

/** What Node's functions take in its place, and would act upon without calloff's knowing. */
export const NOT_OF_NODE: Readonly<Record<string, string>> = {
  ...TOKEN_FOR_SIGNAL,
  timeout: 'give a TimeoutToken as "token"',
  killSignal: 'give "stopSignal"',
  detached: 'the process has a group of its own, unless "foreground" is true; "leftovers" says what may outlive it',
  serialization: 'messages are the business of fork() of node:child_process',
}

/** What only `run` takes. */
const OF_RUN = Object.fromEntries(['input', 'encoding', 'maxBuffer', 'check'].map((name) => [name, 'run() takes it']))

/** What has become of a child process. */
export interface ProcessReport {
  readonly pid: number
  /** Its exit code; null if a signal has ended it. */
  readonly code: number | null
  /** The signal that has ended it, or null. Null, as the code is, if the signal has no name: a real-time signal; see docs/child-processes.md. */
  readonly signal: NodeJS.Signals | null
  /** Who cancelled it, and why: the error of its token. Undefined if it has ended by itself. */
  readonly calledOff: CancellationError | undefined
  /** It had to be killed: asking was not enough. */
  readonly forced: boolean
  /** The processes that could not be ended: of another user, or held by the kernel. Mostly none. */
  readonly left: readonly number[]
}

/** A child process that is running. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number
  /** Node's own, for what is not here. Its `kill()` signals that one process, not its tree. */
  readonly child: ChildProcess
  /** Null where `stdio` has no pipe for it. */
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /** Its own token, below the one that was given: cancelling it ends the tree. */
  readonly token: CancellationToken
  /** What has become of it, when it has really gone. Never rejects. */
  readonly ended: Promise<ProcessReport>
  /** Ends the tree, as the token's cancellation does; resolves when it has gone. */
  end(reason?: unknown): Promise<ProcessReport>
  /** Kills the tree, without asking it first; or without waiting any longer, where it was asked already. Resolves when it has gone. */
  kill(reason?: unknown): Promise<ProcessReport>
  /** Ends the tree (kind `'dispose'`), and waits until it has gone. */
  [Symbol.asyncDispose](): Promise<void>
}

/** The name of the mark in the environment of a child process: see system/process-tree.ts. */
const MARK = 'CALLOFF_TREE'
const GRACE = 5_000
/** Milliseconds between two looks at what is read, after the end; so many without anything are enough, and so many in all. */
const PACE = 25
const QUIET = 4
const LOOKS = 40
const LEFTOVERS: ReadonlySet<unknown> = new Set(['wait', 'end', 'leave'])
const isWindows = process.platform === 'win32'

/** What the system is asked for. */
interface Line {
  readonly command: string
  readonly args: readonly string[]
  readonly options: NodeSpawnOptions
}

/** What we were given, checked. */
interface Checked extends Line {
  /** Its own, below the one that was given. */
  readonly token: CancellationToken
  readonly name: string
  readonly isLent: boolean
  readonly leftovers: 'wait' | 'end' | 'leave'
  readonly tree: TreeOptions
}

function check(command: string, args: readonly string[], given: SpawnOptions | undefined): Checked {
  if (typeof command !== 'string') throw wrongType('command', 'a string', command)
  if (command === '') throw new RangeError('command must not be empty')
  if (!Array.isArray(args)) throw wrongType('args', 'an array of strings', args)
  for (const one of args as readonly unknown[]) if (typeof one !== 'string') throw wrongType('args', 'strings', one)
  checkText('command', command)
  for (const [at, one] of args.entries()) checkText(`args[${at}]`, one)
  const options = optionsOf(given, SPAWN_OPTIONS, { ...NOT_OF_NODE, ...OF_RUN })
  const { token, name, grace, stopSignal, leftovers, foreground, lend, ...passed } = options
  const signal = signalArgument('stopSignal', stopSignal) ?? 'SIGTERM'
  if (leftovers !== undefined && !LEFTOVERS.has(leftovers)) {
    throw wrongType('leftovers', "'wait', 'end' or 'leave'", leftovers)
  }
  const { argv0, cwd } = passed
  checkText('argv0', argv0)
  checkText('cwd', cwd)
  for (const [key, value] of Object.entries(passed.env ?? {})) {
    checkText(`the name ${JSON.stringify(key)} in env`, key)
    checkText(`env[${JSON.stringify(key)}]`, value)
  }
  const mark = randomUUID()
  const env = passed.env ?? process.env
  const hasGroup = !isWindows && optional('foreground', 'boolean', foreground) !== true
  return {
    command,
    args,
    options: {
      windowsHide: true,
      ...passed,
      // Marks of those above stay: whoever has started us wants to find ours as well.
      env: isWindows ? env : { ...env, [MARK]: [env[MARK], mark].filter(Boolean).join(' ') },
      detached: hasGroup,
    },
    token: new SimpleToken({ name: optional('name', 'string', name) ?? command }, tokenArgument(token)),
    name: name ?? command,
    isLent: optional('lend', 'boolean', lend) ?? false,
    leftovers: leftovers ?? 'wait',
    tree: { hasGroup, mark, signal, grace: optionalNonNegative('grace', grace) ?? GRACE },
  }
}

/** Half of a character cannot be written as UTF-8: the program would be given something else. */
function checkText(argument: string, value: unknown): void {
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw wrongType(argument, 'text that can be written as UTF-8', value)
  }
}

/**
 * Starts a child process under a token: when the token is cancelled, the process and everything it has started are asked to
 * end (`SIGTERM`), and killed after `grace`.
 *
 * Timing: resolves when the process is running; `ended` resolves when it has really gone, with all that it had started if
 * it was cancelled. The signal is sent inside the call that cancels.
 *
 * Errors: rejects with the token's error, and starts nothing, if the token is over; with a {@link ProcessError} that has the
 * system's `code` (`'ENOENT'`) if it could not be started; with a `TypeError` that names the argument if that cannot be passed on as it is
 * (half of a surrogate pair, a NUL). Errors of its pipes are nobody's (a program that has gone reads
 * no input); reading them tells.
 *
 * Memory: nothing is left on the token when it has ended. While it runs, the program keeps going, and has listeners to
 * SIGINT, SIGTERM and SIGHUP, which pass these on where nobody else listens: the process has a group of its own, which a
 * terminal does not signal.
 *
 * @example
 * ```ts
 * import process from 'node:process'
 * import { SimpleToken } from 'calloff'
 * import { spawn } from 'calloff/node'
 *
 * const token = new SimpleToken()
 * const child = await spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { token, stdio: 'ignore' })
 * token.cancel('enough')
 * const { signal, calledOff } = await child.ended
 * console.log(signal, calledOff?.message) // → SIGTERM token was cancelled: enough
 * ```
 */
export async function spawn(
  command: string,
  args: readonly string[] = [],
  options?: SpawnOptions,
): Promise<RunningProcess> {
  const checked = check(command, args, options)
  refuseIfOver(checked.token)
  const line = isWindows ? await forWindows(checked) : checked
  const lent = checked.isLent ? await lendTo(checked) : undefined
  try {
    refuseIfOver(checked.token)
    const env = { ...line.options.env, ...lent?.env }
    return await begin(checked, { ...line, options: { ...line.options, env } }, lent)
  } catch (error) {
    await lent?.close()
    throw error
  }
}

async function lendTo({ token, tree }: Checked): Promise<PreparedToken> {
  const { prepareToLend } = await import('../lending/lend-token.js')
  return prepareToLend(token, { stopSignal: tree.signal })
}

/** An indirect poll: a counter is for turns, not for what is started once. */
function refuseIfOver(token: CancellationToken): void {
  if (token.isCancelled({ direct: false })) throw token.error
}

/** What Windows can start: it knows no `#!`, and runs scripts (`.cmd`, as npm makes them) through a shell alone. */
async function forWindows({ command, args, options }: Line): Promise<Line> {
  if (options.shell !== undefined && options.shell !== false) return { command, args, options }
  const { normalizeSpawnCommand } = await import('tinyexec')
  return normalizeSpawnCommand(command, args, options)
}

/** Resolves as soon as the system has said that it runs. */
function begin(checked: Checked, { command, args, options }: Line, lent?: PreparedToken): Promise<RunningProcess> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(notStarted(checked, error))
    try {
      const child = start(command, args, options)
      // For good: what is heard later (a message that could not be sent) is nobody's.
      child.on('error', refuse)
      if (child.pid === undefined) return
      // At once: it may be cancelled, or end, before we are told that it runs.
      const running = new Running(child, child.pid, checked, lent)
      child.once('spawn', () => resolve(running))
    } catch (error) {
      if (typeof (error as NodeJS.ErrnoException).syscall === 'string') refuse(error as NodeJS.ErrnoException)
      else reject(error)
    }
  })
}

function notStarted({ command, options: { cwd } }: Checked, cause: NodeJS.ErrnoException): ProcessError {
  // The system says the same of both.
  const isFolder = cause.code === 'ENOENT' && cwd !== undefined && !existsSync(cwd)
  const what = isFolder ? `the folder ${String(cwd)} is not there` : cause.message
  return new ProcessError(`${command} could not be started: ${what}`, { code: cause.code ?? 'UNKNOWN', command, cause })
}

class Running implements RunningProcess {
  readonly pid: number
  readonly child: ChildProcess
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  readonly token: CancellationToken
  readonly ended: Promise<ProcessReport>
  readonly #tree: ProcessTree

  constructor(
    child: ChildProcess,
    pid: number,
    { token, name, leftovers, tree: options }: Checked,
    lent?: PreparedToken,
  ) {
    this.pid = pid
    this.child = child
    this.stdin = child.stdin
    this.stdout = child.stdout
    this.stderr = child.stderr
    this.token = token
    // A program that has gone reads no input.
    for (const stream of child.stdio) stream?.on('error', () => {})

    const isUnnamed = watchForUnnamed(child)
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    const leader: Leader = {
      pid,
      hasEnded: () => child.exitCode !== null || child.signalCode !== null,
      onEnd: (hear) => void exited.then(hear),
    }
    const tree = (this.#tree = new ProcessTree(leader, options))
    const letGo = watchOver(tree)
    let registration: Registration | undefined
    let error: CancellationError | undefined
    const calledOff = new Promise<Ending>((resolve) => {
      registration = this.token.onCancel((why) => {
        error = why
        resolve(tree.end())
      })
    })
    // After the signal has been sent: a program that learned of it before could have ended by the time it comes, and would die of it.
    lent?.begin()
    const byItself = exited.then(() => (leftovers === 'wait' ? closed : undefined)).then(() => undefined)

    const live = async (): Promise<ProcessReport> => {
      let how: Ending | undefined = await Promise.race([byItself, calledOff])
      registration?.stop()
      // It may have gone before the ending was over.
      if (error) how ??= await calledOff
      else if (leftovers === 'end') how = await tree.end()
      await drain(child, closed, error)
      await lent?.close()
      letGo()
      if (how?.left.length) giveUp(name, how.left, child)
      return {
        pid,
        code: isUnnamed() ? null : child.exitCode,
        signal: child.signalCode,
        calledOff: error,
        forced: how?.forced ?? false,
        left: how?.left ?? [],
      }
    }
    this.ended = live()
  }

  end(reason?: unknown): Promise<ProcessReport> {
    this.token.cancel(reason)
    return this.ended
  }

  kill(reason?: unknown): Promise<ProcessReport> {
    this.#tree.hurry()
    return this.end(reason)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.token[Symbol.dispose]()
    await this.ended
  }
}

function bytesReadFrom({ stdio }: ChildProcess): number {
  return (stdio as (Partial<Socket> | null)[]).reduce((sum, one) => sum + (one?.bytesRead ?? 0), 0)
}

/** Reads what is still in its pipes. Whoever holds them open for longer, or does not read them, is not waited for. */
function drain(child: ChildProcess, closed: Promise<void>, error: CancellationError | undefined): Promise<void> {
  return new Promise((resolve) => {
    let read = bytesReadFrom(child)
    let quiet = 0
    let looks = 0
    const finish = () => {
      stop()
      resolve()
    }
    // The event loop has turned between two looks: had there been anything to read, it would have been.
    const look = () => {
      const before = read
      read = bytesReadFrom(child)
      quiet = read === before ? quiet + 1 : 0
      if (quiet < QUIET && ++looks < LOOKS) return
      for (const stream of child.stdio) stream?.destroy(error)
      finish()
    }
    const stop = often(look, PACE)
    void closed.then(finish)
  })
}

/** Says so, for whoever is waiting hears of the cancellation alone; and does not hold the program back. */
function giveUp(name: string, left: readonly number[], child: ChildProcess): void {
  child.unref()
  process.emitWarning(`${name} could not be ended; still running: ${left.join(', ')}`, {
    type: 'CalloffWarning',
    code: 'CALLOFF_PROCESS_LEFT',
  })
}
