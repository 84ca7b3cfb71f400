/** Where an error was made: its stack, as far as the platform lets us choose. */

/** A function that is running: the stack of an error begins with its caller. */
// oxlint-disable-next-line typescript/no-unsafe-function-type -- constructors too, and nothing here calls it
export type Callee = Function

/** V8's and JavaScriptCore's. Looked up at each use: programs replace them. */
interface Tracing {
  stackTraceLimit?: unknown
  readonly captureStackTrace?: (error: object, callee: Callee) => void
}

/** What gives an error its frames, from the caller of a function that is running on; undefined where the platform has none. */
export function tracer(): Tracing['captureStackTrace'] {
  const { captureStackTrace } = Error as Tracing
  return typeof captureStackTrace === 'function' ? captureStackTrace : undefined
}

/** Gives what `make` gives, an error, whose stack begins with the caller of `callee`; without one, where it may. */
export function traced<E extends Error>(make: () => E, callee: Callee | undefined): E {
  const trace = callee && tracer()
  if (!trace) return make()
  // The frames are collected once, not twice.
  const error = untraced(make)
  trace(error, callee)
  return error
}

/** Gives what `make` gives, an error without frames: to collect them takes longer than all the rest. */
export function untraced<E>(make: () => E): E {
  const errors = Error as Tracing
  const { stackTraceLimit } = errors
  if (typeof stackTraceLimit !== 'number') return make()
  try {
    errors.stackTraceLimit = 0
  } catch {
    return make() // a program has frozen the intrinsics
  }
  try {
    return make()
  } finally {
    errors.stackTraceLimit = stackTraceLimit
  }
}
