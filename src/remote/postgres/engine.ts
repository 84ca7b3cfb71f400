/** PostgreSQL as an engine: one connection for each link. */
import { createHash } from 'node:crypto'
import { type NamesOf, optionsOf } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import { type Client, makerOf, type PgClient, type PgPool } from './clients.js'
import { errorOf } from './failures.js'
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

  async connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    const client = this.#make()
    let link: PostgresLink | undefined
    let isGone: Error | undefined
    const lost = (error: Error) => {
      isGone ??= errorOf(this.place, error)
      link?.fail(isGone)
    }
    const close = () => end(client)
    client.on('error', lost)
    client.on('end', () => lost(new Error('the connection has ended')))
    const given = token.onCancel((error) => {
      lost(error)
      close()
    })
    try {
      await token.race(client.connect())
      // Whoever waits for something keeps the process alive by himself.
      client.unref?.()
      const channel = this.#channelOf(session)
      // Whatever the default of the database is.
      await token.race(client.query(`SET default_transaction_isolation = 'read committed'; LISTEN "${channel}"`))
      await token.race(this.#makeTables(client))
      link = new PostgresLink(this.place, client, this.#statements, session, channel, {
        notice: (state) => events.notice(state),
        lost: (error) => {
          close()
          events.lost(error)
        },
        closed: close,
      })
      await link.begin()
      if (isGone) throw isGone
      return link
    } catch (error) {
      link?.close()
      close()
      throw isGone ?? errorOf(this.place, errorFrom(error))
    } finally {
      given.stop()
    }
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
