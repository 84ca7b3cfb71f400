/**
 * Tokens for the Node platform, which also work in Bun and Deno: signals, child processes, requests, streams, the async
 * context.
 *
 * Importing this module makes listeners run in the async context in which they were registered, and publishes on
 * `node:diagnostics_channel` what happens. If the environment variable `CALLOFF_INSPECT` is set, it also starts
 * `calloff/inspector`.
 *
 * @module
 */
import './context/async-context.js'
import './diagnostics/channels.js'
import '../inspector/on-demand.js'

export { currentToken, withToken } from './context/ambient.js'
export { type ProcessSignalArgument, ProcessSignalToken } from './signals/process-signals.js'

// What is published on node:diagnostics_channel
export type { ScopeMessage, TaskMessage } from './diagnostics/channels.js'

// Child processes
export { ProcessError, type ProcessErrorDetails } from './processes/errors.js'
export { run, type RunInput, type RunOptions, type RunReport } from './processes/run.js'
export { fromParent, type FromParentOptions } from './lending/from-parent.js'
export { lendToken, type LendOptions, type LentToken } from './lending/lend-token.js'
export { NoParentError, ParentThreadError } from './lending/errors.js'
export { type ProcessReport, type RunningProcess, spawn, type SpawnOptions } from './processes/spawn.js'

// Events and streams
export { type Emitter, on, once, type OnOptions } from './streams/events.js'
export { pipeline, type PipelineOptions, type PipelineStep, pipeTo, type PipeToOptions } from './streams/streams.js'

// HTTP requests as tokens
export { fromRequest, type FetchRequest, type RequestOptions } from './requests/from-request.js'
export { withRequestToken } from './requests/handler.js'
export {
  type BunWebSocket,
  type BunWebSocketHandlers,
  fromWebSocket,
  type WebSocketClose,
  type WebSocketCloseEvent,
  type WebSocketLike,
  type WebSocketOptions,
  withWebSocketTokens,
} from './requests/web-socket.js'
