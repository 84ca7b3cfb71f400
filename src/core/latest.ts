/**
 * Runs one call of a task at a time, of which the latest counts: a new call cancels the call before it.
 *
 * Invariants
 * LA1. A key has a slot exactly while a task of it has not settled. `current` is the call of that task. `next` is the
 *     last call that came after it. It is started in its turn if it is still live.
 * LA2. A slot changes before the tokens of the calls that have lost are cancelled: a listener may make a call.
 * LA3. A call settles its promise before it leaves its slot. It leaves when the task has settled, not before.
 */
import { type NamesOf, optional, optionsOf, wrongType } from './arguments.js'
import { soon } from './clock.js'
import { bind } from './context.js'
import { isCancellation } from './errors.js'
import { byHand, discover, end, errorOf, INDIRECT, READ, settle, subscribe } from './graph.js'
import { reports } from './observation.js'
import { promiseUnder } from './promises.js'
import { awaitedThenOf, follow } from './reactions.js'
import { holdFor } from './remaining.js'
import { type CancellationToken, SimpleToken } from './token.js'
import { parentOf, type TokenLike } from './tokens/from.js'

/** The options of `latest`. */
export interface LatestOptions<A extends readonly unknown[] = never> {
  /**
   * Returns the key of a call, for its arguments. Only calls of the same key cancel each other. Keys are compared as
   * those of a `Map`. A key is kept only while a call of it runs or waits. Default: all calls have one key.
   */
  readonly key?: ((...args: A) => unknown) | undefined
  /**
   * Whether a call waits until the task of the call before it has settled. With false it starts at once, and the
   * cancelled task may still run beside it. Default: true.
   */
  readonly wait?: boolean | undefined
  /** A parent for the tokens of all calls: a token, an AbortSignal or any other value that `from` takes. */
  readonly token?: TokenLike
}

const LATEST_OPTIONS: NamesOf<LatestOptions> = ['key', 'wait', 'token']

/** The function that `latest` returns. */
export interface Latest<A extends readonly unknown[], T> {
  /** Cancels the call before this one, and starts the task. Resolves with the value of the task. */
  (...args: A): Promise<T>
  /** Cancels all calls that run or wait, of every key. Later calls start as usual. */
  cancel(reason?: unknown): void
}

interface Call {
  readonly token: CancellationToken
  begin(): void
}

/** The calls of one key. See LA1. */
interface Slot {
  current: Call
  next: Call | undefined
  /** The current call, as long as it was not started. */
  due: Call | undefined
  isStarting: boolean
}

/**
 * Starts the call that is due. It is not reentrant: a task that ends while it is being started leaves the next start to
 * the loop. So tasks that call again and end at once need no deep stack.
 */
function startDue(slot: Slot): void {
  if (slot.isStarting) return
  slot.isStarting = true
  for (let call; (call = slot.due);) {
    slot.due = undefined
    call.begin()
  }
  slot.isStarting = false
}

/**
 * Returns a function that starts `task`, and of whose calls only the latest goes on: a search box, a preview, a sync. A
 * new call cancels the call before it (kind `'superseded'`), waits until the task of that call has settled, and then
 * starts. So two tasks never run at once. Of several calls that wait, only the last one is started.
 *
 * The task gets a token of its own, which it must heed, and then the arguments of the call. The promise of a superseded
 * call rejects with the cancellation, at once, even if its task succeeds later. So an old result never comes after a
 * new one. That rejection never counts as unhandled. A task that has failed by the time of the cancellation rejects
 * with its failure. A failure that comes later is dropped.
 *
 * The token of a call stays live after a success: a result (a response with a body to read) may still need it. After a
 * failure it is cancelled (kind `'dispose'`).
 *
 * Timing: without a call before it, the task starts within the call. A task that ignores its token delays the next one.
 * A task that never settles delays it for ever: then only a cancellation of the parent, `cancel()` or a newer call
 * settles the promise of the call that waits. A task must not await a newer call with the same key: that one waits for
 * it.
 *
 * Errors: the call rejects with the failure of the task or of `key`, or with the token's error. Under a parent that is
 * cancelled the task is not started. Throws `TypeError` for a bad argument.
 *
 * Memory: nothing is left on the parent once the task has settled, except after a success what the task itself has left
 * on its token.
 *
 * @example
 * ```ts
 * import { isCancellation, latest } from 'calloff'
 *
 * const search = latest(async (token, query: string) => {
 *   await token.sleep(10) // in place of fetch(url, { signal: token.signal })
 *   return `results for ${query}`
 * })
 * const early = search('ca').catch((error: unknown) => (isCancellation(error) ? 'superseded' : 'failed'))
 * console.log(await search('calloff'), '/', await early) // → results for calloff / superseded
 * ```
 */
export function latest<A extends readonly unknown[], T>(
  task: (token: CancellationToken, ...args: A) => T | PromiseLike<T>,
  options?: LatestOptions<A>,
): Latest<A, T> {
  if (typeof task !== 'function') throw wrongType('task', 'a function', task)
  const given = optionsOf<LatestOptions<A>>(options, LATEST_OPTIONS)
  const key = optional('key', 'function', given.key)
  const waits = optional('wait', 'boolean', given.wait) ?? true
  const parent = parentOf(given.token)
  const slots = new Map<unknown, Slot>()

  const run = (...args: A): Promise<T> => {
    const token = new SimpleToken(parent)
    return promiseUnder<T>(token, (resolve, reject) => {
      const id = key?.(...args)
      const dead = discover(token, INDIRECT)
      if (dead) return reject(errorOf(dead))

      // A microtask later, so that a task that has failed by now is heard first: its failure says more.
      const watch = subscribe(token, (error) => soon(() => refuse(error)))
      const letGo = holdFor(token)
      const rest = () => {
        watch.stop()
        letGo?.()
      }
      let isOver = false
      const refuse = (error: unknown) => {
        if (isOver) return reports?.failedLate(error, 'latest', token)
        isOver = true
        rest()
        // A client that rejects in the moment of the cancellation may say less than the token.
        reject(isCancellation(error, token) ? token.error : error)
      }
      const fulfilled = (value: unknown) => {
        const found = discover(token, READ)
        if (found) return rejected(errorOf(found))
        rest()
        resolve(value as T)
        leave()
      }
      const rejected = (error: unknown) => {
        refuse(error)
        end(token, 'dispose')
        leave()
      }
      const leave = () => {
        const slot = slots.get(id)
        if (slot?.current !== call) return
        const { next } = slot
        if (!next) {
          slots.delete(id)
          return
        }
        slot.current = slot.due = next
        slot.next = undefined
        startDue(slot)
      }
      const begin = () => {
        try {
          const found = discover(token, READ)
          if (found) throw errorOf(found)
          const result = task(token, ...args)
          const then = awaitedThenOf(result)
          if (then) follow(result as object, then, { fulfilled, rejected })
          else fulfilled(result)
        } catch (error) {
          rejected(error)
        }
      }
      const call: Call = { token, begin: bind ? bind(begin) : begin }

      const slot = slots.get(id)
      if (!slot) {
        const made: Slot = { current: call, next: undefined, due: call, isStarting: false }
        slots.set(id, made)
        return startDue(made)
      }
      const { current, next } = slot
      if (waits) slot.next = call
      else slot.current = call
      end(current.token, 'superseded')
      if (next) end(next.token, 'superseded')
      if (!waits) begin()
    })
  }

  const cancel = (reason?: unknown) => {
    for (const { current, next } of Array.from(slots.values())) {
      for (const call of [current, next]) {
        if (call && !discover(call.token, READ)) settle(call.token, byHand(call.token, reason, cancel))
      }
    }
  }
  return Object.assign(run, { cancel })
}
