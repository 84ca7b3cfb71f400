import type { Form } from '../core/describe.js'
import type { CancellationKind } from '../core/errors.js'
import { Cancellation, makeError, saidOf, type TokenNode, whatHappened } from '../core/graph.js'
import { begin, CancellationToken, UNCLONABLE } from '../core/token.js'
import type { Origin, Story, Told } from './reports.js'

/** A token of another thread, as far as it is known here: it has started a cancellation. */
export class OtherThread extends CancellationToken {
  readonly #what: string

  constructor({ name, what }: Origin) {
    super(UNCLONABLE)
    begin(this, { name }, [])
    this.#what = what
  }

  /** @internal */
  override explain(): string {
    return this.#what
  }

  /** @internal */
  override form(): Form {
    return { call: 'OtherThread' }
  }
}

/** What other threads are told of a cancellation: at what moment, if that does not stand elsewhere. */
export function storyOf(cancellation: Cancellation, shared: TokenNode, at: number | undefined): Story {
  const { reason } = cancellation
  return { at, reason, said: saidIn(cancellation), origin: originOf(cancellation, shared) }
}

/** Of the token that has started it; nothing if it is the shared one itself. */
function originOf({ origin, kind }: Cancellation, shared: TokenNode): Origin | undefined {
  if (origin === shared) return undefined
  const { name } = origin as CancellationToken
  return { name, what: origin.explain(kind) }
}

/** What its message says of the reason. Of a reason that has come from yet another thread, only the message knows. */
function saidIn(cancellation: Cancellation): string | undefined {
  const { message } = cancellation.error ?? {}
  if (message === undefined) return saidOf(cancellation.reason)
  const before = `${whatHappened(cancellation)}: `
  return message.startsWith(before) ? message.slice(before.length) : undefined
}

/** A cancellation by its report from another thread, if there is one. That of a token of that thread is not on its record yet. */
export function toldBy(report: Told | undefined, kind: CancellationKind, shared: TokenNode, at: number): Cancellation {
  const { reason, origin, saying } = report ?? {}
  const told = new Cancellation(origin ? new OtherThread(origin) : shared, kind, reason, at)
  if (saying) told.error = makeError(told, saying.text)
  return told
}
