/** A token of a hub, held over HTTP. */
import { optional, optionsOf, wrongType } from '../../core/arguments.js'
import { now } from '../../core/clock.js'
import { type Form, quoted } from '../../core/describe.js'
import {
  attribute,
  byHand,
  Cancellation,
  discover,
  end,
  errorOf,
  extrasOf,
  giveRule,
  own,
  ownToCancel,
  READ,
  settle,
} from '../../core/graph.js'
import { RemoteOrigin } from '../../core/remote-origin.js'
import { begin, CancellationToken, UNCLONABLE } from '../../core/token.js'
import { untraced } from '../../core/traces.js'
import type { Mark, Who } from '../../remote/contract/hub.js'
import { ACKNOWLEDGED, FINISHED, type Hold, type HoldEvent, openHold } from './hold.js'
import { queryOf, REQUEST_OPTIONS, type RequestOptions, senderTo } from './request.js'

/** The options of `httpToken`. */
export interface HttpTokenOptions extends RequestOptions {
  /** Separates runs of a name, so a late cancel of one run does not affect the next. Default: `''`, a run like any other. */
  readonly runId?: string | undefined
  /** How long the hold outlives a broken stream, in milliseconds, from 1,000 to 300,000. Default: 30,000. */
  readonly ttl?: number | undefined
  /** Called when the stream is opened, is broken or could not be opened, and with every refusal. */
  readonly onEvent?: ((event: HoldEvent) => void) | undefined
}

/** The tokens that have a listener, and those with a pending promise. */
const kept = new Set<object>()

function keep(token: HttpToken): () => void {
  const entry = { token }
  kept.add(entry)
  return () => void kept.delete(entry)
}

function keepUntil(promise: Promise<void>, token: HttpToken): Promise<void> {
  const letGo = keep(own(token))
  promise.then(letGo, letGo)
  return promise
}

/**
 * A token with a name that other processes share, held over HTTP. A `CancellationToken` like any other: `cancelled` is local memory, and
 * the token can be a parent, be combined and raced. `cancelledBy` is the token where the cancel started, as far as it is known here.
 *
 * Memory: a token without a listener may be dropped. When it is collected as garbage, the server is told that the holder has finished. A
 * token with a listener stays in memory until it is cancelled or closed.
 */
export class HttpToken extends CancellationToken {
  /** The run of its name. */
  readonly runId: string
  readonly #hold: Hold
  #who: Who | undefined
  /** How many promises were given to `finished`, and how many of them are pending. */
  #tasks = 0
  #pending = 0

  /** @internal */
  constructor(name: string, runId: string, open: (token: HttpToken) => Hold) {
    super(UNCLONABLE)
    begin(this, { name }, [])
    giveRule(this)
    this.runId = runId
    this.#hold = open(this)
  }

  /**
   * Resolves when the state of the hub has been read: if the name was cancelled before, the token is cancelled now. Start the task then.
   * It is pending while the server cannot be reached, and then keeps the token and the process alive.
   *
   * Errors: rejects with {@link HttpHubError} if the server refuses the hold, or if the token is closed first. A refused token is closed.
   */
  get ready(): Promise<void> {
    return keepUntil(own(this).#hold.ready, this)
  }

  /**
   * Resolves when the cancel of the token is stored, whichever process made it.
   *
   * Errors: rejects with {@link HttpHubError} if the server refuses the cancel, or if the token is closed and was not cancelled.
   */
  get delivered(): Promise<void> {
    return keepUntil(own(this).#hold.delivered, this)
  }

  /**
   * The process that cancelled it, and the name of the token there. Undefined while it is live, or if it was cancelled here. Reads, never
   * polls.
   */
  get who(): Who | undefined {
    return own(this).#who
  }

  /**
   * Cancels the token here at once, and then everywhere: the cancel is offered until the server has stored it, which keeps the process
   * alive. `await token.delivered` waits for that.
   */
  override cancel(reason?: unknown): this {
    const token = ownToCancel(this)
    if (!discover(token, READ)) {
      token.#hold.deliver(reason)
      token.#end(byHand(token, reason, cancel))
    }
    return this
  }

  /**
   * Registers a task of the token. When the token is cancelled and all registered tasks have settled, the server is told that this holder
   * has finished, and the hold ends. Returns the same promise. If the task settles without a cancel, the hold goes on: close the token.
   *
   * A rejection counts as settled. It is not handled here: the caller must await the promise.
   */
  finished<P extends PromiseLike<unknown>>(task: P): P {
    if (typeof (task as { then?: unknown } | undefined)?.then !== 'function') throw wrongType('task', 'a promise', task)
    const token = own(this)
    token.#tasks++
    token.#pending++
    const settled = () => {
      token.#pending--
      token.#report()
    }
    // The `then` of another library may call back twice, or throw.
    Promise.resolve(task).then(settled, settled)
    return task
  }

  /** Closes the token: it is cancelled here only, with kind `'dispose'`, and this holder has finished. The same as its dispose. */
  close(): void {
    const token = ownToCancel(this)
    end(token, 'dispose')
    token.#hold.reach(FINISHED)
  }

  override [Symbol.dispose](): void {
    ownToCancel(this).close()
  }

  /** Applies a cancel by another process. The mark is undefined if it could not be read. @internal */
  applyCancel(mark: Mark | undefined): void {
    if (discover(this, READ)) return
    const { kind = 'manual', reason, who } = mark ?? {}
    this.#who = who
    const what = `${this.explain(kind)} in process ${who?.pid} on ${who?.host}`
    const origin = new RemoteOrigin('OtherProcess', { name: who?.token, what })
    const found = new Cancellation(origin, kind, reason, now())
    attribute(origin, found)
    untraced(() => errorOf(found)) // a stack would lead into the code that reads the stream
    this.#end(found)
  }

  #end(cancellation: Cancellation): void {
    settle(this, cancellation)
    this.#report()
  }

  #report(): void {
    if (this.outcome) this.#hold.reach(this.#tasks > 0 && this.#pending === 0 ? FINISHED : ACKNOWLEDGED)
  }

  /** @internal */
  override pollOwn(): undefined {}

  /** @internal */
  override arm(): void {
    extrasOf(this).disarm = keep(this)
  }

  /** @internal */
  override form(): Form {
    return {
      call: 'httpToken',
      named: true,
      own: [quoted(this.name as string)],
      options: { runId: this.runId || undefined },
    }
  }
}

// The stack of an error begins with the caller of this method.
// oxlint-disable-next-line typescript/unbound-method -- only passed to the JavaScript engine, never called
const { cancel } = HttpToken.prototype

/**
 * Returns a token of a name at the hub, held through a server with `hubHandler`. The token is cancelled when any process cancels the
 * name. Each call makes a new token, which is a new holder.
 *
 * Timing: returns at once. Start the task when `token.ready` has resolved. If the stream breaks, the token opens it again, as the same
 * holder, and finds a cancel that was made meanwhile. The waits between attempts double up to 5 seconds, with a random part, and are at
 * least as long as `Retry-After` says, up to five minutes. A refusal before the token is `ready` is final, and closes the token. After that, the token tries
 * again after a refusal too, because the login may be renewed. `onEvent` is called each time.
 *
 * What stays alive: on Node, Bun and Deno an open stream keeps the process alive, because `fetch` cannot let go of it. So close a token
 * that is no longer needed, by `using` or `close()`. Browsers open only six connections to a server over HTTP/1.1, and each token uses
 * one of them: use HTTP/2 for more.
 *
 * Errors: throws `TypeError` or `URIError` for arguments of a wrong type, and for text that is not well-formed. The server checks the
 * length of the name and the `ttl`: it refuses a wrong one, and `ready` rejects.
 *
 * @param url where the handler is: the address of the server, and the `basePath` of the handler. In a page it may be relative.
 *
 * @example
 * ```ts
 * import { httpToken, stop } from 'calloff/http/client'
 * import { hubHandler } from 'calloff/http'
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using hub = await connectHub(server.url)
 * const handler = hubHandler(hub, { authorize: () => true }) // on the server
 * const fetch = (url: string, init: RequestInit) => handler(new Request(url, init)) // without it: the network
 *
 * using token = httpToken('https://app.example', 'report-7', { fetch })
 * await token.ready
 * await stop('https://app.example', 'report-7', { reason: 'no longer wanted', fetch })
 * const error = await token.wait()
 * console.log(error.kind, error.cause) // → manual no longer wanted
 * ```
 */
export function httpToken(url: string | URL, name: string, options?: HttpTokenOptions): HttpToken {
  const given = optionsOf(options, [...REQUEST_OPTIONS, 'runId', 'ttl', 'onEvent'])
  const { runId = '', ttl = 30_000, onEvent } = given
  optional('onEvent', 'function', onEvent)
  const query = queryOf(name, runId)
  const send = senderTo(url, given)
  return new HttpToken(name, runId, (token) => openHold(token, send, query, ttl, onEvent))
}
