/**
 * The schemes of the URL of a hub: the one table that `connectHub`, the command line and the tests read. Each scheme needs an engine in
 * engines.ts, which the compiler checks, and a line in docs/guides/remote.md, which a test checks.
 */

/** The kind of server: a `TokenServer` at a socket of this machine, a `TokenServer` at a port, or a server with an adapter. */
export type Carrier = 'socket' | 'port' | 'adapter'

export const schemes = {
  'unix:': 'socket',
  'pipe:': 'socket',
  'tcp:': 'port',
  'tls:': 'port',
  'redis:': 'adapter',
  'rediss:': 'adapter',
  'nats:': 'adapter',
  'postgres:': 'adapter',
  'postgresql:': 'adapter',
} as const satisfies Record<string, Carrier>

export type Scheme = keyof typeof schemes

export function isScheme(text: string): text is Scheme {
  return Object.hasOwn(schemes, text)
}

/** Returns the kind of server for a URL; undefined if its scheme is unknown. */
export function carrierOf(url: string): Carrier | undefined {
  const scheme = /^[a-z]+:/i.exec(url)?.[0].toLowerCase() ?? ''
  return isScheme(scheme) ? schemes[scheme] : undefined
}
