/** Checks the options of a hub and applies defaults. */
import { type NamesOf, nonNegative, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { keyOf } from '../wire/handshake.js'
import { MARK_TTL } from '../contract/engine.js'
import type { HubOptions } from '../contract/hub.js'
import { period } from '../contract/limits.js'

/** What only the engine gets. A hub does not keep it, so no log of a hub shows it. */
export interface Credentials {
  readonly key: Uint8Array
  readonly tls: object
}

/** The other options, checked, with defaults. */
export interface Settings {
  readonly ttl: number
  readonly onDisconnect: 'keep' | 'cancel'
  readonly disconnectAfter: number
  readonly lazy: boolean
  readonly timeout: number
  readonly sessionTtl: number
  readonly reread: number
  readonly first: number
  readonly most: number
}

export function policyOf(value: unknown): 'keep' | 'cancel' | undefined {
  if (value === undefined || value === 'keep' || value === 'cancel') return value
  throw wrongType('onDisconnect', "'keep' or 'cancel'", value)
}

const HUB_OPTIONS: NamesOf<HubOptions> = [
  'key',
  'tls',
  'ttl',
  'onDisconnect',
  'disconnectAfter',
  'lazy',
  'timeout',
  'sessionTtl',
  'reread',
  'background',
  'worker',
  'backOff',
]
const BACK_OFF_OPTIONS: NamesOf<NonNullable<HubOptions['backOff']>> = ['first', 'most']

export function hubOptionsOf(options: HubOptions | undefined): HubOptions {
  return optionsOf(options, HUB_OPTIONS)
}

export function credentialsOf(options: HubOptions | undefined): Credentials {
  const given = hubOptionsOf(options)
  if (given.tls !== undefined && (typeof given.tls !== 'object' || given.tls === null)) {
    throw wrongType('tls', 'an object of options for node:tls', given.tls)
  }
  return { key: keyOf(given.key), tls: given.tls ?? {} }
}

export function settingsOf(options: HubOptions | undefined): Settings {
  const given = hubOptionsOf(options)
  const { first = 50, most = 5_000 } = optionsOf(given.backOff, BACK_OFF_OPTIONS)
  return {
    ttl: period('ttl', given.ttl ?? MARK_TTL, 1),
    onDisconnect: policyOf(given.onDisconnect) ?? 'keep',
    disconnectAfter: nonNegative('disconnectAfter', given.disconnectAfter ?? 30_000),
    lazy: optional('lazy', 'boolean', given.lazy) ?? false,
    timeout: period('timeout', given.timeout ?? 10_000, 1),
    sessionTtl: period('sessionTtl', given.sessionTtl ?? 30_000, 100),
    reread: period('reread', given.reread ?? 30_000, 10),
    first: period('backOff.first', first, 1),
    most: period('backOff.most', most, 1),
  }
}
