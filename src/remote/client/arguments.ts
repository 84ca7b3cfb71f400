/** Checks the arguments of the methods of a hub and applies defaults. */
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { isView } from '../../core/graph.js'
import { type CancellationToken, type TokenOrSignal, toToken } from '../../core/token.js'
import type { Topic } from '../contract/engine.js'
import type { CancelOptions, ExposeOptions, LeaseOptions, OpenOptions, NameOptions } from '../contract/hub.js'
import { topicOf } from '../contract/topic.js'
import { period } from '../contract/limits.js'
import { policyOf } from './options.js'

/** The options of `close` of a hub. */
interface CloseOptions {
  readonly timeout?: number | undefined
}

const RUN_OPTIONS: NamesOf<NameOptions> = ['runId']
const OPEN_OPTIONS: NamesOf<OpenOptions> = ['runId', 'onDisconnect', 'replace', 'timeout']
const CANCEL_OPTIONS: NamesOf<CancelOptions> = ['runId', 'timeout', 'until', 'ttl']
const EXPOSE_OPTIONS: NamesOf<ExposeOptions> = ['runId', 'cancellable']
const LEASE_OPTIONS: NamesOf<LeaseOptions> = ['runId', 'ttl', 'timeout']
const CLOSE_OPTIONS: NamesOf<CloseOptions> = ['timeout']

type OpenRequest = Pick<OpenOptions, 'onDisconnect'> & {
  readonly topic: Topic
  /** How long to wait for the tokens that it replaces, in milliseconds. Undefined if it replaces none. */
  readonly replaceIn: number | undefined
}

export function openRequest(name: unknown, options: OpenOptions | undefined): OpenRequest {
  const { runId, onDisconnect, replace, timeout } = optionsOf(options, OPEN_OPTIONS)
  const replaces = optional('replace', 'boolean', replace) ?? false
  if (timeout !== undefined && !replaces) throw new TypeError('timeout needs replace: true')
  return {
    topic: topicOf(name, runId),
    onDisconnect: policyOf(onDisconnect),
    replaceIn: replaces ? period('timeout', timeout ?? 30_000, 0) : undefined,
  }
}

export interface CancelRequest {
  readonly topic: Topic
  readonly ttl: number
  readonly timeout: number | undefined
  readonly until: 'acknowledged' | 'finished'
}

export function cancelRequest(name: unknown, options: CancelOptions | undefined, defaultTtl: number): CancelRequest {
  const { runId, until = 'finished', timeout, ttl } = optionsOf(options, CANCEL_OPTIONS)
  const topic = topicOf(name, runId)
  if (until !== 'acknowledged' && until !== 'finished') throw wrongType('until', "'acknowledged' or 'finished'", until)
  return {
    topic,
    until,
    timeout: timeout === undefined ? undefined : period('timeout', timeout, 0),
    ttl: period('ttl', ttl ?? defaultTtl, 1),
  }
}

export function topicRequest(name: unknown, options: NameOptions | undefined): Topic {
  return topicOf(name, optionsOf(options, RUN_OPTIONS).runId)
}

export function exposeRequest(
  name: unknown,
  token: TokenOrSignal,
  options: ExposeOptions | undefined,
): { readonly topic: Topic; readonly source: CancellationToken; readonly cancellable: boolean } {
  const { runId, cancellable } = optionsOf(options, EXPOSE_OPTIONS)
  const topic = topicOf(name, runId)
  const source = toToken(token)
  if (!source) throw wrongType('token', 'a token or an AbortSignal', token)
  const isCancellable = optional('cancellable', 'boolean', cancellable) ?? false
  if (isCancellable && isView(token)) throw new TypeError('cancellable must not be true for a view of a token')
  return { topic, source, cancellable: isCancellable }
}

export interface LeaseRequest {
  readonly topic: Topic
  readonly ttl: number
  readonly timeout: number | undefined
}

export function leaseRequest(name: unknown, options: LeaseOptions): LeaseRequest {
  const { runId, ttl, timeout } = optionsOf(options, LEASE_OPTIONS)
  return {
    topic: topicOf(name, runId),
    ttl: period('ttl', ttl, 100),
    timeout: timeout === undefined ? undefined : period('timeout', timeout, 0),
  }
}

/** The default time limit of `close`, in milliseconds. */
export function closeTimeout(options: CloseOptions | undefined): number {
  return period('timeout', optionsOf(options, CLOSE_OPTIONS).timeout ?? 5_000, 0)
}
