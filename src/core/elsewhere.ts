import type { Form } from './describe.js'
import { begin, CancellationToken, UNCLONABLE } from './token.js'

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
    begin(this, { name }, [])
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
