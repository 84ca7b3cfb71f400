import type { Form } from './describe.js'
import { type CancellationKind, KINDS_BY_CALL } from './errors.js'
import { Cancellation, hubOf, makeError, saidOf, type TokenNode, whatHappened } from './graph.js'
import type { Crossed } from './reasons.js'
import { CancellationToken, UNCLONABLE } from './token.js'

// A table, so that the compiler says when a kind is missing.
const KINDS: Readonly<Record<CancellationKind, 1>> = {
  ...KINDS_BY_CALL,
  timeout: 1,
  condition: 1,
  counter: 1,
  signal: 1,
  'process-signal': 1,
  disconnect: 1,
  lease: 1,
}

/** The kind that has arrived. What is none, or is one of a later version, is `'manual'`. */
export function kindFrom(kind: unknown): CancellationKind {
  return typeof kind === 'string' && Object.hasOwn(KINDS, kind) ? (kind as CancellationKind) : 'manual'
}

/** A token of another thread or process, as far as messages go. */
export interface Origin {
  readonly name: string | undefined
  /** What happened to it: `'ran out of time after 5000 ms'`. */
  readonly what: string
}

/** A token that lives elsewhere, as far as it is known here: it has started a cancellation. */
export class Elsewhere extends CancellationToken {
  readonly #call: string
  readonly #what: string

  /** @param call what it reads as in texts: where it lives. */
  constructor(call: string, { name, what }: Origin) {
    super(UNCLONABLE)
    if (name !== undefined) hubOf(this).name = name
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

/** What the message says of the reason. Of a reason that has come from elsewhere, only the message knows. */
export function saidIn(cancellation: Cancellation): string | undefined {
  const { message } = cancellation.error ?? {}
  if (message === undefined) return saidOf(cancellation.reason)
  const before = `${whatHappened(cancellation)}: `
  return message.startsWith(before) ? message.slice(before.length) : undefined
}

/** A cancellation that has crossed, said to have started at `origin`. */
export function arrived(
  origin: TokenNode,
  kind: CancellationKind,
  { reason, saying }: Crossed,
  at: number,
): Cancellation {
  const cancellation = new Cancellation(origin, kind, reason, at)
  if (saying) cancellation.error = makeError(cancellation, saying.text)
  return cancellation
}
