/**
 * What a URL of a hub may begin with: the one table that `connectHub`, the command line and the tests read. Whatever stands here needs an
 * engine in engines.ts, which the compiler insists on, and a line in docs/remote.md, which a test insists on.
 */

/** What listens: a `TokenServer` at a socket of this machine, a `TokenServer` at a port, or a server that an adapter talks to. */
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

/** What listens where a URL leads to; undefined where its scheme is not known. */
export function carrierOf(url: string): Carrier | undefined {
  const scheme = /^[a-z]+:/i.exec(url)?.[0].toLowerCase() ?? ''
  return isScheme(scheme) ? schemes[scheme] : undefined
}
