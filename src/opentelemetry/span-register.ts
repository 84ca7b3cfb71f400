/**
 * The span of each token: the span that was active where the token got its first listener, its first signal or its name,
 * or, for the token of a scope or a task, where the scope or the task has started.
 */
import { type Span, trace } from '@opentelemetry/api'
import type { TokenNode } from '../core/graph.js'
import type { CancelEvent } from '../core/observers.js'
import type { CancellationToken } from '../core/token.js'

/** From this number of references on, those to collected tokens are removed. */
const FEW = 1_024

export class SpanRegister {
  readonly #spans = new WeakMap<CancellationToken, Span>()
  /** References to the tokens of spans that still record, and to some tokens that are collected. */
  #tokens: WeakRef<CancellationToken>[] = []
  #most = FEW

  get(token: CancellationToken): Span | undefined {
    return this.#spans.get(token)
  }

  set(token: CancellationToken, span: Span | undefined): void {
    if (!span?.isRecording()) return
    if (!this.#spans.has(token)) this.#keep(token)
    this.#spans.set(token, span)
  }

  notice(token: CancellationToken): void {
    if (!this.#spans.has(token)) this.set(token, trace.getActiveSpan())
  }

  #keep(token: CancellationToken): void {
    if (this.#tokens.length >= this.#most) {
      this.#tokens = this.#tokens.filter((reference) => {
        const one = reference.deref()
        return one && this.#spans.get(one)?.isRecording()
      })
      this.#most = Math.max(FEW, this.#tokens.length * 2)
    }
    this.#tokens.push(new WeakRef(token))
  }

  /**
   * Returns the spans of the tokens that a cancellation has reached, each with its tokens: parents come first. If no
   * token has a span, returns the active span.
   */
  of(event: CancelEvent): Map<Span, CancellationToken[]> {
    const found = new Map<Span, CancellationToken[]>()
    let isKnown = false
    const add = (token: CancellationToken) => {
      const span = this.#spans.get(token)
      isKnown ||= span !== undefined
      if (!span?.isRecording()) return
      const tokens = found.get(span)
      if (tokens) tokens.push(token)
      else found.set(span, [token])
    }
    for (const token of event.tokens()) add(token)
    // A token of the whole program, such as one for a signal of the process. The platform passes its cancellation
    // to the signals of the tokens that derive from it, and the event does not list these tokens. So each is read.
    if (!this.#spans.get(event.token)?.isRecording() && (event.token as TokenNode).extras?.controller) {
      for (const reference of this.#tokens) {
        const token = reference.deref()
        if (token?.cancelledBy === event.origin) add(token)
      }
    }
    const active = isKnown ? undefined : trace.getActiveSpan()
    if (active?.isRecording()) found.set(active, [event.token])
    return found
  }
}
