import { on as listen, once as hear } from 'node:events'
import { type NamesOf, optionsOf } from '../../core/arguments.js'
import { isCancellation } from '../../core/errors.js'
import { asyncUnder } from '../../core/promises.js'
import { holdFor } from '../../core/remaining.js'
import type { TokenLike } from '../../core/tokens/from.js'
import { lendSignal } from './with-signal.js'
import { tokenArgument } from '../context/token-argument.js'

/** An emitter of events, of Node or of the web. */
export type Emitter = NodeJS.EventEmitter | EventTarget

/** How to iterate over events. */
export interface OnOptions {
  /** Events that end the loop. */
  readonly close?: readonly string[] | undefined
}

const ON_OPTIONS: NamesOf<OnOptions> = ['close']
const SIGNAL = { signal: 'give the signal as the third argument, in place of a token' }

/**
 * Resolves with the arguments of the next event of that name: Node's `events.once` with a token.
 *
 * Errors: rejects with the token's error, the same object, as soon as the token is cancelled. Rejects with the error
 * that an emitter of Node emits as `'error'` before the event.
 *
 * Memory: afterwards no listener is left, on the emitter or on the token.
 *
 * @example
 * ```ts
 * import { EventEmitter } from 'node:events'
 * import { TimeoutToken } from 'calloff'
 * import { once } from 'calloff/node'
 *
 * const socket = new EventEmitter()
 * setTimeout(() => socket.emit('message', 'hello'), 10)
 * const [text] = await once(socket, 'message', new TimeoutToken(60_000))
 * console.log(text) // → hello
 * ```
 */
export function once<Args extends unknown[] = unknown[]>(
  emitter: Emitter,
  event: string | symbol,
  token?: TokenLike,
): Promise<Args> {
  return lendSignal(
    () => tokenArgument(token),
    (signal) => hear(emitter as EventTarget, event as string, { signal }) as Promise<Args>,
  )
}

/**
 * Yields the arguments of every event of that name, from this call on: Node's `events.on` with a token. Events that the
 * loop has not taken yet are kept.
 *
 * When the token is cancelled, `next()` rejects at once with the token's error, even if events are kept, as in
 * `iterate`.
 *
 * Errors: as {@link once}.
 *
 * Memory: the listeners are removed from the emitter and from the token as soon as the loop is left, in any way, or the
 * token is cancelled. A caller that neither begins the loop nor calls `return()` leaves them there until then.
 *
 * @example
 * ```ts
 * import { EventEmitter } from 'node:events'
 * import { isCancellation, SimpleToken } from 'calloff'
 * import { on } from 'calloff/node'
 *
 * const token = new SimpleToken()
 * const chat = new EventEmitter()
 * const messages = on<[string]>(chat, 'message', token)
 * chat.emit('message', 'hello')
 * setTimeout(() => token.cancel('left the room'), 10)
 * try {
 *   for await (const [text] of messages) console.log(text) // → hello
 * } catch (error) {
 *   console.log(isCancellation(error, token), chat.listenerCount('message')) // → true 0
 * }
 * ```
 */
export function on<Args extends unknown[] = unknown[]>(
  emitter: Emitter,
  event: string | symbol,
  token?: TokenLike,
  options?: OnOptions,
): AsyncIterableIterator<Args> {
  const own = tokenArgument(token)
  const { close } = optionsOf(options, ON_OPTIONS, SIGNAL)
  own.isCancelled({ direct: false })
  const controller = new AbortController()
  const { signal } = controller
  const given = close === undefined ? { signal } : { signal, close: [...close] }
  const iterator = own.error
    ? undefined
    : (listen(emitter as NodeJS.EventEmitter, event, given) as AsyncIterator<Args, undefined>)
  // The platform removes its listeners at the abort, whether or not a caller waits.
  const registration = own.onCancel((error) => controller.abort(error))
  let isOver = false
  const finish = () => {
    isOver = true
    registration.stop()
  }
  const next = async (): Promise<IteratorResult<Args, undefined>> => {
    let letGo: (() => void) | undefined
    try {
      own.isCancelled({ direct: false })
      if (own.error) throw own.error
      letGo = holdFor(own)
      const result = (await iterator?.next()) ?? DONE
      if (result.done) finish()
      return result.done ? DONE : result
    } catch (error) {
      const wasOver = isOver
      finish()
      // A condition that throws also leads here: the platform then still has its listeners on the emitter.
      await iterator?.return?.()
      if (!own.error || !isCancellation(error, own)) throw error
      if (wasOver) return DONE
      throw own.error
    } finally {
      letGo?.()
    }
  }
  return {
    next: () => (isOver ? Promise.resolve(DONE) : asyncUnder(own, next)),
    async return() {
      finish()
      await iterator?.return?.()
      return DONE
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }
