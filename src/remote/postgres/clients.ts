/** The used part of the package pg. */
import type { ClientBase } from 'pg'
import { wrongType } from '../../core/arguments.js'

/** The used part of `new Pool(…)`: how its clients are made. */
export interface PgPool {
  readonly options: object
  connect(...given: never[]): unknown
}

/** The used part of `new Client(…)`. */
export interface PgClient {
  connect(...given: never[]): unknown
  query(...given: never[]): unknown
  end(...given: never[]): unknown
}

/** The methods of a client that this folder uses. */
export type Client = ClientBase & { end(): Promise<void>; unref?(): void }

/** Makes clients that are not connected yet. */
export function makerOf(source: PgPool | (() => PgClient)): () => Client {
  if (typeof source === 'function') return source as unknown as () => Client
  const { options, Client } = (source ?? {}) as { options?: object; Client?: new (options: object) => Client }
  if (typeof options !== 'object' || typeof Client !== 'function') {
    throw wrongType('pool', 'a Pool of pg, or a function that makes a Client of it', source)
  }
  return () => new Client(options)
}
