/** The tables of a hub. */
import { optional } from '../../core/arguments.js'

/** The names of the tables, quoted for statements. */
export interface Tables {
  readonly topics: string
  readonly holders: string
  readonly sessions: string
  readonly fences: string
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** When a row of a topic expires. */
export const EXPIRES_AT = "coalesce(greatest(mark_ends, forgotten_ends, lease_kept), '-infinity')"

/** Returns the names from a prefix such as `calloff` or `schema.calloff`. */
export function tablesOf(table: unknown): Tables {
  const given = optional('table', 'string', table as string | undefined) ?? 'calloff'
  const parts = given.split('.')
  if (parts.length > 2 || parts.some((part) => part === '' || part.includes('\0') || Buffer.byteLength(part) > 48)) {
    throw new RangeError(`table must be a name or schema.name, of at most 48 bytes each, got ${JSON.stringify(given)}`)
  }
  const name = parts.at(-1) as string
  const schema = parts.length > 1 ? `${quoted(parts[0] as string)}.` : ''
  const named = (what: string) => `${schema}${quoted(`${name}_${what}`)}`
  return { topics: named('topics'), holders: named('holders'), sessions: named('sessions'), fences: named('fences') }
}

/**
 * Returns the statements that create the tables of a hub, for a migration if the hub itself may not create tables. They may be run
 * again.
 *
 * Only topics (marks and leases) must survive a crash. Clients enter sessions and holders again, so those tables are unlogged and cost
 * the write-ahead log nothing. They own no sequence: PostgreSQL 15 and newer would make it unlogged, too, and it could not be read on a
 * standby that has taken over ("bad magic number in sequence").
 *
 * @param table as given to `postgresEngine`
 *
 * @example
 * ```ts
 * import { postgresSchema } from 'calloff/remote/postgres'
 *
 * console.log(postgresSchema('jobs').includes('CREATE TABLE IF NOT EXISTS "jobs_topics"')) // → true
 * ```
 */
export function postgresSchema(table?: string): string {
  const { topics, holders, sessions, fences } = tablesOf(table)
  // Collation "C" compares bytes: it is the same on every system, and ranges of names need it.
  const name = 'name text COLLATE "C" NOT NULL, run text COLLATE "C" NOT NULL'
  return `
CREATE TABLE IF NOT EXISTS ${topics} (
  ${name},
  mark text, mark_id text, mark_ends timestamptz,
  forgotten text[], forgotten_ends timestamptz,
  owner text, fence bigint, lease_ends timestamptz, lost bigint, lease_kept timestamptz,
  PRIMARY KEY (name, run)
);
CREATE INDEX IF NOT EXISTS ${indexOf(topics, 'over')} ON ${topics} (${EXPIRES_AT});
CREATE SEQUENCE IF NOT EXISTS ${fences};
CREATE UNLOGGED TABLE IF NOT EXISTS ${sessions} (
  id text PRIMARY KEY,
  number bigint NOT NULL DEFAULT nextval('${fences.replaceAll("'", "''")}'),
  channel text NOT NULL, host text NOT NULL, pid bigint NOT NULL,
  ttl double precision NOT NULL, heard timestamptz NOT NULL
);
CREATE UNLOGGED TABLE IF NOT EXISTS ${holders} (
  session text NOT NULL, id bigint NOT NULL,
  ${name},
  state smallint NOT NULL, role smallint NOT NULL, since double precision NOT NULL,
  PRIMARY KEY (session, id)
);
CREATE INDEX IF NOT EXISTS ${indexOf(holders, 'topic')} ON ${holders} (name, run);
`
}

/** An index is in the schema of its table, and is not named with it. */
function indexOf(table: string, what: string): string {
  return (table.split('"."').at(-1) as string).replace(/^"?/, '"').replace(/"$/, `_${what}"`)
}
