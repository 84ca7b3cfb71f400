/** What callers of a hub ask for, checked. */
import { optional, optionsOf, wrongType } from '../core/arguments.js'
import { type CancellationToken, type Nested, toToken } from '../core/token.js'
import type { Topic } from './engine.js'
import type { CancelOptions, ExposeOptions, LeaseOptions } from './hub.js'
import { topicOf } from './names.js'
import { period } from './settings.js'

/** A cancel by name. */
export interface Asked {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number | undefined
  readonly until: 'acknowledged' | 'finished'
}

export function cancelAsked(name: unknown, options: CancelOptions | undefined, most: number): Asked {
  const topic = topicOf(name, options)
  const { until = 'finished', within, ttl } = optionsOf(options)
  if (until !== 'acknowledged' && until !== 'finished') throw wrongType('until', "'acknowledged' or 'finished'", until)
  return {
    topic,
    until,
    within: within === undefined ? undefined : period('within', within, 0),
    ttl: period('ttl', ttl ?? most, 1),
  }
}

/** A token to be seen by others. */
export interface AskedExposure {
  readonly topic: Topic
  readonly source: CancellationToken
  readonly cancellable: boolean
}

export function exposeAsked(name: unknown, token: Nested, options: ExposeOptions | undefined): AskedExposure {
  const topic = topicOf(name, options)
  const source = toToken(token)
  if (!source) throw wrongType('token', 'a token or an AbortSignal', token)
  return { topic, source, cancellable: optional('cancellable', 'boolean', optionsOf(options).cancellable) ?? false }
}

/** A lease. */
export interface AskedLease {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number
}

export function leaseAsked(name: unknown, options: LeaseOptions): AskedLease {
  const topic = topicOf(name, options)
  const { ttl, within } = optionsOf(options)
  return { topic, ttl: period('ttl', ttl, 100), within: period('within', within ?? 0, 0) }
}
