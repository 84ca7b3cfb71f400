/** PostgreSQL as an engine: one connection for each link. */
import { createHash } from 'node:crypto'
import { type NamesOf, optionsOf } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'
import { openLink } from '../adapter/open-link.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { type Client, makerOf, type PgClient, type PgPool } from './clients.js'
import { classify, describe } from './failures.js'
import { PostgresLink } from './link.js'
import { postgresSchema, type Tables, tablesOf } from './schema.js'
import { type Statements, statementsFor } from './statements.js'

/** What `postgresEngine` takes. */
export interface PostgresEngineOptions {
  /** What the names of the tables begin with, perhaps with a schema: `'jobs'`, `'app.jobs'`. Default: `'calloff'`. */
  readonly table?: string | undefined
}

const ENGINE_OPTIONS: NamesOf<PostgresEngineOptions> = ['table']

/** Whoever makes the tables holds this lock, since two who make them at once get in each other's way. */
const LOCK = 0x63616c6c

class PostgresEngine implements Engine {
  readonly place = 'PostgreSQL'
  readonly classify = classify
  readonly describe = describe
  readonly #make: () => Client
  readonly #table: string | undefined
  readonly #tables: Tables
  readonly #statements: Statements

  constructor(make: () => Client, table: string | undefined) {
    this.#make = make
    this.#table = table
    this.#tables = tablesOf(table)
    this.#statements = statementsFor(this.#tables)
  }

  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    return openLink(this, session, events, token, async (opening) => {
      const client = opening.own(this.#make(), end)
      client.on('error', (error) => opening.lost(error))
      client.on('end', () => opening.lost(new Error('the connection has ended')))
      await client.connect()
      // Whoever waits for something keeps the process alive by himself.
      client.unref?.()
      const channel = this.#channelOf(session)
      // Whatever the default of the database is.
      await client.query(`SET default_transaction_isolation = 'read committed'; LISTEN "${channel}"`)
      await this.#makeTables(client)
      const link = new PostgresLink(opening, client, this.#statements, channel)
      await link.begin()
      return link
    })
  }

  /** At most 63 bytes, the same over all links of a session, and another one for other tables. */
  #channelOf({ id }: Session): string {
    return `calloff_${createHash('sha1').update(`${this.#tables.topics}\0${id}`).digest('hex')}`
  }

  async #makeTables(client: Client): Promise<void> {
    const { topics, holders } = this.#tables
    const { rows } = await client.query<(string | null)[]>({
      text: this.#statements.exists,
      // The first that is made, and the last.
      values: [topics, holders],
      rowMode: 'array',
    })
    if (rows[0]?.every((name) => name !== null)) return
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${LOCK}); ${postgresSchema(this.#table)} COMMIT`)
  }
}

/** At once: a good-bye might wait for an answer for ever. */
function end(client: Client): void {
  client.end().catch(() => {})
  ;(client as { connection?: { stream?: { destroy?(): void } } }).connection?.stream?.destroy?.()
}

/**
 * An engine over PostgreSQL (12 or newer), for `connectHub`: from a `Pool` of [pg](https://www.npmjs.com/package/pg) 8, or a
 * function that makes a `Client` of it, not connected yet.
 *
 * The pool itself is a pattern: each hub makes one connection like those of the pool, keeps it for as long as it lasts, and makes
 * it again when it is lost. It has to lead to the server itself, or to a pooler in session mode, because of `LISTEN`.
 *
 * The tables are created where they are missing; see `postgresSchema` for those who may not.
 *
 * Errors: `TypeError` for what is no pool; `RangeError` for a table that cannot be named so. Connecting rejects with
 * `ERR_HUB_REFUSED` where notifications do not come back.
 *
 * @example
 * ```ts no-run
 * import { connectHub } from 'calloff/remote'
 * import { postgresEngine } from 'calloff/remote/postgres'
 * import { Pool } from 'pg'
 *
 * const pool = new Pool({ connectionString: 'postgres://localhost/app' })
 * await using hub = await connectHub(postgresEngine(pool, { table: 'jobs' }))
 * const token = hub.open('report-7')
 * ```
 */
export function postgresEngine(pool: PgPool | (() => PgClient), options?: PostgresEngineOptions): Engine {
  return new PostgresEngine(makerOf(pool), optionsOf(options, ENGINE_OPTIONS).table)
}
