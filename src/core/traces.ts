/** The stacks of errors, as far as the platform lets the library choose them. */

/** A function that is running: the stack of an error begins with the caller of it. */
// oxlint-disable-next-line typescript/no-unsafe-function-type -- constructors too, and nothing here calls it
export type Callee = Function

/** The functions of V8 and JavaScriptCore. They are read at each use, because programs replace them. */
interface Tracing {
  stackTraceLimit?: unknown
  readonly captureStackTrace?: (error: object, callee: Callee) => void
}

/**
 * Returns the function that gives an error its frames, from the caller of a running function on. Undefined where the
 * platform has none.
 */
export function tracer(): Tracing['captureStackTrace'] {
  const { captureStackTrace } = Error as Tracing
  return typeof captureStackTrace === 'function' ? captureStackTrace : undefined
}

/**
 * Returns the error that `make` makes. Its stack begins with the caller of `callee`, which must be running. Without a
 * `callee` the stack begins anywhere.
 */
export function traced<E extends Error>(make: () => E, callee: Callee | undefined): E {
  const trace = callee && tracer()
  if (!trace) return make()
  // The frames are collected once and not twice.
  const error = untraced(make)
  trace(error, callee)
  return error
}

/** Returns the error that `make` makes, without frames. To collect frames takes longer than everything else. */
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
