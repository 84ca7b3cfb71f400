/** PostgreSQL as an engine: each link has one connection. */
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

/** The options of `postgresEngine`. */
export interface PostgresEngineOptions {
  /** The prefix of the names of the tables, with or without a schema: `'jobs'`, `'app.jobs'`. Default: `'calloff'`. */
  readonly table?: string | undefined
}

const ENGINE_OPTIONS: NamesOf<PostgresEngineOptions> = ['table']

/** The id of the lock that a client holds while it creates the tables. Two clients that create them at the same time would fail. */
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
      // A pending promise keeps the process alive by itself.
      client.unref?.()
      const channel = this.#channelOf(session)
      // Independent of the default of the database.
      await client.query(`SET default_transaction_isolation = 'read committed'; LISTEN "${channel}"`)
      await this.#makeTables(client)
      const link = new PostgresLink(opening, client, this.#statements, channel)
      await link.begin()
      return link
    })
  }

  /** At most 63 bytes, the same for all links of a session, and different for other tables. */
  #channelOf({ id }: Session): string {
    return `calloff_${createHash('sha1').update(`${this.#tables.topics}\0${id}`).digest('hex')}`
  }

  async #makeTables(client: Client): Promise<void> {
    const { topics, holders } = this.#tables
    const { rows } = await client.query<(string | null)[]>({
      text: this.#statements.exists,
      // The first table that is created, and the last.
      values: [topics, holders],
      rowMode: 'array',
    })
    if (rows[0]?.every((name) => name !== null)) return
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${LOCK}); ${postgresSchema(this.#table)} COMMIT`)
  }
}

/** Closes the connection at once: `end` could wait for an answer for ever. */
function end(client: Client): void {
  client.end().catch(() => {})
  ;(client as { connection?: { stream?: { destroy?(): void } } }).connection?.stream?.destroy?.()
}

/**
 * An engine over PostgreSQL (12 or newer), for `connectHub`: from a `Pool` of [pg](https://www.npmjs.com/package/pg) 8, or a
 * function that makes a `Client` of it, not connected yet.
 *
 * The pool is a template: each hub makes one connection with its options, keeps it, and makes a new one when it is lost. The connection
 * must lead to the server itself, or to a pooler in session mode, because of `LISTEN`.
 *
 * Missing tables are created. If the user may not create tables, run `postgresSchema` in a migration.
 *
 * Errors: `TypeError` if `pool` is not a pool; `RangeError` for an invalid table name. Connecting rejects with `ERR_HUB_REFUSED` if
 * notifications do not come back.
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
