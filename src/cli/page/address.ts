/** The address at which the page for operators is served, and the check that a request is meant for it. */
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { UsageError } from '../terminal/errors.js'

/** Where to listen. */
export interface Address {
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  readonly port: number
}

/** Parses `HOST:PORT`. Throws {@link UsageError} for other text. */
export function addressFrom(text: string): Address {
  const [, ipv6, name, digits] = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(text) ?? []
  const host = ipv6 ?? name
  const port = Number(digits)
  if (host === undefined || port > 65_535) {
    throw new UsageError(`--http takes HOST:PORT, such as 127.0.0.1:4748, got ${JSON.stringify(text)}`)
  }
  return { host, port }
}

/** Returns the URL of the page. A server that listens at all addresses is reached at the loopback address of this machine. */
export function urlOf({ host, port }: Address): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}/`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/**
 * Returns a check for the `Host` header of a request. A page of another site can give its own name the address of this server (DNS
 * rebinding). The browser then treats this server as that site, but it still sends the name of that site as `Host`.
 *
 * The port is not compared: it differs where a port is forwarded, and a foreign name is refused with any port.
 */
export function hostCheck({ host }: Address): (header: string | undefined) => boolean {
  const isEverywhere = host === '0.0.0.0' || host === '::'
  const names = new Set([host.toLowerCase()])
  if (isLoopback(host) || isEverywhere) for (const name of ['localhost', '127.0.0.1', '::1']) names.add(name)
  if (isEverywhere) names.add(hostname().toLowerCase())
  return (header) => {
    const [, ipv6, name] = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d+)?$/i.exec(header ?? '') ?? []
    const asked = (ipv6 ?? name)?.toLowerCase()
    if (asked === undefined) return false
    // An IP address cannot be rebound.
    return names.has(asked) || (isEverywhere && isIP(asked) !== 0)
  }
}
