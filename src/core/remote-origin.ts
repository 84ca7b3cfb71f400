import type { Form } from './describe.js'
import { type CancellationKind, KINDS } from './errors.js'
import { Cancellation, extrasOf, makeError, reasonTextOf, type TokenNode, whatHappened } from './graph.js'
import type { Crossed } from './reasons.js'
import { CancellationToken, UNCLONABLE } from './token.js'

/** Returns the kind that has arrived. An unknown value, or a kind of a later version, becomes `'manual'`. */
export function kindFrom(kind: unknown): CancellationKind {
  return typeof kind === 'string' && Object.hasOwn(KINDS, kind) ? (kind as CancellationKind) : 'manual'
}

/** The parts of a token of another thread or process that messages need. */
export interface Origin {
  readonly name: string | undefined
  /** What happened to it: `'ran out of time after 5000 ms'`. */
  readonly what: string
}

/** Represents a token of another thread or process that has started a cancellation. */
export class RemoteOrigin extends CancellationToken {
  /** The trace of the code that has cancelled it, as a `traceparent`, if it is known. @internal */
  trace: string | undefined = undefined
  readonly #call: string
  readonly #what: string

  /** @param call its text in `util.inspect`, such as `OtherProcess` */
  constructor(call: string, { name, what }: Origin) {
    super(UNCLONABLE)
    if (name !== undefined) extrasOf(this).name = name
    this.#call = call
    this.#what = what
  }

  /** @internal */
  override explain(): string {
    return this.#what
  }

  /** @internal */
  override form(): Form {
    return { call: this.#call }
  }
}

/**
 * Returns the part of the message about the reason. It is read from the error if there is one, because the reason of
 * another thread or process may have arrived as other text.
 */
export function reasonTextIn(cancellation: Cancellation): string | undefined {
  const { message } = cancellation.error ?? {}
  if (message === undefined) return reasonTextOf(cancellation.reason)
  const before = `${whatHappened(cancellation)}: `
  return message.startsWith(before) ? message.slice(before.length) : undefined
}

/** Makes the cancellation for one that another thread or process has reported. It started at `origin`. */
export function receivedCancellation(
  origin: TokenNode,
  kind: CancellationKind,
  { reason, saying }: Crossed,
  at: number,
): Cancellation {
  const cancellation = new Cancellation(origin, kind, reason, at)
  if (saying) cancellation.error = makeError(cancellation, saying.text)
  return cancellation
}
