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

/** Stands for a token that lives elsewhere and has started a cancellation. Nothing more is known of it here. */
export class Elsewhere extends CancellationToken {
  readonly #call: string
  readonly #what: string

  /** @param call its text: the place where it lives. */
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

/**
 * Returns the part of the message about the reason. For a reason that has come from elsewhere, only the message has it.
 */
export function saidIn(cancellation: Cancellation): string | undefined {
  const { message } = cancellation.error ?? {}
  if (message === undefined) return saidOf(cancellation.reason)
  const before = `${whatHappened(cancellation)}: `
  return message.startsWith(before) ? message.slice(before.length) : undefined
}

/** Makes a cancellation that has come from elsewhere. It started at `origin`. */
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
