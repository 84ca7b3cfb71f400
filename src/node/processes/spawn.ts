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
  /** The token that cancels the process, or any value that `from()` accepts. Default: none. */
  readonly token?: TokenLike | undefined
  /** The name in messages, and the name of the process's own token. Default: the command. */
  readonly name?: string | undefined
  /**
   * Milliseconds between asking the processes to end and killing them. 0 kills at once, `Infinity` never kills. On
   * Windows processes cannot be asked. Default: 5,000.
   */
  readonly grace?: number | undefined
  /** The signal that asks the processes to end. Default: `'SIGTERM'`. */
  readonly stopSignal?: NodeJS.Signals | undefined
  /**
   * What happens to processes that the child has started and that still run when the child ends by itself. `'wait'`
   * waits for those that hold its output, as Node does. The others are daemons and continue. `'end'` ends all of them.
   * `'leave'` leaves all of them, even those that hold its output. Default: `'wait'`.
   */
  readonly leftovers?: 'wait' | 'end' | 'leave' | undefined
  /**
   * Keeps the child in the foreground of the terminal, so that it can read from the terminal (an editor, a password).
   * The child then has no process group of its own: Ctrl+C reaches it directly, and its tree is found through the table
   * of processes alone. Default: false.
   */
  readonly foreground?: boolean | undefined
  /**
   * Lends the token to the child. The child, and all processes that it starts, can then get the token by
   * `fromParent()`. They can see the cancellation in a loop, read who cancelled and why, and finish their cleanup:
   * `stopSignal` does not end a program that has the token. It is only killed after `grace`. Default: false.
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

/** Options of Node's functions that `spawn` replaces. Node would act on them without calloff knowing. */
export const NOT_OF_NODE: Readonly<Record<string, string>> = {
  ...TOKEN_FOR_SIGNAL,
  timeout: 'give a TimeoutToken as "token"',
  killSignal: 'give "stopSignal"',
  detached: 'the process has a group of its own, unless "foreground" is true; "leftovers" says what may outlive it',
  serialization: 'messages are the business of fork() of node:child_process',
}

/** The options that only `run` accepts. */
const OF_RUN = Object.fromEntries(['input', 'encoding', 'maxBuffer', 'check'].map((name) => [name, 'run() takes it']))

/** How a child process has ended. */
export interface ProcessReport {
  readonly pid: number
  /** Its exit code. Null if a signal has ended it. */
  readonly code: number | null
  /**
   * The signal that has ended it, or null. Both `signal` and `code` are null for a signal without a name (a real-time
   * signal): see docs/guides/child-processes.md.
   */
  readonly signal: NodeJS.Signals | null
  /** The error of its token, which says who cancelled it and why. Undefined if the process has ended by itself. */
  readonly calledOff: CancellationError | undefined
  /** True if the process had to be killed, because asking was not enough. */
  readonly forced: boolean
  /**
   * The ids of the processes that could not be ended: those of another user, or those that the kernel holds. Usually
   * empty.
   */
  readonly left: readonly number[]
}

/** A child process that is running. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number
  /** The child process of Node, for its other features. Its `kill()` signals that one process, not its tree. */
  readonly child: ChildProcess
  /** Null if `stdio` has no pipe for it. */
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /** The process's own token, a child of the given token. Cancelling it ends the tree. */
  readonly token: CancellationToken
  /** Resolves with the report when the process has ended. Never rejects. */
  readonly ended: Promise<ProcessReport>
  /** Ends the tree, as a cancellation of the token does. Resolves when the tree has ended. */
  end(reason?: unknown): Promise<ProcessReport>
  /**
   * Kills the tree without asking it first. If it was asked already, kills it without waiting for the rest of `grace`.
   * Resolves when the tree has ended.
   */
  kill(reason?: unknown): Promise<ProcessReport>
  /** Ends the tree (kind `'dispose'`), and waits until it has ended. */
  [Symbol.asyncDispose](): Promise<void>
}

/** The name of the variable that marks the environment of a child process: see system/process-tree.ts. */
const MARK = 'CALLOFF_TREE'
const GRACE = 5_000
/**
 * After the end, the pipes are checked every `PACE` milliseconds: until `QUIET` checks in a row find nothing, at most
 * `LOOKS` times.
 */
const PACE = 25
const QUIET = 4
const LOOKS = 40
const LEFTOVERS: ReadonlySet<unknown> = new Set(['wait', 'end', 'leave'])
const isWindows = process.platform === 'win32'

/** What to start. */
interface Line {
  readonly command: string
  readonly args: readonly string[]
  readonly options: NodeSpawnOptions
}

/** The checked arguments. */
interface Checked extends Line {
  /** The process's own token, a child of the given token. */
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
      // The marks of outer trees are kept, because the process that started this one must find this child as well.
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

/** Refuses half of a surrogate pair: it cannot be written as UTF-8, so the program would receive other text. */
function checkText(argument: string, value: unknown): void {
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw wrongType(argument, 'text that can be written as UTF-8', value)
  }
}

/**
 * Starts a child process under a token. When the token is cancelled, the process and all processes that it has started
 * are asked to end (`SIGTERM`). Those that still run after `grace` are killed.
 *
 * Timing: resolves when the process is running. `ended` resolves when the process has ended. If it was cancelled,
 * `ended` also waits for all processes that it had started. The signal is sent inside the call that cancels.
 *
 * Errors: rejects with the token's error, and starts nothing, if the token is already cancelled. Rejects with a
 * {@link ProcessError} that has the system's `code` (`'ENOENT'`) if the process could not be started. Rejects with a
 * `TypeError` that names the argument if an argument cannot be passed on unchanged (half of a surrogate pair, a NUL).
 * Errors of the child's pipes are not reported (for example, a program that has ended reads no input). Reading from the
 * pipes reports them.
 *
 * Memory: nothing is left on the token when the process has ended. While the process runs, this process stays alive and
 * listens to SIGINT, SIGTERM and SIGHUP. It passes these signals on if there is no other listener: the child has a
 * process group of its own, which a terminal does not signal.
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

/** Polls indirectly: a counter counts turns, not single starts. */
function refuseIfOver(token: CancellationToken): void {
  if (token.isCancelled({ direct: false })) throw token.error
}

/**
 * Returns a command line that Windows can start. Windows ignores `#!`, and runs scripts (`.cmd`, as npm creates them)
 * only through a shell.
 */
async function forWindows({ command, args, options }: Line): Promise<Line> {
  if (options.shell !== undefined && options.shell !== false) return { command, args, options }
  const { normalizeSpawnCommand } = await import('tinyexec')
  return normalizeSpawnCommand(command, args, options)
}

/** Starts the process. Resolves as soon as the system reports that it runs. */
function begin(checked: Checked, { command, args, options }: Line, lent?: PreparedToken): Promise<RunningProcess> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(notStarted(checked, error))
    try {
      const child = start(command, args, options)
      // This listener stays: later errors (a message that could not be sent) are ignored.
      child.on('error', refuse)
      if (child.pid === undefined) return
      // Created at once: the process may be cancelled, or end, before Node reports that it runs.
      const running = new Running(child, child.pid, checked, lent)
      child.once('spawn', () => resolve(running))
    } catch (error) {
      if (typeof (error as NodeJS.ErrnoException).syscall === 'string') refuse(error as NodeJS.ErrnoException)
      else reject(error)
    }
  })
}

function notStarted({ command, options: { cwd } }: Checked, cause: NodeJS.ErrnoException): ProcessError {
  // The system reports the same error for a missing program and a missing folder.
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
    // A program that has ended reads no input.
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
    // After the signal was sent. A program that learned of the cancel earlier could end before the signal arrives, and
    // the signal would then kill it.
    lent?.begin()
    const byItself = exited.then(() => (leftovers === 'wait' ? closed : undefined)).then(() => undefined)

    const live = async (): Promise<ProcessReport> => {
      let how: Ending | undefined = await Promise.race([byItself, calledOff])
      registration?.stop()
      // The process may have ended before `tree.end()` has finished.
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

/**
 * Reads the rest of its pipes. Does not wait for processes that hold the pipes open longer, or for a caller that does
 * not read.
 */
function drain(child: ChildProcess, closed: Promise<void>, error: CancellationError | undefined): Promise<void> {
  return new Promise((resolve) => {
    let read = bytesReadFrom(child)
    let quiet = 0
    let looks = 0
    const finish = () => {
      stop()
      resolve()
    }
    // The event loop has turned between two checks. If there had been data, it would have been read.
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

/** Warns, because a waiting caller learns only of the cancellation. Also lets this process end without the child. */
function giveUp(name: string, left: readonly number[], child: ChildProcess): void {
  child.unref()
  process.emitWarning(`${name} could not be ended; still running: ${left.join(', ')}`, {
    type: 'CalloffWarning',
    code: 'CALLOFF_PROCESS_LEFT',
  })
}
