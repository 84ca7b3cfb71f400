import type { Readable } from 'node:stream'
import { finished, pipeline as connect } from 'node:stream/promises'
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { turn } from '../../core/clock.js'
import { isCancellation, isOurs } from '../../core/errors.js'
import type { CancellationToken, Registration } from '../../core/token.js'
import type { TokenLike } from '../../core/tokens/from.js'
import { lendSignal } from './with-signal.js'
import { TOKEN_FOR_SIGNAL, tokenArgument } from '../context/token-argument.js'

/** The steps of a pipeline: streams of Node or of the web, iterables, and functions from one iterable to the next. */
export type PipelineStep =
  | NodeJS.ReadableStream
  | NodeJS.WritableStream
  | Iterable<unknown>
  | AsyncIterable<unknown>
  | ReadableStream
  | WritableStream
  | TransformStream
  // Each function declares what it accepts. Whether the steps fit together is not checked, as in Node.
  // oxlint-disable-next-line typescript/no-explicit-any
  | ((source: any, options: { readonly signal: AbortSignal }) => AsyncIterable<unknown> | PromiseLike<unknown>)

/** How to connect streams. */
export interface PipelineOptions {
  /** The token that cancels the pipeline. Default: none. */
  readonly token?: TokenLike | undefined
  /** With `false` the last stream stays open when the first has ended. Default: true. */
  readonly end?: boolean | undefined
}

const PIPELINE_OPTIONS: NamesOf<PipelineOptions> = ['token', 'end']

/**
 * Connects streams, from a source to a destination, and resolves when all data has passed: Node's `pipeline` with a
 * token. If the last step is a function, it resolves with the result of that function.
 *
 * When the token is cancelled, all streams are destroyed. The promise rejects when they have closed, or a second later
 * if one of them never closes. It does not wait for a function that ignores its `signal`.
 *
 * Errors: rejects with the token's error, the same object. Rejects with the first failure of a stream or function, also
 * the same object, where Node hides it behind an `AbortError`. Rejects with `ERR_STREAM_PREMATURE_CLOSE` if one of them
 * stops before the end. The streams themselves are destroyed with Node's `AbortError`, whose `cause` is the token's
 * error.
 *
 * Memory: nothing is left on the token.
 *
 * @example
 * ```ts
 * import { createGzip } from 'node:zlib'
 * import { Readable, Writable } from 'node:stream'
 * import { TimeoutToken } from 'calloff'
 * import { pipeline } from 'calloff/node'
 *
 * let bytes = 0
 * const sink = new Writable({ write: (chunk: Buffer, _, done) => ((bytes += chunk.length), done()) })
 * const token = new TimeoutToken(60_000)
 * await pipeline(Readable.from(['a'.repeat(1_000)]), createGzip(), sink, { token })
 * console.log(bytes > 0 && bytes < 1_000) // → true
 * ```
 */
export function pipeline<Result = void>(
  ...steps: PipelineStep[] | [...PipelineStep[], PipelineOptions]
): Promise<Result> {
  let streams: readonly PipelineStep[]
  let shape: { readonly end: boolean }
  const parse = () => {
    const last = steps.at(-1)
    const hasOptions = isOptions(last)
    const { token, end } = optionsOf(hasOptions ? last : undefined, PIPELINE_OPTIONS, TOKEN_FOR_SIGNAL)
    streams = (hasOptions ? steps.slice(0, -1) : steps) as PipelineStep[]
    if (streams.length < 2)
      throw new TypeError(`pipeline must have a source and a destination, got ${streams.length} steps`)
    shape = { end: optional('end', 'boolean', end) ?? true }
    return tokenArgument(token)
  }
  return lendSignal(parse, async (signal, own) => {
    const stages = new Stages(streams, own)
    const all = connect(stages.watched as never, { ...shape, signal }) as Promise<Result>
    let registration: Registration | undefined
    // The platform waits for functions that ignore the signal, possibly for ever.
    const cancelled = new Promise<never>((_, reject) => {
      registration = own.onCancel((error) => {
        const leave = () => reject(error)
        turn(() => void closed(streams).then(leave, leave))
      })
    })
    try {
      return await Promise.race([all, cancelled])
    } catch (error) {
      if (!own.error || stages.haveFailed) throw stages.failure(error)
      await closed(streams) // Node 20 and 22 do not wait for that
      // On Bun the end of the streams may be noticed before the cancellation that has caused it.
      throw (error as { code?: unknown } | null)?.code === PREMATURE ? own.error : error
    } finally {
      registration?.stop()
    }
  })
}

/**
 * The failures of the stages themselves. If a stage stops early, Node destroys the stages before it with an
 * `AbortError` that Node itself creates. That error may replace the failure, or come with it (nodejs/node#62089),
 * although no token was cancelled.
 */
class Stages {
  /** The same steps, with functions that note their failures. */
  readonly watched: readonly PipelineStep[]
  readonly #token: CancellationToken
  /** All streams, including those that functions have returned. */
  readonly #streams: (Partial<Readable> | null)[]
  /** The failures of functions, in order of time. */
  readonly #thrown: unknown[] = []

  constructor(steps: readonly PipelineStep[], token: CancellationToken) {
    this.#token = token
    this.#streams = steps.filter((one) => typeof one !== 'function') as Partial<Readable>[]
    this.watched = steps.map((step) => (typeof step === 'function' ? this.#watch(step) : step))
  }

  /** Whether a function has failed before the token was cancelled. */
  get haveFailed(): boolean {
    return this.#thrown.length > 0
  }

  /** Returns the failure behind the error of the platform. */
  failure(error: unknown): unknown {
    const errored: unknown[] = this.#streams.flatMap((one) => one?.errored ?? [])
    // A function that rethrows an error of its source has not failed itself.
    const isOwn = (one: unknown) => !isMakeshift(one) || (this.#thrown.includes(one) && !errored.includes(one))
    const all = [...this.#thrown, ...errored]
    if (isOwn(error) && !(this.haveFailed && isCancellation(error, this.#token))) return error
    const parts = error instanceof AggregateError ? (error.errors as unknown[]) : []
    const found = [...all, ...parts].find(isOwn)
    if (found !== undefined) return found
    if ((error as { readonly code?: unknown }).code === PREMATURE) return error
    return Object.assign(new Error('a step of the pipeline stopped before the end'), { code: PREMATURE })
  }

  #watch(step: Function): PipelineStep {
    return (...given: unknown[]) => {
      try {
        return this.#watchResult(step(...given) as unknown) as never
      } catch (error) {
        this.#note(error)
        throw error
      }
    }
  }

  #watchResult(result: unknown): unknown {
    const { then, pipe, getReader, [Symbol.asyncIterator]: iterate } = Object(result) as Partial<Everything>
    if (pipe) this.#streams.push(result as Readable)
    else if (then) void Promise.resolve(result).catch((error: unknown) => this.#note(error))
    else if (iterate && !getReader) return this.#passOn(result as AsyncIterable<unknown>)
    return result
  }

  async *#passOn(items: AsyncIterable<unknown>): AsyncGenerator {
    try {
      yield* items
    } catch (error) {
      this.#note(error)
      throw error
    }
  }

  #note(error: unknown): void {
    if (!this.#token.error) this.#thrown.push(error)
  }
}

/** All that the result of a function may be. */
type Everything = PromiseLike<unknown> & NodeJS.ReadableStream & ReadableStream & AsyncIterable<unknown>

const PREMATURE = 'ERR_STREAM_PREMATURE_CLOSE'

/**
 * Whether Node has made the error for a stream that was closed before its end. That is either the premature close
 * error, an `AbortError` without a signal, or an aggregate of one of them and a failure.
 */
function isMakeshift(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isMakeshift)
  const { name, code } = Object(error) as { readonly name?: unknown; readonly code?: unknown }
  if (code === PREMATURE) return true
  // The `AbortError` of a signal has the signal's reason as its cause.
  return name === 'AbortError' && code === 'ABORT_ERR' && !isOurs(error) && !Object.hasOwn(error as object, 'cause')
}

/** Waits until the destroyed streams have closed. */
async function closed(streams: readonly PipelineStep[]): Promise<void> {
  const open = (streams as readonly Partial<Readable>[]).filter((one) => one.destroyed === true && one.closed === false)
  await Promise.allSettled(open.map((one) => finished(one as Readable, { cleanup: true })))
}

/** Whether the last argument is a plain object that is no iterable. */
function isOptions(last: unknown): last is PipelineOptions {
  const prototype: unknown = Object(last) === last ? Object.getPrototypeOf(last) : undefined
  if (prototype !== Object.prototype && prototype !== null) return false
  return !(Symbol.asyncIterator in (last as object)) && !(Symbol.iterator in (last as object))
}

/** How to pipe a stream of the web: the options of `ReadableStream.pipeTo`, with a token instead of the signal. */
export interface PipeToOptions {
  /** The token that cancels the pipe. Default: none. */
  readonly token?: TokenLike | undefined
  /** Leaves the destination open at the end of the source. */
  readonly preventClose?: boolean | undefined
  /** Does not abort the destination when the source fails or the token is cancelled. */
  readonly preventAbort?: boolean | undefined
  /** Does not cancel the source when the destination fails or the token is cancelled. */
  readonly preventCancel?: boolean | undefined
}

const PIPE_TO_OPTIONS: NamesOf<PipeToOptions> = ['token', 'preventClose', 'preventAbort', 'preventCancel']

/**
 * Pipes a stream of the web into another, and resolves when all data has passed: `ReadableStream.pipeTo` with a token.
 *
 * When the token is cancelled, the source is cancelled and the destination is aborted, with the token's error as
 * reason. The promise rejects when both have finished that, and the writes in progress, or a second later if they never
 * do.
 *
 * Errors: rejects with the token's error, the same object, or with the first failure.
 *
 * Memory: nothing is left on the token.
 *
 * @example
 * ```ts
 * import { SimpleToken } from 'calloff'
 * import { pipeTo } from 'calloff/node'
 *
 * const token = new SimpleToken()
 * const source = new ReadableStream({ pull: () => new Promise(() => {}) }) // never gives anything
 * setTimeout(() => token.cancel('enough'), 10)
 * const error = await pipeTo(source, new WritableStream(), { token }).catch((error: unknown) => error)
 * console.log(error === token.error) // → true
 * ```
 */
export function pipeTo<T>(
  source: ReadableStream<T>,
  destination: WritableStream<T>,
  options?: PipeToOptions,
): Promise<void> {
  let given: Omit<PipeToOptions, 'token'>
  const parse = () => {
    const { token, ...others } = optionsOf(options, PIPE_TO_OPTIONS, TOKEN_FOR_SIGNAL)
    if (typeof (source as Partial<ReadableStream> | null)?.pipeTo !== 'function') {
      throw wrongType('source', 'a ReadableStream', source)
    }
    given = others
    return tokenArgument(token)
  }
  return lendSignal(parse, (signal) => source.pipeTo(destination, { ...given, signal } as StreamPipeOptions))
}
