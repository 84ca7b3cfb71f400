/**
 * Tokens as AbortSignals. Each token has a real signal of the platform. It leaks no memory, and its abort is not lost.
 *
 * Every token lazily owns one plain `AbortController`, its *source*. A token without parents has the signal of its
 * source. So has an opaque token (`allOf`, `grace`). The signal of any other token is a *composite*: the
 * `AbortSignal.any()` of its own source and of the sources of all its ancestors. The graph (graph.ts) aborts the
 * source of the token that was cancelled, and the platform carries the abort to the composites. So the graph needs no
 * reference from a parent to a child for signals, and no `WeakRef`. The platform itself traces a composite of
 * composites back to those sources, and it knows better than calloff which signals still have listeners.
 *
 * Why does the graph not abort a controller for each token that a cancellation reaches? A composite that is made of
 * the signal of such a controller holds that signal weakly. Only the graph could hold the signal. If it did so for
 * ever, that would be a leak. If it did not, an abort could be lost. Where the platform has no `AbortSignal.any` (React
 * Native) there are no composites. So there the graph does abort a controller for each token. No abort is lost there,
 * and the ancestors of a token hold its signal.
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
  // The subscription stays for good. If the node was found cancelled in the lines above, the subscription wakes no
  // node.
  subscribe(node, undefined)
  return signal
}

/**
 * Returns the node's own controller. All signals of the node and of the nodes that derive from it share it. From now
 * on, a node with a rule of its own has a subscriber for good. So its rule is armed (a timer, a poller, a foreign
 * listener) and can cancel it without a poll by a caller: see G5 in graph.ts.
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

/**
 * Whether a controller's signal keeps the reason of its abort. Old polyfills do not keep it, nor does React Native's.
 */
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
