/** The tables of a hub. */
import { optional } from '../../core/arguments.js'

/** The names of the tables, quoted as they go into statements. */
export interface Tables {
  readonly topics: string
  readonly holders: string
  readonly sessions: string
  readonly fences: string
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Until when there is something to know about a topic. */
export const OVER = "coalesce(greatest(mark_ends, forgotten_ends, lease_kept), '-infinity')"

/** From `calloff`, or `schema.calloff`: what all names begin with. */
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
 * The statements that make the tables of a hub: for a migration, where the hub itself may not create any. They may be run
 * again.
 *
 * Only topics (marks and leases) are kept by a crash; who has them open is entered again by itself, so these tables are
 * unlogged, and cost the write-ahead log nothing. They own no sequence: PostgreSQL 15 and newer make that unlogged, too, and
 * on a standby that has taken over it cannot be read ("bad magic number in sequence").
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
  // Of collation "C", which compares bytes: the same on every system, and what a range of names needs.
  const name = 'name text COLLATE "C" NOT NULL, run text COLLATE "C" NOT NULL'
  return `
CREATE TABLE IF NOT EXISTS ${topics} (
  ${name},
  mark text, mark_id text, mark_ends timestamptz,
  forgotten text[], forgotten_ends timestamptz,
  owner text, fence bigint, lease_ends timestamptz, lost bigint, lease_kept timestamptz,
  PRIMARY KEY (name, run)
);
CREATE INDEX IF NOT EXISTS ${indexOf(topics, 'over')} ON ${topics} (${OVER});
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
