/**
 * Foreign sources of a cancellation: platform signals, VS Code's tokens, and tokens of another copy of this package.
 * All are recognised by their shape.
 *
 * Whatever the foreign code does, only two functions here throw: `listen`, and the poll of a condition of another copy.
 * If a getter throws, the source counts as not cancelled. Only the state of a source counts: an event without that
 * state means nothing.
 */
import type { CancellationError } from './errors.js'

// `Symbol.for`, so that two copies of the package recognise the tokens of each other.
export const BRAND: unique symbol = Symbol.for('calloff.CancellationToken') as never
/** Marks a token of any copy as a `DefaultToken`. */
export const NEVER_BRAND: unique symbol = Symbol.for('calloff.DefaultToken') as never

/** A foreign source of a cancellation. */
export interface ForeignSource {
  /** The foreign object itself. For a controller, its signal. */
  readonly key: object
  /** Its name in the text of a token. */
  readonly label: string
  /**
   * Whether it is a token of another copy of the package. Such a token may be cancelled and have no error. Then it is a
   * condition without caching.
   */
  readonly isToken: boolean
  /** Whether it is a `DefaultToken` of another copy. */
  readonly isNever: boolean
  /** Whether it, or one of its ancestors, must be polled. */
  isPolled(): boolean
  /** Whether it is cancelled. With `look` this is a read: it calls no condition and uses up no counter. */
  isOver(look: boolean): boolean
  /** Returns its reason, once it is cancelled. */
  reason(): unknown
  /**
   * Calls back when the source may be cancelled, perhaps at once. Returns a function that removes the listener. Throws
   * the errors of the foreign code.
   */
  listen(callback: () => void): () => void
  /** Returns the milliseconds until it is cancelled by a deadline. */
  remaining(): number
}

/** The part of another copy's token that this copy relies on. */
interface OtherToken {
  /** Returns whether a token must be polled. */
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

/** The token of VS Code and of the language servers. */
interface EditorToken {
  readonly isCancellationRequested: boolean
  onCancellationRequested(listener: () => void): { dispose?(): void } | undefined
}

/** Returns the result of foreign code, or `otherwise` if the code throws. */
function safely<T>(ask: () => T, otherwise: T): T {
  try {
    return ask()
  } catch {
    return otherwise
  }
}

/** The parts that are the same for all foreign sources but the tokens of another copy. */
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
    // A poll throws the error of a condition that does not suppress its errors. The caller of the poll gets it.
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

/** Returns the foreign source that a value is, or undefined if the value cannot cancel. */
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
 * Calls back when the signal is aborted, even if an earlier listener has called `stopImmediatePropagation`. An `abort`
 * event of a signal that is not aborted does nothing. Returns a function that removes the listener.
 *
 * The signal carries one listener. On Node that is enough: the listeners of its own `events.addAbortListener` cannot be
 * stopped. Node gives them an option that has this effect, and this module gives its listener the same option.
 * Elsewhere, except on Bun, this module also puts a listener on a composite of the signal (`AbortSignal.any`). The
 * platform aborts a composite by itself, not by the event, so no listener can stop that. (Node needs no composite. On
 * Node 20 and 22 each composite leaves something on its source for good.) Bun keeps the sources of a composite that has
 * listeners. So on Bun the listener is a capturing one: it runs before all listeners that are not capturing. The signal
 * of a polyfill may offer none of these ways. There, a stopped event is not heard, but the next poll notices the abort.
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

/** Options without any effect. */
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
    // Tests whether the platform heeds the option: Bun and Deno have the function, but there the event can be stopped
    // all the same.
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
 * The composite has only a weak reference to the listener. The platform keeps a composite that may still fire. With a
 * strong reference the composite would keep the listener, and the listener would keep the very signal that the
 * composite waits for. The same listener is also registered on the signal itself, and the signal holds it.
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
