/** The event `cancellation` of a span. */
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api'
import type { CancellationKind } from '../core/errors.js'
import { readable } from '../core/reasons.js'
import type { CancellationToken } from '../core/token.js'
import { timeLeftOf } from './time-left.js'

/** The most characters of a text from the program: a reason, a path, the text of a token. */
export const LONGEST = 256

/** The facts of a cancellation. */
export interface Facts {
  readonly kind: CancellationKind
  readonly reason: unknown
  readonly origin: CancellationToken
  /** As `performance.now()` gives it. Undefined if it is not known: the event then has the present time. */
  readonly at: number | undefined
}

/** Adds the event to a span. `tokens` are the tokens of the span that were cancelled, parents first. */
export function addCancellation(
  span: Span,
  tokens: readonly CancellationToken[],
  { kind, reason, origin, at }: Facts,
): void {
  const attributes: Attributes = {
    'calloff.kind': kind,
    'calloff.cancelled_by': readable(origin.name ?? String(origin), LONGEST),
  }
  if (reason !== undefined) attributes['calloff.reason'] = readable(reason, LONGEST)
  const names = tokens[0]?.path.flatMap(({ name }) => name ?? []) ?? []
  if (names.length > 0) attributes['calloff.path'] = readable(names.join(' > '), LONGEST)
  const left =
    kind === 'timeout' ? Infinity : tokens.reduce((least, token) => Math.min(least, timeLeftOf(token)), Infinity)
  if (left < Infinity) attributes['calloff.remaining'] = Math.round(left)
  span.addEvent('cancellation', attributes, at)
}

/** Gives a span the status of an operation that has failed. */
export function setError(span: Span, type: string, message: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR, message })
}
