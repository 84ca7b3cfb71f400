/** Where an error was made: its stack, as far as the platform lets us choose. */

/** A function that is running: the stack of an error begins with its caller. */
// oxlint-disable-next-line typescript/no-unsafe-function-type -- constructors too, and nothing here calls it
export type Callee = Function

/** V8's and JavaScriptCore's. Looked up at each use: programs replace them. */
interface Tracing {
  readonly stackTraceLimit?: unknown
  readonly captureStackTrace?: (error: object, callee: Callee) => void
}

/** Gives what `make` gives, an error, whose stack begins with the caller of `callee`; without one, where it may. */
export function traced<E extends Error>(make: () => E, callee: Callee | undefined): E {
  const { captureStackTrace } = Error as Tracing
  if (!callee || typeof captureStackTrace !== 'function') return make()
  // The frames are collected once, not twice.
  const error = untraced(make)
  captureStackTrace(error, callee)
  return error
}

/** Gives what `make` gives, an error without frames: to collect them takes longer than all the rest. */
export function untraced<E>(make: () => E): E {
  const { stackTraceLimit } = Error as Tracing
  if (typeof stackTraceLimit !== 'number') return make()
  // Not by assignment, which throws where a program has frozen the intrinsics.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return make()
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}
