/** Promises that the library returns under a token: which of their rejections need a handler, and which do not. */
import { isCancellation } from './errors.js'
import type { TokenNode } from './graph.js'
import type { CancellationToken } from './token.js'

function nothing(): void {}

/** Returns the promise, with a handler on it: if it rejects, that does not end the process. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.then(undefined, nothing)
  return promise
}

/**
 * Returns the promise of an operation under a node. A rejection with the cancellation of that node never counts as
 * unhandled: the caller may await the promise late, or never. Any other rejection needs a handler of the caller.
 *
 * `begin` gets `resolve` and `reject`, as the executor of a promise does, and `rejectCancelled`. This one rejects with an
 * error that counts as a cancellation although it is not that of the node, such as the end of the operation's own time
 * limit. If `begin` throws, the promise rejects.
 */
export function promiseUnder<T>(
  node: TokenNode | undefined,
  begin: (
    resolve: (value: T | PromiseLike<T>) => void,
    reject: (error: unknown) => void,
    rejectCancelled: (error: unknown) => void,
  ) => void,
): Promise<T> {
  let resolve!: (value: T | PromiseLike<T>) => void
  let fail!: (error: unknown) => void
  const promise = new Promise<T>((fulfil, refuse) => {
    resolve = fulfil
    fail = refuse
  })
  // The handler comes first: a platform may count a rejection as unhandled in the moment it happens.
  const rejectCancelled = (error: unknown) => {
    void handled(promise)
    fail(error)
  }
  const reject = (error: unknown) =>
    node && isCancellation(error, node as CancellationToken) ? rejectCancelled(error) : fail(error)
  try {
    begin(resolve, reject, rejectCancelled)
  } catch (error) {
    reject(error)
  }
  return promise
}

/** The same, for an async function. */
export function asyncUnder<T>(node: TokenNode, run: () => Promise<T>): Promise<T> {
  return promiseUnder(node, (resolve, reject) => void run().then(resolve, reject))
}
