/** What callers of a hub ask for, checked. */
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { type CancellationToken, type Nested, toToken } from '../../core/token.js'
import type { Topic } from '../contract/engine.js'
import type { CancelOptions, ExposeOptions, LeaseOptions, OpenOptions, RunOptions } from '../contract/hub.js'
import { topicOf } from '../contract/topic.js'
import { period } from '../contract/limits.js'
import { policyOf } from './options.js'

/** What `close` of a hub takes. */
interface CloseOptions {
  readonly within?: number | undefined
}

const RUN_OPTIONS: NamesOf<RunOptions> = ['run']
const OPEN_OPTIONS: NamesOf<OpenOptions> = ['run', 'onDisconnect']
const CANCEL_OPTIONS: NamesOf<CancelOptions> = ['run', 'within', 'until', 'ttl']
const EXPOSE_OPTIONS: NamesOf<ExposeOptions> = ['run', 'cancellable']
const LEASE_OPTIONS: NamesOf<LeaseOptions> = ['run', 'ttl', 'within']
const CLOSE_OPTIONS: NamesOf<CloseOptions> = ['within']

/** A token of a name. */
export interface AskedToken {
  readonly topic: Topic
  readonly onDisconnect: 'keep' | 'cancel' | undefined
}

export function openAsked(name: unknown, options: OpenOptions | undefined): AskedToken {
  const given = optionsOf(options, OPEN_OPTIONS)
  return { topic: topicOf(name, given.run), onDisconnect: policyOf(given.onDisconnect) }
}

/** A cancel by name. */
export interface Asked {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number | undefined
  readonly until: 'acknowledged' | 'finished'
}

export function cancelAsked(name: unknown, options: CancelOptions | undefined, most: number): Asked {
  const { run, until = 'finished', within, ttl } = optionsOf(options, CANCEL_OPTIONS)
  const topic = topicOf(name, run)
  if (until !== 'acknowledged' && until !== 'finished') throw wrongType('until', "'acknowledged' or 'finished'", until)
  return {
    topic,
    until,
    within: within === undefined ? undefined : period('within', within, 0),
    ttl: period('ttl', ttl ?? most, 1),
  }
}

/** A name, and nothing else about it. */
export function runAsked(name: unknown, options: RunOptions | undefined): Topic {
  return topicOf(name, optionsOf(options, RUN_OPTIONS).run)
}

/** A token to be seen by others. */
export interface AskedExposure {
  readonly topic: Topic
  readonly source: CancellationToken
  readonly cancellable: boolean
}

export function exposeAsked(name: unknown, token: Nested, options: ExposeOptions | undefined): AskedExposure {
  const { run, cancellable } = optionsOf(options, EXPOSE_OPTIONS)
  const topic = topicOf(name, run)
  const source = toToken(token)
  if (!source) throw wrongType('token', 'a token or an AbortSignal', token)
  return { topic, source, cancellable: optional('cancellable', 'boolean', cancellable) ?? false }
}

/** A lease. */
export interface AskedLease {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number | undefined
}

export function leaseAsked(name: unknown, options: LeaseOptions): AskedLease {
  const { run, ttl, within } = optionsOf(options, LEASE_OPTIONS)
  return {
    topic: topicOf(name, run),
    ttl: period('ttl', ttl, 100),
    within: within === undefined ? undefined : period('within', within, 0),
  }
}

/** How long the last words of a hub may take. */
export function closeAsked(options: CloseOptions | undefined): number {
  return period('within', optionsOf(options, CLOSE_OPTIONS).within ?? 5_000, 0)
}
