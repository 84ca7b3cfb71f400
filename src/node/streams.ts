import type { Readable } from 'node:stream'
import { finished, pipeline as connect } from 'node:stream/promises'
import { type NamesOf, optional, optionsOf, wrongType } from '../core/arguments.js'
import { turn } from '../core/clock.js'
import type { Registration } from '../core/token.js'
import type { Foreign } from '../core/tokens/from.js'
import { lendSignal } from './lend-signal.js'
import { tokenArgument } from './token-argument.js'

/** What can stand in a pipeline: streams of Node or of the web, iterables, and functions from one iterable to the next. */
export type PipelineStep =
  | NodeJS.ReadableStream
  | NodeJS.WritableStream
  | Iterable<unknown>
  | AsyncIterable<unknown>
  | ReadableStream
  | WritableStream
  | TransformStream
  // Each function says itself what it takes; that they fit together is not checked, as in Node.
  // oxlint-disable-next-line typescript/no-explicit-any
  | ((source: any, options: { readonly signal: AbortSignal }) => AsyncIterable<unknown> | PromiseLike<unknown>)

/** How to connect streams. */
export interface PipelineOptions {
  /** Calls it off. Default: nobody. */
  readonly token?: Foreign | undefined
  /** False leaves the last stream open when the first has ended. Default: true. */
  readonly end?: boolean | undefined
}

const PIPELINE_OPTIONS: NamesOf<PipelineOptions> = ['token', 'end']

/**
 * Connects streams, from a source to a destination, and resolves when all has gone through; Node's `pipeline` with a token.
 * It gives what the last one comes to, if that is a function.
 *
 * When the token is cancelled, all the streams are destroyed; it rejects when they have closed, or a second later if one of them
 * never does. A function that does not heed its `signal` is not waited for.
 *
 * Errors: rejects with the token's error, itself; with the first failure of any of the streams. The streams themselves are
 * destroyed with Node's `AbortError`, whose `cause` is the token's error.
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
    const { token, end } = optionsOf(hasOptions ? last : undefined, PIPELINE_OPTIONS)
    streams = (hasOptions ? steps.slice(0, -1) : steps) as PipelineStep[]
    if (streams.length < 2)
      throw new TypeError(`pipeline must have a source and a destination, got ${streams.length} steps`)
    shape = { end: optional('end', 'boolean', end) ?? true }
    return tokenArgument(token)
  }
  return lendSignal(parse, async (signal, own) => {
    const all = connect(streams as never, { ...shape, signal }) as Promise<Result>
    let registration: Registration | undefined
    // The platform waits for functions that do not heed the signal, and so for ever.
    const calledOff = new Promise<never>((_, reject) => {
      registration = own.onCancel((error) => {
        const leave = () => reject(error)
        turn(() => void closed(streams).then(leave, leave))
      })
    })
    try {
      return await Promise.race([all, calledOff])
    } catch (error) {
      if (!own.error) throw error
      await closed(streams) // which Node 20 and 22 do not wait for
      // On Bun the end that we have brought about may be noticed before what it was brought about by.
      throw (error as { code?: unknown } | null)?.code === 'ERR_STREAM_PREMATURE_CLOSE' ? own.error : error
    } finally {
      registration?.stop()
    }
  })
}

/** Waits until those that are destroyed have closed. */
async function closed(streams: readonly PipelineStep[]): Promise<void> {
  const open = (streams as readonly Partial<Readable>[]).filter((one) => one.destroyed === true && one.closed === false)
  await Promise.allSettled(open.map((one) => finished(one as Readable, { cleanup: true })))
}

/** A plain object that is no iterable. */
function isOptions(last: unknown): last is PipelineOptions {
  const prototype: unknown = Object(last) === last ? Object.getPrototypeOf(last) : undefined
  if (prototype !== Object.prototype && prototype !== null) return false
  return !(Symbol.asyncIterator in (last as object)) && !(Symbol.iterator in (last as object))
}

/** How to pipe a stream of the web: what `ReadableStream.pipeTo` takes, and a token for its signal. */
export interface PipeToOptions {
  /** Calls it off. Default: nobody. */
  readonly token?: Foreign | undefined
  /** Leave the destination open at the end of the source. */
  readonly preventClose?: boolean | undefined
  /** Leave the destination as it is when the source fails, or the token is cancelled. */
  readonly preventAbort?: boolean | undefined
  /** Leave the source as it is when the destination fails, or the token is cancelled. */
  readonly preventCancel?: boolean | undefined
}

const PIPE_TO_OPTIONS: NamesOf<PipeToOptions> = ['token', 'preventClose', 'preventAbort', 'preventCancel']

/**
 * Pipes a stream of the web into another, and resolves when all has gone through; `ReadableStream.pipeTo` with a token.
 *
 * When the token is cancelled, the source is cancelled and the destination aborted, with the token's error as reason; it
 * rejects when both have finished with that, and with what they are writing, or a second later if they never do.
 *
 * Errors: rejects with the token's error, itself; with whatever fails first.
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
    const { token, ...others } = optionsOf(options, PIPE_TO_OPTIONS)
    if (typeof (source as Partial<ReadableStream> | null)?.pipeTo !== 'function') {
      throw wrongType('source', 'a ReadableStream', source)
    }
    given = others
    return tokenArgument(token)
  }
  return lendSignal(parse, (signal) => source.pipeTo(destination, { ...given, signal } as StreamPipeOptions))
}
