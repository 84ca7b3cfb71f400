/** Iterates a source under a token: it yields the items until the token is cancelled, and then closes the source. */
import { wrongType } from './arguments.js'
import type { CancellationError } from './errors.js'
import { discover, errorOf, INDIRECT, READ, type Subscriber, subscribe, type TokenNode } from './graph.js'
import { reports } from './observation.js'
import { handled, promiseUnder } from './promises.js'
import { holdFor } from './remaining.js'

type Result<T> = IteratorResult<T, undefined>
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }
const nothing = () => {}

/**
 * The items of a source, until the token is cancelled. Then the pending ones fail at once, and the source is closed.
 */
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

/** A source that was opened. Its methods never throw, they reject. */
interface Source<T> {
  next(): Promise<Result<T>>
  /** Closes the source. Called once. `isUnread`: no item was ever requested. */
  close(isUnread: boolean): Promise<unknown>
}

/**
 * Returns the next item. It waits for an item that is a promise, as `for await` does with the items of a plain
 * iterator.
 */
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
    async close(isUnread) {
      if (iterator.return) await iterator.return()
      // A stream that has failed already (one of Connect, for example) rejects only when an item is requested. It is
      // requested here, because the rejection would be unhandled otherwise.
      else if (isUnread && !isPlain) await iterator.next()
    },
  }
}

/**
 * The parts that close a stream, of the web or of Node, while a read is pending. The `return()` of their own iterators
 * cannot do this: it waits for the pending read, and so for ever if the stream is silent.
 */
interface Stream<T> {
  getReader(): Reader<T>
  pipe: unknown
  on(event: 'error', listener: () => void): unknown
  /** A call of gRPC has it. */
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
        // The stream was destroyed during the read, because we have closed it.
        if (isClosed) return DONE
        throw error
      }
    },
    async close() {
      isClosed = true
      // A later error of the stream is an event, and uncaught where it has no listener. A call of gRPC reports its
      // status this way, even after it was destroyed.
      stream.on?.('error', nothing)
      // If only the stream of a call is destroyed, the call goes on running on the server.
      const cancel = async () => stream.cancel?.()
      cancel().catch(nothing)
      // Without an error: an error would be an event.
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
      // The lock is released at once, as the platform's own iterator does, because the source may never answer.
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
  /**
   * For each promise that waits for the source: functions that end it before the source does, with an error or without
   * one.
   */
  const pending = new Set<Ends>()
  let subscriber: Subscriber | undefined
  let letGo: (() => void) | undefined
  /** The error of a cancellation that came while nothing was pending. The next call gets it. */
  let missed: CancellationError | undefined
  let isAsked = false
  /** Whether no further item is requested from the source. */
  let isOver = false
  let isClosing = false
  let closing: Promise<unknown> = Promise.resolve()

  /** Its caller has left, so only observers hear of it. */
  const failedLate = (error: unknown) => reports?.failedLate(error, 'iterate', node)

  const close = () => {
    // A source that cancels the token while it closes is not closed again.
    if (!isClosing) {
      isClosing = true
      closing = source.close(!isAsked)
    }
    return closing
  }
  /** Lets go of the process when nothing is pending, and of the token when nothing will ever be pending again. */
  const rest = () => {
    if (pending.size) return
    letGo?.()
    letGo = undefined
    if (!isOver) return
    subscriber?.stop()
    subscriber = undefined
  }
  /**
   * Ends the pending promises, and closes the source. It does not wait for that, because the source may never answer.
   * It drops its errors.
   */
  const giveUp = (error: unknown) => {
    isOver = true
    for (const { fail } of pending) fail(error)
    pending.clear()
    close().catch(failedLate)
    rest()
  }
  const rejectCancelled = (error: CancellationError) => {
    if (!isOver && !pending.size) missed = error
    giveUp(error)
  }
  /**
   * The answer of the source. If the token is cancelled before, `next()` fails, and `return()` is done, since its
   * caller has left.
   */
  const wait = (answer: Promise<Result<T>>, isLeaving: boolean) =>
    promiseUnder<Result<T>>(node, (resolve, reject, fail) => {
      if (!pending.size) letGo = holdFor(node)
      const quit = () => resolve(DONE)
      const ends: Ends = { fail: isLeaving ? quit : fail, quit }
      pending.add(ends)
      const settle = (result?: Result<T>) => {
        if (!result || result.done) isOver = true
        pending.delete(ends)
        // A source that is closed may never answer an earlier `next()` that is still pending.
        if (isLeaving) for (const one of pending) one.quit()
        if (isLeaving) pending.clear()
        rest()
      }
      const fulfilled = (result: Result<T>) => {
        settle(result)
        resolve(result)
      }
      const rejected = (error: unknown) => {
        if (!pending.has(ends)) failedLate(error)
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
        // A condition has thrown.
        giveUp(thrown)
        return Promise.reject(thrown)
      }
      if (error && !isOver) rejectCancelled(error)
      if (!isOver) subscriber ??= subscribe(node, rejectCancelled)
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
      if (discover(node, READ)) {
        closed.catch(failedLate)
        return Promise.resolve(DONE)
      }
      const promise = wait(closed, true)
      subscriber ??= subscribe(node, rejectCancelled)
      return promise
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
