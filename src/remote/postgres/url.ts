/** `postgres://` and `postgresql://`. */
import type { Engine } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { missing } from '../adapter/optional-package.js'
import { postgresEngine } from './engine.js'

/** `?table=` is the engine's; the rest of the URL is read by the client. */
export async function engineOfUrl(url: URL, tls: object): Promise<Engine> {
  const table = url.searchParams.get('table') ?? undefined
  const bare = new URL(url)
  bare.searchParams.delete('table')
  const config = { connectionString: bare.href, ...(Object.keys(tls).length > 0 ? { ssl: tls } : {}) }
  try {
    const { Client } = await import('pg')
    return postgresEngine(() => new Client(config), { table })
  } catch (cause) {
    if (!missing(cause)) throw cause
    throw new HubError('ERR_HUB_SCHEME', `${url.protocol} needs the package pg`, { cause })
  }
}
