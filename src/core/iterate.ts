/** Going over a source under a token: what it gives until the token is cancelled, and then it is closed. */
import { wrongType } from './arguments.js'
import type { CancellationError } from './errors.js'
import { discover, errorOf, INDIRECT, LOOK, type Subscriber, subscribe, type TokenNode } from './graph.js'
import { handled, promiseUnder } from './promises.js'
import { holdFor } from './remaining.js'

type Result<T> = IteratorResult<T, undefined>
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }
const nothing = () => {}

/** The items of a source, until the token is cancelled: then the pending ones fail at once, and the source is closed. */
export function iterate<T>(node: TokenNode, source: AsyncIterable<T> | Iterable<T>): AsyncIterable<T> {
  const it = Object(source) as Partial<AsyncIterable<T> & Iterable<T> & Stream<T>>
  const openAsync = it[Symbol.asyncIterator]
  const open = openAsync ?? it[Symbol.iterator]
  if (typeof (it.getReader ?? open) !== 'function') throw wrongType('source', 'iterable', source)
  return {
    [Symbol.asyncIterator]: () => {
      if (it.getReader) return items(node, ofReader(it.getReader()))
      const iterator = (open as () => Iterator<T> | AsyncIterator<T>).call(source)
      if (it.pipe) return items(node, ofStream(it, iterator as AsyncIterator<T>))
      return items(node, ofIterator(iterator, !openAsync))
    },
  }
}

// ---- The kinds of sources

/** A source that has been opened. Whatever its methods throw, they reject. */
interface Source<T> {
  next(): Promise<Result<T>>
  /** Has it closed, once. `isUnheard`: nothing was ever asked of it, and it is cancelled. */
  close(isUnheard: boolean): Promise<unknown>
}

/** The next item. A promise among the items is waited for, as `for await` does with those of a plain iterator. */
async function nextOf<T>(iterator: Iterator<T> | AsyncIterator<T>, isPlain: boolean): Promise<Result<T>> {
  const result = await iterator.next()
  if (Object(result) !== result) throw wrongType('the result of next()', 'an object', result)
  if (!result.done) return { done: false, value: await result.value }
  if (isPlain) await result.value
  return DONE
}

function ofIterator<T>(iterator: Iterator<T> | AsyncIterator<T>, isPlain: boolean): Source<T> {
  return {
    next: () => nextOf(iterator, isPlain),
    async close(isUnheard) {
      if (iterator.return) await iterator.return()
      // A call that has failed by now (Connect's streams are such) tells of it by the first item only: it is heard here, or the
      // rejection would be unhandled.
      else if (isUnheard && !isPlain) await iterator.next()
    },
  }
}

/**
 * What is needed to close a stream, of the web or of Node, while something is waited for. That is not `return()` of their own
 * iterators: it waits until the stream has given that, and so for ever if it is silent.
 */
interface Stream<T> {
  getReader(): Reader<T>
  pipe: unknown
  on(event: 'error', listener: () => void): unknown
  /** Of a call of gRPC. */
  cancel(): unknown
  destroy(): unknown
}

function ofStream<T>(stream: Partial<Stream<T>>, iterator: AsyncIterator<T>): Source<T> {
  let isClosed = false
  return {
    async next() {
      try {
        return await nextOf(iterator, false)
      } catch (error) {
        // That it was destroyed while it was read is what we have done.
        if (isClosed) return DONE
        throw error
      }
    },
    async close() {
      isClosed = true
      // What it complains of later is an event, and uncaught where nothing listens. A call of gRPC tells of its status so, also
      // after it was destroyed.
      stream.on?.('error', nothing)
      // Destroying the stream of a call leaves the call running on the server.
      const cancel = async () => stream.cancel?.()
      cancel().catch(nothing)
      // Without an error, which would be an event.
      stream.destroy?.()
      await iterator.return?.()
    },
  }
}

interface Reader<T> {
  read(): Promise<IteratorResult<T>>
  cancel(): Promise<unknown>
  releaseLock(): void
}

function ofReader<T>(reader: Reader<T>): Source<T> {
  let isReleased = false
  const release = () => {
    isReleased = true
    reader.releaseLock()
  }
  return {
    async next() {
      const result = await reader.read()
      if (!result.done) return result
      if (!isReleased) release()
      return DONE
    },
    async close() {
      if (isReleased) return
      let cancelled: unknown
      // Released at once, as the platform's own iterator does, since the source may never answer.
      try {
        cancelled = reader.cancel()
      } finally {
        release()
      }
      await cancelled
    },
  }
}

// ---- The loop

interface Ends {
  readonly fail: (error: unknown) => void
  readonly quit: () => void
}

function items<T>(node: TokenNode, source: Source<T>): AsyncIterableIterator<T, undefined> {
  /** What ends each promise that waits for the source, before the source does: with an error, or without one. */
  const pending = new Set<Ends>()
  let subscriber: Subscriber | undefined
  let letGo: (() => void) | undefined
  /** Of a cancellation that came while nothing was pending: for the next call. */
  let missed: CancellationError | undefined
  let isAsked = false
  /** Nothing more is asked of the source. */
  let isOver = false
  let isClosing = false
  let closing: Promise<unknown> = Promise.resolve()

  const close = () => {
    // A source that cancels the token while it closes is not closed again.
    if (!isClosing) {
      isClosing = true
      closing = source.close(!isAsked)
    }
    return closing
  }
  /** Lets go of the process when nothing is pending, and of the token when nothing ever will be. */
  const rest = () => {
    if (pending.size) return
    letGo?.()
    letGo = undefined
    if (!isOver) return
    subscriber?.stop()
    subscriber = undefined
  }
  /** Ends what is pending, and has the source closed. That is not waited for: it may be deaf, and its complaints are nobody's. */
  const giveUp = (error: unknown) => {
    isOver = true
    for (const { fail } of pending) fail(error)
    pending.clear()
    close().catch(nothing)
    rest()
  }
  const callOff = (error: CancellationError) => {
    if (!isOver && !pending.size) missed = error
    giveUp(error)
  }
  /** What the source answers. If it is given up before, `next()` fails, and `return()`, whose caller has left, is done. */
  const wait = (answer: Promise<Result<T>>, isLeaving: boolean) =>
    promiseUnder<Result<T>>(node, (resolve, reject, fail) => {
      if (!pending.size) letGo = holdFor(node)
      const quit = () => resolve(DONE)
      const ends: Ends = { fail: isLeaving ? quit : fail, quit }
      pending.add(ends)
      const settle = (result?: Result<T>) => {
        if (!result || result.done) isOver = true
        pending.delete(ends)
        // A source that is closed answers no `next()` from before that it is still silent about.
        if (isLeaving) for (const one of pending) one.quit()
        if (isLeaving) pending.clear()
        rest()
      }
      const fulfilled = (result: Result<T>) => {
        settle(result)
        resolve(result)
      }
      const rejected = (error: unknown) => {
        settle()
        close().catch(nothing)
        reject(error)
      }
      answer.then(fulfilled, rejected)
    })

  return {
    next() {
      let error: CancellationError | undefined
      try {
        const dead = isOver ? undefined : discover(node, INDIRECT)
        error = dead && errorOf(dead)
      } catch (thrown) {
        // A condition throws.
        giveUp(thrown)
        return Promise.reject(thrown)
      }
      if (error && !isOver) callOff(error)
      if (!isOver) subscriber ??= subscribe(node, callOff)
      if (isOver) {
        error ??= missed
        missed = undefined
        return error ? handled(Promise.reject<Result<T>>(error)) : Promise.resolve(DONE)
      }
      isAsked = true
      return wait(source.next(), false)
    },
    return() {
      isOver = true
      missed = undefined
      const closed = close().then(() => DONE)
      if (discover(node, LOOK)) {
        closed.catch(nothing)
        return Promise.resolve(DONE)
      }
      const promise = wait(closed, true)
      subscriber ??= subscribe(node, callOff)
      return promise
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
