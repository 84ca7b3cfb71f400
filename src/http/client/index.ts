/**
 * The client of the hub over HTTP, for browsers and every program with fetch.
 *
 * @module
 */
export type { MarkValue } from '../values.js'
