/** A promise for the outcome of an API that calls back, under a token. */
import { wrongType } from './arguments.js'
import { bind } from './context.js'
import { type CancellationError, isCancellation } from './errors.js'
import { discover, errorOf, INDIRECT, READ, type Subscriber, subscribe, surface, type TokenNode } from './graph.js'
import { followResult } from './listener-promises.js'
import { promiseUnder } from './promises.js'
import { follow, type Follower, type Reaction, thenOf } from './reactions.js'
import { holdFor } from './remaining.js'
import type { CancellationToken } from './token.js'

/**
 * Starts an operation, and returns the function that stops it, or nothing. It calls `resolve` or `reject` when the
 * operation has ended. Only the first call counts, and after the cancellation none does.
 */
export type Executor<T> = (
  resolve: (value: T | PromiseLike<T>) => void,
  reject: (reason?: unknown) => void,
) => void | (() => unknown)

export function promiseOf<T>(node: TokenNode, executor: Executor<T>): Promise<T> {
  let result: Promise<T> | undefined
  return (result = promiseUnder<T>(node, (fulfil, fail, rejectCancelled) => {
    if (typeof executor !== 'function') throw wrongType('executor', 'a function', executor)
    const dead = discover(node, INDIRECT)
    if (dead) return rejectCancelled(errorOf(dead))

    /** Whether the promise has its outcome. */
    let isOver = false
    /** Whether the executor has called `resolve` or `reject`. A promise that was given to `resolve` may be pending. */
    let isAnswered = false
    /** The error of the cancellation, if that is the outcome. */
    let cancelledBy: CancellationError | undefined
    let cleanUp: (() => unknown) | undefined
    let watch: Subscriber | undefined = undefined
    let letGo: (() => void) | undefined = undefined
    let reaction: Reaction | undefined

    const finish = () => {
      isOver = true
      watch?.stop()
      letGo?.()
      reaction?.leave(follower)
    }
    const cancelled = (error: CancellationError) => {
      finish()
      cancelledBy = error
      rejectCancelled(error)
      stop(error)
    }
    const stop = (error: CancellationError) => {
      const call = cleanUp
      cleanUp = undefined
      try {
        const result = call?.()
        if (call && result !== undefined) followResult(result, call, node, error)
      } catch (failure) {
        surface(failure)
      }
    }
    const follower: Follower = {
      fulfilled(value) {
        // A deadline may have passed unnoticed, or a signal is aborted just now, before the listeners are called.
        const over = discover(node, READ)
        if (isOver) return
        if (over) return cancelled(errorOf(over))
        finish()
        cleanUp = undefined
        fulfil(value as T)
      },
      rejected(error) {
        if (isOver) return
        finish() // before the token is read: a failure comes before a cancellation that was not noticed yet
        const token = node as CancellationToken
        if (isCancellation(error, token)) return cancelled(token.error as CancellationError)
        cleanUp = undefined
        fail(error)
      },
    }

    watch = subscribe(node, cancelled)
    if (isOver) return // a deadline has passed since the poll, or another thread was quicker
    letGo = holdFor(node)

    const resolve = (value: T | PromiseLike<T>) => {
      if (isAnswered) return
      isAnswered = true
      if (isOver) return
      try {
        if (result && value === result) throw new TypeError('the promise must not be resolved with itself')
        const then = thenOf(value)
        if (!then) return follower.fulfilled(value)
        reaction = follow(value as object, then, follower)
        if (isOver) reaction.leave(follower)
      } catch (error) {
        follower.rejected(error)
      }
    }
    const reject = (error?: unknown) => {
      if (isAnswered) return
      isAnswered = true
      follower.rejected(error)
    }

    try {
      const returned: unknown = executor(resolve, reject)
      if (returned !== undefined && typeof returned !== 'function') {
        throw wrongType('the result of executor', 'a function or nothing', returned)
      }
      if (isOver && !cancelledBy) return
      cleanUp = returned && bind ? bind(returned as () => unknown) : (returned as typeof cleanUp)
      if (cancelledBy) stop(cancelledBy)
    } catch (error) {
      follower.rejected(error)
    }
  }))
}
