/** Cancels a name over HTTP, and returns the receipt. */
import { optionsOf } from '../../core/arguments.js'
import { RetryBudgetError } from '../../core/retry.js'
import { type CancellationToken, TimeoutToken, type TokenOrSignal } from '../../core/token.js'
import type { CancelOptions, Receipt } from '../../remote/contract/hub.js'
import {
  mayPass,
  persist,
  queryOf,
  readFrom,
  REQUEST_OPTIONS,
  type RequestOptions,
  retryIn,
  senderTo,
  unreachable,
} from './request.js'
import { type Answer, bodyOf, receiptFrom } from './values.js'

/** The options of `stop`. */
export interface StopOptions extends RequestOptions, Omit<CancelOptions, 'ttl'> {
  /** Why the name is cancelled: anything that JSON can express, an error, a date, or a big integer. Default: no reason. */
  readonly reason?: unknown
  /** Ends the waiting: a token or a signal. What is cancelled by then stays cancelled. */
  readonly token?: TokenOrSignal | undefined
}

/** How long the server is tried without a `timeout`, in milliseconds. */
const PATIENCE = 30_000
/** How long the server may wait for holders before it answers: a cancel, and a read. Some proxies cut a longer wait. */
const CANCEL_WAIT = 1_000
const READ_WAIT = 10_000
/** How much of the time is left for the last answer, in milliseconds. */
const MARGIN = 250

/**
 * Cancels a name everywhere, through a server with `hubHandler`, and resolves with the receipt when the cancel is stored. With `timeout`
 * it resolves when all holders have finished (see `until`) or that time has passed, whichever comes first. `waiting` of the receipt lists
 * the holders that have not finished.
 *
 * While the network fails, or the server is too busy, it tries again, after the time that `Retry-After` says, which counts up to five
 * minutes. It does so until the `timeout` has passed; without a `timeout`, for 30 seconds. The request goes on when the user leaves the
 * page. A cancel that is sent twice does no harm.
 *
 * What stays alive: the process, until the promise settles. Nothing after that.
 *
 * Errors: rejects with {@link HttpHubError} if the server refuses the cancel, and if it cannot be reached in time. If the server fails
 * after it has sent a receipt, the promise resolves with the last receipt. Rejects with the error of the `token` once that is cancelled.
 * Rejects with `TypeError`, `RangeError` or `URIError` for wrong arguments.
 *
 * @param url where the handler is: the address of the server, and the `basePath` of the handler. In a page it may be relative.
 *
 * @example
 * ```ts
 * import { stop } from 'calloff/http/client'
 * import { hubHandler } from 'calloff/http'
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using hub = await connectHub(server.url)
 * const handler = hubHandler(hub, { authorize: () => true }) // on the server
 *
 * const receipt = await stop('https://app.example', 'report-7', {
 *   reason: 'no longer wanted',
 *   timeout: 5_000,
 *   fetch: (url, init) => handler(new Request(url, init)), // without it: the network
 * })
 * console.log(receipt.delivered, receipt.finished === receipt.holders) // → true true
 * ```
 */
export async function stop(url: string | URL, name: string, options?: StopOptions): Promise<Receipt> {
  const given = optionsOf(options, [...REQUEST_OPTIONS, 'reason', 'runId', 'timeout', 'token', 'until'])
  const { reason, timeout, until = 'finished' } = given
  const query = queryOf(name, given.runId)
  const send = senderTo(url, given)
  const limit = new TimeoutToken(timeout || PATIENCE, undefined, given.token as TokenOrSignal)
  let receipt: Receipt | undefined
  let failure: unknown
  const attempt = async (token: CancellationToken) => {
    const known = receipt?.complete ? receipt : undefined
    const most = Math.min(known ? READ_WAIT : CANCEL_WAIT, limit.remaining - MARGIN)
    const wait = timeout ? Math.max(0, Math.floor(most)) : 0
    // The name is cancelled once. Afterwards it is only read: it may be forgotten meanwhile, and used again.
    const response = known
      ? send(`/v1/name${query}&until=${until}&timeout=${wait}`, token)
      : send(`/v1/cancel${query}`, token, bodyOf(reason, { timeout: wait, until }))
    const next = await readFrom(response, (answer: Answer) =>
      known && !answer.mark ? known : receiptFrom(answer, known),
    )
    receipt = next
    const isOver = !timeout || (next.complete && next[until] === next.holders)
    if (next === known || (next.delivered && isOver)) return next
    throw undefined
  }
  const delay = (error: unknown, failures: number) => retryIn((failure = error), failures)
  try {
    return await persist(limit, attempt, mayPass, delay)
  } catch (error) {
    if (limit.cancelled && limit.cancelledBy !== limit) throw limit.error
    if (receipt) return receipt
    // The time may also end between two attempts.
    if (error === limit.error || error instanceof RetryBudgetError) throw failure ?? unreachable(error)
    throw error
  }
}
