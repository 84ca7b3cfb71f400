/**
 * The token hub over PostgreSQL.
 *
 * @module
 */
export type { PgClient, PgPool } from './clients.js'
export { postgresEngine, type PostgresEngineOptions } from './engine.js'
export { postgresSchema } from './schema.js'
