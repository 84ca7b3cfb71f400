import { Buffer } from 'node:buffer'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from '../../core/arguments.js'
import { ProcessError } from './errors.js'
import {
  type ProcessReport,
  type RunningProcess,
  spawn,
  NOT_OF_NODE,
  SPAWN_OPTIONS,
  type SpawnOptions,
} from './spawn.js'

/** How to run a program to its end. */
export interface RunOptions extends SpawnOptions {
  /** What the program reads from its standard input: text, bytes, or a source of these. Default: an empty input. */
  readonly input?: RunInput | undefined
  /** `'bytes'` returns the output as `Uint8Array`. Default: `'utf8'`. */
  readonly encoding?: 'utf8' | 'bytes' | undefined
  /** The limit for each output, in bytes. A program that writes more is ended. Default: 100 MB. */
  readonly maxBuffer?: number | undefined
  /**
   * With `false`, `run` returns the report whether or not the program has failed or was cancelled, provided that the
   * program was started. Use it for exit codes that have a meaning (grep, diff), and for the output that was written
   * before the cancellation. Default: true.
   */
  readonly check?: boolean | undefined
}

const RUN_OPTIONS: NamesOf<RunOptions> = ['input', 'encoding', 'maxBuffer', 'check', ...SPAWN_OPTIONS]

/** What `run` accepts as the input of a program. */
export type RunInput =
  | string
  | Uint8Array
  | Iterable<string | Uint8Array>
  | AsyncIterable<string | Uint8Array>
  | ReadableStream<string | Uint8Array>

/** How a program has ended, and what it has written. */
export interface RunReport<Output = string> extends ProcessReport {
  /** Empty if `stdio` has no pipe for this output. */
  readonly stdout: Output
  readonly stderr: Output
}

const MAX_BUFFER = 100_000_000

/**
 * Runs a program to its end, under a token, and returns its output.
 *
 * When the token is cancelled, the program and all processes that it has started are asked to end (`SIGTERM`). Those
 * that still run after `grace` are killed. {@link spawn} explains the details. The promise settles when all of them
 * have ended.
 *
 * Errors: rejects with the token's error if the program was cancelled, or was not started because the token was already
 * cancelled. Rejects with a {@link ProcessError} if the program could not be started, has failed (any exit code but 0,
 * a signal) or has written more than `maxBuffer`. The `report` of that error has the output. Rejects with the error of
 * `input` if the input fails. With `check: false`, a program that has failed or was cancelled is no error. The report
 * then says how it ended (`code`, `signal`, `calledOff`).
 *
 * Memory: nothing is left on the token.
 *
 * @example
 * ```ts
 * import process from 'node:process'
 * import { TimeoutToken } from 'calloff'
 * import { run } from 'calloff/node'
 *
 * const token = new TimeoutToken(60_000)
 * const { stdout } = await run(process.execPath, ['-p', '6 * 7'], { token })
 * console.log(stdout.trim()) // → 42
 *
 * const { code } = await run(process.execPath, ['-e', 'process.exit(3)'], { token, check: false })
 * console.log(code) // → 3
 * ```
 */
export async function run(
  command: string,
  args: readonly string[] | undefined,
  options: RunOptions & { readonly encoding: 'bytes' },
): Promise<RunReport<Uint8Array>>
export async function run(
  command: string,
  args?: readonly string[],
  options?: RunOptions & { readonly encoding?: 'utf8' | undefined },
): Promise<RunReport>
export async function run(
  command: string,
  args?: readonly string[],
  options?: RunOptions,
): Promise<RunReport<string | Uint8Array>>
export async function run(
  command: string,
  args: readonly string[] = [],
  options?: RunOptions,
): Promise<RunReport<string | Uint8Array>> {
  const { input, encoding, maxBuffer, check, ...given } = optionsOf(options, RUN_OPTIONS, NOT_OF_NODE)
  if (encoding !== undefined && encoding !== 'utf8' && encoding !== 'bytes') {
    throw wrongType('encoding', "'utf8' or 'bytes'", encoding)
  }
  const most = optionalNonNegative('maxBuffer', maxBuffer) ?? MAX_BUFFER
  const isChecked = optional('check', 'boolean', check) ?? true
  const source = sourceOf(input)

  const stdio = given.stdio ?? [source ? 'pipe' : 'ignore', 'pipe', 'pipe']
  const running = await spawn(command, args, { ...given, stdio })
  /** Why this module has ended the program. */
  let failure: { readonly error: Error | undefined } | undefined
  const fail = (error?: Error) => {
    failure ??= { error }
    void running.end(error)
  }
  const outputs = [running.stdout, running.stderr].map((stream) => collect(stream, most, fail))
  if (source) feed(source, running, fail)
  const report = await running.ended
  const [stdout, stderr] = outputs.map((take) => (encoding === 'bytes' ? take() : take().toString('utf8')))
  const result = { ...report, stdout, stderr } as RunReport<string | Uint8Array>

  const name = given.name ?? command
  if (failure?.error) throw failure.error
  if (failure) {
    const details = { code: 'ERR_PROCESS_OUTPUT', command, report: { ...result, calledOff: undefined } }
    throw new ProcessError(`${name} wrote more than the ${most} bytes of maxBuffer`, details)
  }
  if (!isChecked) return result
  if (result.calledOff) throw result.calledOff
  if (result.code !== 0) {
    throw new ProcessError(failed(name, result), { code: 'ERR_PROCESS_FAILED', command, report: result })
  }
  return result
}

/** Returns the message for a failure, with the last line of the standard error. */
function failed(name: string, { code, signal, stderr }: RunReport<string | Uint8Array>): string {
  const how = code === null ? `was ended by ${signal ?? 'a signal that has no name'}` : `ended with code ${code}`
  const last = Buffer.from(stderr).subarray(-500).toString('utf8').trim().split('\n').at(-1)
  return `${name} ${how}${last ? `: ${last.slice(-200)}` : ''}`
}

/** Collects the output of a stream, up to a limit. Returns a function that returns the bytes collected so far. */
function collect(stream: Readable | null, most: number, exceed: () => void): () => Buffer {
  const chunks: Buffer[] = []
  let left = most
  const take = (chunk: Buffer) => {
    chunks.push(chunk.subarray(0, left))
    left -= chunk.length
    if (left >= 0) return
    stream?.destroy()
    exceed()
  }
  stream?.on('data', take)
  return () => Buffer.concat(chunks)
}

/**
 * Returns the input as a stream. Input other than text and bytes is read piece by piece, as fast as the program reads
 * it.
 */
function sourceOf(input: RunInput | undefined): Readable | undefined {
  if (input === undefined) return undefined
  if (typeof input === 'string' || input instanceof Uint8Array) return Readable.from([input], { objectMode: false })
  const source = Object(input) as Partial<AsyncIterable<unknown> & Iterable<unknown>>
  if (source instanceof Readable) return source
  if (source[Symbol.asyncIterator] ?? source[Symbol.iterator]) return Readable.from(source as AsyncIterable<unknown>)
  throw wrongType('input', 'text, bytes, an iterable or a stream', input)
}

/**
 * Pipes the source into the program. If the program has ended, or reads only a part, that is no failure of the source.
 */
function feed(source: Readable, { stdin, token }: RunningProcess, fail: (error: Error) => void): void {
  const registration = token.onCancel(() => source.destroy())
  let isWanted = true
  stdin?.once('error', () => (isWanted = false)).once('close', () => (isWanted = false))
  source.once('error', (error) => {
    if (isWanted) fail(error)
  })
  if (!stdin) return void source.destroy()
  void pipeline(source, stdin)
    .catch(() => {})
    .then(() => registration.stop())
}
