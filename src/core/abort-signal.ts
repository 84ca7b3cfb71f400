/**
 * Tokens as AbortSignals. Each token has a real signal, which neither leaks nor gets lost.
 *
 * Every token lazily owns one plain `AbortController`, its *source*. A token without parents, and an all-of or a grace,
 * has the signal of its source. Any other token has the `AbortSignal.any()` of its own source and of the sources of all
 * its ancestors. The engine aborts the source of the token that was cancelled, and the platform carries the abort to
 * the composites. So the graph needs no reference from a parent to a child for signals, and no `WeakRef`. The platform
 * sees through composites, and knows better than calloff which signals still have listeners.
 *
 * Why does the engine not abort one controller for every token? A composite made of such a signal holds the signal
 * weakly. So only the graph could hold it: for ever (a leak) or not (a lost abort). Where the platform has no
 * `AbortSignal.any` (React Native) there are no composites, and so it is done there. Nothing is lost, and the ancestors
 * of a token hold its signal.
 */
import { above, fireAll, hasRule, extrasOf, reasonOf, subscribe, type TokenNode } from './graph.js'
import { compose, guardSource, noWarnings } from './signal-guards.js'

/** Returns the signal of a node, the same one at every call. */
export function signalOf(node: TokenNode): AbortSignal {
  const extras = extrasOf(node)
  return (extras.signal ??= noWarnings(node.outcome ? abortedSignal(node) : liveSignal(node)))
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
  // It subscribes for good. If the node was just found cancelled, this wakes nothing.
  subscribe(node, undefined)
  return signal
}

/**
 * Returns the node's own controller. All signals of the node and of the nodes that derive from it share it. From now
 * on, a node with a rule of its own cancels itself.
 */
function sourceOf(node: TokenNode): AbortController {
  const extras = extrasOf(node)
  if (extras.controller) return extras.controller
  const controller = (extras.controller = newController())
  guardSource(controller.signal)
  if (node.rules && !node.outcome && hasRule(node)) subscribe(node, undefined)
  // The node may be cancelled already, or the subscription above may have found that it is.
  if (node.outcome) controller.abort(reasonOf(node.outcome))
  return controller
}

/** Whether a controller's signal keeps the reason of its abort. Old polyfills, also React Native's, have no reasons. */
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
