/**
 * The statements for PostgreSQL. Each statement is a transaction of its own, at READ COMMITTED.
 *
 * Invariants
 * PG1. Holders are stored and committed before topics are read. A mark is stored and committed before its holders are
 *     read. So if one client enters while another marks, at least one of them sees the other (E4, E5).
 * PG2. Rows of several topics are written in the order of their names, so two processes never deadlock.
 * PG3. Times are times of the server. A reader treats an expired row as expired, even if it was not removed yet.
 * PG4. All numbers are sent as text, because a process can configure how its client parses the types of PostgreSQL.
 */
import { FORGOTTEN_PER_TOPIC, LEASE_REMEMBERED_FOR, SILENT_FOR } from '../contract/engine.js'
import { EXPIRES_AT, type Tables } from './schema.js'

const ms = (parameter: string): string => `${parameter}::float8 * interval '1 ms'`
const LOST_FOR = `interval '${LEASE_REMEMBERED_FOR} ms'`

/**
 * The state of topics, as texts: name, run, mark, and for the lease the fence, the time left and the last term that was
 * lost.
 */
const STATE = `name, run,
  CASE WHEN mark_ends > statement_timestamp() THEN mark END,
  CASE WHEN lease_kept > statement_timestamp() THEN fence::text END,
  greatest(0, extract(epoch FROM lease_ends - statement_timestamp()) * 1000)::text,
  (CASE WHEN lease_ends <= statement_timestamp() THEN fence ELSE lost END)::text`

const GIVEN = 'SELECT DISTINCT name, run FROM unnest($1::text[], $2::text[]) AS given (name, run)'

export interface Statements {
  /** first table, last table. Returns the name of each, or null if it does not exist. If both exist, none is made. */
  readonly exists: string
  /** id, channel, host, pid, ttl */
  readonly attach: string
  /** id */
  readonly beat: string
  /**
   * session, ids, names, runs, states, roles, sinces. Returns whether the session lives, and how many holders were
   * entered.
   */
  readonly enter: string
  /** session, ids */
  readonly leave: string
  /** session */
  readonly bye: readonly [holders: string, session: string]
  /** names, runs */
  readonly read: string
  /** names, runs, marks, their ids, ttls. Returns the topics whose mark this is. */
  readonly mark: string
  /** names, runs */
  readonly announce: string
  /** from, below */
  readonly listTopics: string
  readonly listHolders: string
  /** name, run */
  readonly reportHolders: string
  /** name, run */
  readonly forget: string
  /** name, run, owner, ttl. Returns the fence; nothing if another owner has the lease. */
  readonly acquire: string
  /** name, run, fence, ttl */
  readonly renew: string
  /** name, run, fence */
  readonly release: string
  readonly clean: readonly string[]
}

export function statementsFor({ topics, holders, sessions, fences }: Tables): Statements {
  const holder = `h.name, h.run, s.number::text, s.host, s.pid::text,
  (s.heard + ${ms('s.ttl')} < statement_timestamp())::int::text, h.id::text, h.state::text, h.role::text, h.since::text
  FROM ${holders} AS h JOIN ${sessions} AS s ON s.id = h.session`
  const inRange = 'name >= $1 AND ($2::text IS NULL OR name < $2)'
  const running = 'stored.lease_ends > statement_timestamp()'
  return {
    exists: 'SELECT to_regclass($1)::text, to_regclass($2)::text',

    attach: `INSERT INTO ${sessions} (id, channel, host, pid, ttl, heard)
VALUES ($1, $2, $3, $4::bigint, $5::float8, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET heard = clock_timestamp(), channel = EXCLUDED.channel`,

    beat: `WITH lives AS (UPDATE ${sessions} SET heard = clock_timestamp() WHERE id = $1 RETURNING channel)
SELECT pg_notify(channel, '') FROM lives`,

    enter: `WITH lives AS (UPDATE ${sessions} SET heard = clock_timestamp() WHERE id = $1 RETURNING id),
entered AS (
  INSERT INTO ${holders} AS stored (session, id, name, run, state, role, since)
  SELECT lives.id, given.* FROM lives,
    unnest($2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::float8[]) AS given
  ON CONFLICT (session, id) DO UPDATE SET state = greatest(stored.state, EXCLUDED.state)
    WHERE stored.name = EXCLUDED.name AND stored.run = EXCLUDED.run
  RETURNING 1
)
SELECT (SELECT count(*) FROM lives)::text, (SELECT count(*) FROM entered)::text`,

    leave: `DELETE FROM ${holders} WHERE session = $1 AND id = ANY ($2::bigint[])`,

    bye: [`DELETE FROM ${sessions} WHERE id = $1`, `DELETE FROM ${holders} WHERE session = $1`],

    read: `SELECT ${STATE} FROM ${topics} JOIN (${GIVEN}) AS given USING (name, run)`,

    mark: `INSERT INTO ${topics} AS stored (name, run, mark, mark_id, mark_ends)
SELECT name, run, mark, id, clock_timestamp() + ${ms('ttl')}
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS given (name, run, mark, id, ttl)
ORDER BY name COLLATE "C", run COLLATE "C"
ON CONFLICT (name, run) DO UPDATE SET
  mark = EXCLUDED.mark, mark_id = EXCLUDED.mark_id, mark_ends = EXCLUDED.mark_ends
  WHERE (stored.mark IS NULL OR stored.mark_ends <= clock_timestamp())
    AND NOT coalesce(EXCLUDED.mark_id = ANY (stored.forgotten) AND stored.forgotten_ends > clock_timestamp(), false)
RETURNING name, run`,

    // Only the topics, because a notification has room for 8,000 bytes. The receiver reads their state.
    announce: `SELECT pg_notify(channel, json_build_array(name, run)::text) FROM (
  SELECT DISTINCT s.channel, h.name, h.run FROM ${holders} AS h
  JOIN (${GIVEN}) AS given USING (name, run) JOIN ${sessions} AS s ON s.id = h.session
) AS told`,

    listTopics: `SELECT ${STATE} FROM ${topics} WHERE ${inRange}`,
    listHolders: `SELECT ${holder} WHERE ${inRange.replaceAll('name', 'h.name')}`,
    reportHolders: `SELECT ${holder} WHERE h.name = $1 AND h.run = $2`,

    // In the same row, so a mark that waits for this statement sees it (E2).
    forget: `UPDATE ${topics} SET mark = NULL, mark_id = NULL, mark_ends = NULL,
  forgotten = CASE WHEN mark_ends > clock_timestamp() AND mark_id <> ''
    THEN (array_prepend(mark_id, CASE WHEN forgotten_ends > clock_timestamp() THEN forgotten END))[1:${FORGOTTEN_PER_TOPIC}]
    ELSE forgotten END,
  forgotten_ends = CASE WHEN mark_ends > clock_timestamp() THEN greatest(forgotten_ends, mark_ends)
    ELSE forgotten_ends END,
  fence = CASE WHEN lease_ends > clock_timestamp() THEN fence END,
  lease_kept = CASE WHEN lease_ends > clock_timestamp() THEN lease_kept END
WHERE name = $1 AND run = $2`,

    // Whether the lease has expired is decided at the moment when the statement arrived. That moment is the same in the
    // whole statement. It is not later than the moment when another owner, for which the statement had to wait, has
    // taken the lease. Only the owner that still has the lease may extend it.
    acquire: `INSERT INTO ${topics} AS stored (name, run, owner, fence, lease_ends, lost, lease_kept)
VALUES ($1, $2, $3, nextval('${fences.replaceAll("'", "''")}'), clock_timestamp() + ${ms('$4')}, 0,
  clock_timestamp() + ${ms('$4')} + ${LOST_FOR})
ON CONFLICT (name, run) DO UPDATE SET
  owner = EXCLUDED.owner,
  fence = CASE WHEN ${running} THEN stored.fence ELSE EXCLUDED.fence END,
  lost = CASE WHEN stored.lease_kept IS NULL OR stored.lease_kept <= statement_timestamp() THEN 0
    WHEN stored.lease_ends <= statement_timestamp() THEN stored.fence ELSE stored.lost END,
  lease_ends = clock_timestamp() + ${ms('$4')},
  lease_kept = clock_timestamp() + ${ms('$4')} + ${LOST_FOR}
WHERE stored.lease_ends IS NULL OR stored.lease_ends <= statement_timestamp()
  OR (stored.owner = EXCLUDED.owner AND stored.lease_ends > clock_timestamp())
RETURNING fence::text`,

    renew: `UPDATE ${topics} SET
  lease_ends = clock_timestamp() + ${ms('$4')}, lease_kept = clock_timestamp() + ${ms('$4')} + ${LOST_FOR}
WHERE name = $1 AND run = $2 AND fence = $3::bigint AND lease_ends > clock_timestamp()
RETURNING 1`,

    release: `UPDATE ${topics} SET owner = NULL, lease_ends = NULL,
  lease_kept = CASE WHEN lost > 0 THEN clock_timestamp() + ${LOST_FOR} END
WHERE name = $1 AND run = $2 AND fence = $3::bigint AND lease_ends > clock_timestamp()
RETURNING 1`,

    clean: [
      `WITH dead AS (
  DELETE FROM ${sessions} WHERE heard + ${ms(`(ttl + ${SILENT_FOR})`)} < statement_timestamp() RETURNING id
)
DELETE FROM ${holders} WHERE session IN (SELECT id FROM dead)`,
      // Locked first, so that no other statement stores data in a row that is being removed.
      `DELETE FROM ${topics} USING (
  SELECT name AS n, run AS r FROM ${topics} WHERE ${EXPIRES_AT} <= statement_timestamp()
  LIMIT 1000 FOR UPDATE SKIP LOCKED
) AS expired WHERE name = n AND run = r`,
    ],
  }
}
