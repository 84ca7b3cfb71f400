import { AsyncResource } from 'node:async_hooks'
import { type Binder, bindListeners } from '../../core/context.js'
import type { Listener } from '../../core/listener-promises.js'

/**
 * Once `calloff/node` has been imported, listeners run in the async context (`AsyncLocalStorage`) in which they were
 * registered, not in that of the canceller. This costs about 50 ns a listener, ten times the cost of a listener without
 * it. So the core alone does not do it.
 */
const inItsContext: Binder = (callback) => {
  const context = new AsyncResource('calloff.listener', { requireManualDestroy: true })
  const bound: typeof callback & Listener = (...args) => context.runInAsyncScope(callback, undefined, ...args)
  bound.listener = callback // `settled()` shows its name
  return bound
}

bindListeners(inItsContext)
