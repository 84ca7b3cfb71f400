/**
 * Tokens by name, across processes and machines.
 *
 * @module
 */
export { connectHub } from './connect.js'
export type { HubCancel, HubMessage, HubSource } from './client/hub-channel.js'
export { HubError, type HubErrorCode } from './contract/errors.js'
export { type ServerLimits, type ServerOptions, TokenServer } from './server/token-server.js'

export type {
  CancelOptions,
  ExposeOptions,
  Exposure,
  Holder,
  HolderState,
  HubEvent,
  HubOptions,
  HubState,
  LeaseOptions,
  Listing,
  Mark,
  OpenOptions,
  Receipt,
  NameOptions,
  TokenHub,
  Who,
} from './contract/hub.js'
export type { LeaseToken, RemoteToken } from './contract/remote-token.js'
