/**
 * Lets `calloff tree` ask a running process which tokens, scopes and tasks it has. Importing this module starts it, for
 * the main thread:
 *
 * ```sh
 * node --import calloff/inspector app.js
 * ```
 *
 * It runs on Node, Bun and Deno.
 *
 * @module
 */
import { startInspector } from './start.js'

export { type InspectorOptions, startInspector } from './start.js'

startInspector()
