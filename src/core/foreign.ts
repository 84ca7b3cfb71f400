/**
 * What else can cancel: platform signals, VS Code's tokens, tokens of another copy of this package, all seen by their shape.
 *
 * Whatever they do, nothing here throws but `listen`, and a condition of another copy that is asked: a getter that throws says
 * that it is not cancelled. They are believed by their state: an event alone is nothing.
 */
import type { CancellationError } from './errors.js'

// `Symbol.for`, so that two copies of the package recognise each other's tokens.
export const BRAND: unique symbol = Symbol.for('calloff.CancellationToken') as never
/** Tells that a token of any copy is a `DefaultToken`. */
export const NEVER_BRAND: unique symbol = Symbol.for('calloff.DefaultToken') as never

/** Something foreign that can cancel. */
export interface ForeignSource {
  /** The object itself; a controller's signal. */
  readonly key: object
  /** What it is called in the text of a token. */
  readonly label: string
  /** A token of another copy of the package. Without an error when it is over, it is a condition without caching. */
  readonly isToken: boolean
  /** A `DefaultToken` of another copy. */
  readonly isNever: boolean
  /** Whether something at or above it must be polled. */
  isPolled(): boolean
  /** Whether it is over. `look`: without consuming or calling anything. */
  isOver(look: boolean): boolean
  /** What it gives as reason, once it is over. */
  reason(): unknown
  /** Calls back when it may be over, perhaps at once; gives what takes that back. Throws what the foreign code throws. */
  listen(callback: () => void): () => void
  /** Milliseconds until it ends by itself. */
  remaining(): number
}

/** The part of another copy's token that we rely on. */
interface OtherToken {
  /** Tells whether a token must be polled. */
  readonly [BRAND]?: (token: OtherToken) => boolean
  readonly [NEVER_BRAND]?: boolean
  isCancelled(options: { direct: boolean }): boolean
  readonly error: CancellationError | undefined
  readonly remaining: number
  toString(): string
  onCancel(listener: () => void): { stop?(): boolean } | undefined
}

interface SignalLike {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void, options?: object): void
  removeEventListener(type: 'abort', listener: () => void, options?: object): void
}

/** VS Code's and the language servers' token. */
interface EditorToken {
  readonly isCancellationRequested: boolean
  onCancellationRequested(listener: () => void): { dispose?(): void } | undefined
}

/** What foreign code gives; `otherwise` if it throws. */
function safely<T>(ask: () => T, otherwise: T): T {
  try {
    return ask()
  } catch {
    return otherwise
  }
}

/** What is true of all but the tokens of another copy. */
const plain = {
  isToken: false,
  isNever: false,
  isPolled: () => false,
  reason: (): unknown => undefined,
  remaining: () => Infinity,
}

function ofSignal(signal: SignalLike): ForeignSource {
  return {
    ...plain,
    key: signal,
    label: 'AbortSignal',
    isOver: () => isAborted(signal),
    reason: () => safely(() => signal.reason, undefined),
    listen: (callback) => listenTo(signal, callback),
  }
}

function isAborted(signal: SignalLike): boolean {
  try {
    return signal.aborted
  } catch {
    return false
  }
}

function ofEditor(token: EditorToken): ForeignSource {
  return {
    ...plain,
    key: token,
    label: 'CancellationToken',
    isOver: () => safely(() => token.isCancellationRequested, false),
    listen(callback) {
      const registration = token.onCancellationRequested(callback)
      return () => safely(() => registration?.dispose?.(), undefined)
    },
  }
}

function ofOther(token: OtherToken): ForeignSource {
  return {
    key: token,
    label: safely(() => String(token), 'CancellationToken'),
    isToken: true,
    isNever: token[NEVER_BRAND] === true,
    isPolled: () => safely(() => typeof token[BRAND] === 'function' && token[BRAND](token), false),
    // What a poll throws is what a condition throws that does not suppress it: it is for whoever polls.
    isOver: (look) =>
      look ? safely(() => token.error, undefined) !== undefined : token.isCancelled({ direct: false }),
    reason: () => safely(() => token.error, undefined),
    listen(callback) {
      const registration = token.onCancel(callback)
      return () => void safely(() => registration?.stop?.(), undefined)
    },
    remaining: () => safely(() => token.remaining, Infinity),
  }
}

/** What there is to know of something foreign that can cancel; undefined if it cannot. */
export function foreignOf(value: unknown): ForeignSource | undefined {
  return typeof value === 'object' && value !== null ? safely(() => byShape(value), undefined) : undefined
}

function byShape(value: object): ForeignSource | undefined {
  const it = value as Partial<OtherToken & SignalLike & EditorToken & { signal: SignalLike; abort: unknown }>
  if (it[BRAND]) return ofOther(it as OtherToken)
  if (typeof it.aborted === 'boolean' && typeof it.addEventListener === 'function') return ofSignal(it as SignalLike)
  if (typeof it.isCancellationRequested === 'boolean' && typeof it.onCancellationRequested === 'function')
    return ofEditor(it as EditorToken)
  if (typeof it.abort === 'function' && typeof it.signal === 'object') return foreignOf(it.signal)
  return undefined
}

// ---- Listening to a signal, although another listener may stop the event

/**
 * Calls back when the signal is aborted, even if a listener before ours has called `stopImmediatePropagation`; an `abort` event
 * of a signal that is not aborted is nothing. Gives what takes it back.
 *
 * The signal carries one listener. On Node that is enough: its own `events.addAbortListener` cannot be stopped, by an option
 * that we take from it. Elsewhere a composite of the signal listens besides, since the platform aborts composites by itself, not
 * by the event. (On Node 20 and 22 each composite leaves something on its source for good.) Bun keeps the sources of a composite
 * with listeners, so there ours is a capturing listener, which comes before all others that are none. The signal of a polyfill may
 * have none of this: there a stopped event is not heard, but seen by the next poll.
 */
export function listenTo(signal: SignalLike, callback: () => void): () => void {
  const heard = () => {
    if (isAborted(signal)) callback()
  }
  unstoppable ??= probe()
  signal.addEventListener('abort', heard, unstoppable)
  /* c8 ignore next -- not on Node */
  const stopBeside = unstoppable === PLAIN ? listenBeside(signal, heard) : undefined
  return () => {
    safely(() => signal.removeEventListener('abort', heard, unstoppable), undefined)
    /* c8 ignore next -- not on Node */
    stopBeside?.()
  }
}

/** Options that say nothing. */
const PLAIN = {}
const CAPTURE = { capture: true }
/** The options of a listener that cannot be stopped, or `PLAIN` where the platform has none. */
let unstoppable: object | undefined

interface Host {
  readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
}

function probe(): object {
  /* c8 ignore next -- on Bun only, where the behaviour suite runs it */
  if ('Bun' in globalThis) return CAPTURE
  return safely(() => {
    const events = (globalThis as Host).process?.getBuiltinModule?.('node:events') as
      | { readonly addAbortListener?: (signal: object, listener: () => void) => unknown }
      | undefined
    let options: object = PLAIN
    const addEventListener = (_type: string, _listener: unknown, given: object) => {
      options = { ...given, once: false }
    }
    events?.addAbortListener?.({ aborted: false, addEventListener, removeEventListener() {} }, () => {})
    // Whether it is heeded: Bun and Deno have the function, and the event can be stopped all the same.
    let isHeard = false
    const controller = new AbortController()
    controller.signal.addEventListener('abort', (event) => event.stopImmediatePropagation())
    controller.signal.addEventListener('abort', () => (isHeard = true), options)
    controller.abort()
    /* c8 ignore next -- not on Node */
    return isHeard ? options : PLAIN
  }, PLAIN)
}

/**
 * The composite holds the listener weakly: what the platform keeps because it may still fire would else keep, through us, the
 * very signal that it waits for. The listener on the signal itself holds it.
 */
/* c8 ignore start -- not on Node */
function listenBeside(signal: SignalLike, listener: () => void): (() => void) | undefined {
  return safely(() => {
    const composite = AbortSignal.any([signal as AbortSignal])
    const reference = new WeakRef(listener)
    const forward = () => reference.deref()?.()
    composite.addEventListener('abort', forward)
    return () => composite.removeEventListener('abort', forward)
  }, undefined) // a polyfill's
}
/* c8 ignore stop */
