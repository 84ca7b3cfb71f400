/** The arguments of a hub's methods, checked, with their defaults. */
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

export interface OpenRequest {
  readonly topic: Topic
  readonly onDisconnect: 'keep' | 'cancel' | undefined
}

export function openRequest(name: unknown, options: OpenOptions | undefined): OpenRequest {
  const given = optionsOf(options, OPEN_OPTIONS)
  return { topic: topicOf(name, given.run), onDisconnect: policyOf(given.onDisconnect) }
}

export interface CancelRequest {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number | undefined
  readonly until: 'acknowledged' | 'finished'
}

export function cancelRequest(name: unknown, options: CancelOptions | undefined, defaultTtl: number): CancelRequest {
  const { run, until = 'finished', within, ttl } = optionsOf(options, CANCEL_OPTIONS)
  const topic = topicOf(name, run)
  if (until !== 'acknowledged' && until !== 'finished') throw wrongType('until', "'acknowledged' or 'finished'", until)
  return {
    topic,
    until,
    within: within === undefined ? undefined : period('within', within, 0),
    ttl: period('ttl', ttl ?? defaultTtl, 1),
  }
}

export function topicRequest(name: unknown, options: RunOptions | undefined): Topic {
  return topicOf(name, optionsOf(options, RUN_OPTIONS).run)
}

export interface ExposeRequest {
  readonly topic: Topic
  readonly source: CancellationToken
  readonly cancellable: boolean
}

export function exposeRequest(name: unknown, token: Nested, options: ExposeOptions | undefined): ExposeRequest {
  const { run, cancellable } = optionsOf(options, EXPOSE_OPTIONS)
  const topic = topicOf(name, run)
  const source = toToken(token)
  if (!source) throw wrongType('token', 'a token or an AbortSignal', token)
  return { topic, source, cancellable: optional('cancellable', 'boolean', cancellable) ?? false }
}

export interface LeaseRequest {
  readonly topic: Topic
  readonly ttl: number
  readonly within: number | undefined
}

export function leaseRequest(name: unknown, options: LeaseOptions): LeaseRequest {
  const { run, ttl, within } = optionsOf(options, LEASE_OPTIONS)
  return {
    topic: topicOf(name, run),
    ttl: period('ttl', ttl, 100),
    within: within === undefined ? undefined : period('within', within, 0),
  }
}

/** Milliseconds that `close` may take. */
export function closeTimeout(options: CloseOptions | undefined): number {
  return period('within', optionsOf(options, CLOSE_OPTIONS).within ?? 5_000, 0)
}
