/** The optional packages, loaded when they are needed. */
import type { jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { connect, headers } from '@nats-io/transport-node'
import { HubError } from '../contract/errors.js'
import { missing } from '../adapter/optional-package.js'

export interface Library {
  readonly connect: typeof connect
  readonly headers: typeof headers
  readonly jetstream: typeof jetstream
  readonly jetstreamManager: typeof jetstreamManager
}

/** Loads the packages. Rejects with `ERR_HUB_SCHEME` if one is not installed. */
export async function library(): Promise<Library> {
  try {
    const { connect, headers } = await import('@nats-io/transport-node')
    const { jetstream, jetstreamManager } = await import('@nats-io/jetstream')
    return { connect, headers, jetstream, jetstreamManager }
  } catch (cause) {
    if (!missing(cause)) throw cause
    const packages = '@nats-io/transport-node and @nats-io/jetstream'
    throw new HubError('ERR_HUB_SCHEME', `nats: needs the packages ${packages}`, { cause })
  }
}
