/**
 * Tokens as AbortSignals: a real one each, that neither leaks nor gets lost.
 *
 * Every token lazily owns one plain `AbortController`, its *source*. The signal of a token with nothing above it is its
 * source's; of any other it is `AbortSignal.any()` over its own source and every source above it. The engine aborts the
 * source of the token that was cancelled, and the platform carries it down. So the graph needs no downward edge for signals,
 * and no `WeakRef`: the platform sees through composites, and knows better than we can who still listens.
 *
 * Why not a controller for every token that the engine would abort? A composite made of such a signal holds it weakly, and
 * so only our graph could hold it: for ever (a leak) or not (a lost abort). Where the platform has no `AbortSignal.any` (React
 * Native) there are no composites, and so it is done there: nothing is lost, and a signal is held by the tokens above it.
 */
import { above, fireAll, hasRule, hubOf, reasonOf, subscribe, type TokenNode } from './graph.js'
import { compose, guardSource, noWarnings } from './signal-guards.js'

/** The signal of a node, the same at every call. */
export function signalOf(node: TokenNode): AbortSignal {
  const hub = hubOf(node)
  return (hub.signal ??= noWarnings(node.outcome ? abortedSignal(node) : liveSignal(node)))
}

function abortedSignal(node: TokenNode): AbortSignal {
  const reason = reasonOf(node.outcome as NonNullable<TokenNode['outcome']>)
  if (typeof AbortSignal === 'function' && typeof AbortSignal.abort === 'function') return AbortSignal.abort(reason)
  const controller = newController()
  controller.abort(reason)
  return controller.signal
}

function liveSignal(node: TokenNode): AbortSignal {
  if (!node.sources || node.opaque) return sourceOf(node).signal
  if (typeof AbortSignal === 'function' && typeof AbortSignal.any === 'function')
    return compose([...above(node, false)].map(sourceOf))
  const { signal } = sourceOf(node)
  fireAll()
  // For good. If the node was just found cancelled, that wakes nothing.
  subscribe(node, undefined)
  return signal
}

/** The node's own controller, shared by all signals at and below it. A node with a rule of its own now ends by itself. */
function sourceOf(node: TokenNode): AbortController {
  const hub = hubOf(node)
  if (hub.controller) return hub.controller
  const controller = (hub.controller = newController())
  guardSource(controller.signal)
  if (node.rules && !node.outcome && hasRule(node)) subscribe(node, undefined)
  // It may be over without our hearing of it, or by what was just called.
  if (node.outcome) controller.abort(reasonOf(node.outcome))
  return controller
}

/** Whether a controller's signal has the reason of its abort; those of old polyfills, React Native's among them, have none. */
let hasReasons: boolean | undefined

function newController(): AbortController {
  if (typeof AbortController !== 'function') {
    throw new TypeError(
      'token.signal needs an AbortController, and this platform has none: load a polyfill of it first',
    )
  }
  const controller = new AbortController()
  if (hasReasons === undefined) {
    const probe = new AbortController()
    probe.abort(probe)
    hasReasons = (probe.signal.reason as unknown) === probe
  }
  if (hasReasons) return controller
  const { signal } = controller
  controller.abort = (value: unknown) => {
    if (!signal.aborted) Object.defineProperty(signal, 'reason', { value, configurable: true })
    AbortController.prototype.abort.call(controller)
  }
  return controller
}
