/**
 * Tokens as AbortSignals: a real one each, that neither leaks nor gets lost.
 *
 * Every token lazily owns one plain `AbortController`, its *source*. The signal of a token with nothing above it is its
 * source's; of any other it is `AbortSignal.any()` over its own source and every source above it. The engine aborts the
 * source of the token that was cancelled, and the platform carries it down. So the graph needs no downward edge for signals,
 * and no `WeakRef`: the platform sees through composites, and knows better than we can who still listens.
 *
 * Why not a controller for every token that the engine would abort? A composite made of such a signal holds it weakly, and
 * so only our graph could hold it: for ever (a leak) or not (a lost abort).
 */
import { above, hasRule, hubOf, onFire, reasonOf, subscribe, type TokenNode } from './graph.js'
import { soon } from './clock.js'

/** The signal of a node, the same at every call. */
export function signalOf(node: TokenNode): AbortSignal {
  const hub = hubOf(node)
  return (hub.signal ??= makeSignal(node))
}

function makeSignal(node: TokenNode): AbortSignal {
  known ??= probe()
  const signal = node.outcome ? AbortSignal.abort(reasonOf(node.outcome)) : liveSignal(node, known)
  /* c8 ignore next -- on Node 20 always */
  if (known.limit) symbolsOf(signal)[known.limit] = 0
  return signal
}

function liveSignal(node: TokenNode, { forgets }: Platform): AbortSignal {
  if (!node.sources || node.opaque) return sourceOf(node).signal
  const controllers = [...above(node, false)].map(sourceOf)
  const signals = controllers.map(({ signal }) => signal)
  composing = undefined
  const signal = AbortSignal.any(signals)
  /* c8 ignore next -- on Node 24 and 26 only, where the behaviour and leak suites run it */
  if (forgets) hold(signal, controllers)
  return signal
}

/** The node's own controller, shared by all signals at and below it. A node with a rule of its own now ends by itself. */
function sourceOf(node: TokenNode): AbortController {
  const hub = hubOf(node)
  if (hub.controller) return hub.controller
  const controller = (hub.controller = new AbortController())
  if (known?.dependants)
    symbolsOf(controller.signal)[known.dependants] = new Dependants(controller.signal, known.dependants)
  if (node.rules && !node.outcome && hasRule(node)) subscribe(node, undefined)
  // It may be over without our hearing of it, or by what was just called.
  if (node.outcome) controller.abort(reasonOf(node.outcome))
  return controller
}

// ---- What this platform needs, found by its structure, not by its version -------------------------------------------

interface Platform {
  /** Node 20: the symbol under which a signal keeps the number of listeners from which on it warns of a leak. */
  readonly limit: symbol | undefined
  /**
   * Node from 24.16 on, and 26 before 26.9: an abort is forgotten if the controller is collected before the composite is first
   * read (nodejs/node#65995). There a composite without listeners holds its controllers, and the last of those that were
   * aborted are kept.
   */
  readonly forgets: boolean
  /** Node 20 and 22: the symbol under which a signal keeps the composites that depend on it, weakly. */
  readonly dependants: symbol | undefined
}

let known: Platform | undefined

const symbolsOf = (signal: AbortSignal) => signal as unknown as Record<symbol, unknown>
const find = (signal: object, description: string) =>
  Object.getOwnPropertySymbols(signal).find((symbol) => symbol.description === description)

function probe(): Platform {
  const { signal } = new AbortController()
  const middle = AbortSignal.any([signal])
  AbortSignal.any([middle])
  const forgets = !!find(middle, 'kSourceSignals') && !find(signal, 'kDependantSignals')
  /* c8 ignore next -- the same */
  if (forgets) keepLately()
  const limit = find(signal, 'events.maxEventTargetListeners')
  /* c8 ignore next -- Node 20 warns, the others keep a 0 there, or nothing */
  const warns = limit && symbolsOf(signal)[limit] ? limit : undefined
  return { forgets, limit: warns, dependants: find(middle, 'kDependantSignals') }
}

const pin = Symbol('calloff.pin')

/**
 * Holds the controllers of a composite until it has a listener. From then on the platform tells it of an abort at once; it
 * also keeps it for as long as one of its sources is there, so that with a hold they would keep each other for ever.
 */
/* c8 ignore start -- the same */
function hold(signal: AbortSignal, controllers: readonly AbortController[]): void {
  const own = symbolsOf(signal)
  own[pin] = controllers
  if (added) own[added] = listenerAdded
}

let added: symbol | undefined

/** A method of the platform's signals, called for each listener they get. */
function listenerAdded(this: AbortSignal, ...rest: unknown[]): void {
  ;(symbolsOf(AbortSignal.prototype)[added as symbol] as typeof listenerAdded).apply(this, rest)
  if (rest[1] === 'abort') symbolsOf(this)[pin] = undefined
}
/* c8 ignore stop */

/** Keeps the last 1,024 controllers that were aborted: by then the composites below have long been read, or never will be. */
/* c8 ignore start -- the same */
function keepLately(): void {
  added = find(AbortSignal.prototype, 'kNewListener')
  const lately: AbortController[] = []
  let at = 0
  onFire((controller) => {
    lately[at++ & 1023] = controller
  })
}
/* c8 ignore stop */

// Node 20 and 22 keep, on each signal, a Set of WeakRefs of the composites that depend on it. We give each source a Set of
// our own, which (a) ties a composite to the one it was composed from, since Node 22 drops the listeners of a composite
// whose intermediate signal was collected; (b) skips Node 22's sweep, which is quadratic; (c) sweeps, amortised, in `add`.

/** The composite that `AbortSignal.any` is looking through just now. */
let composing: AbortSignal | undefined
const composed = () => {
  composing = undefined
}

class Dependants extends Set<WeakRef<AbortSignal>> {
  readonly #of: AbortSignal
  readonly #symbol: symbol
  #limit = 256

  constructor(of: AbortSignal, symbol: symbol) {
    super()
    this.#of = of
    this.#symbol = symbol
  }

  override add(reference: WeakRef<AbortSignal>): this {
    const composite = reference.deref()
    if (composite) {
      const through = symbolsOf(composite)
      const tied = through[tie] as [AbortSignal, unknown] | undefined
      if (composing && composing !== composite && composing !== tied?.[0]) through[tie] = [composing, tied]
      if (!Object.hasOwn(composite, this.#symbol)) watch(composite, this.#symbol)
    }
    if (this.size >= this.#limit) {
      /* c8 ignore next -- nothing is dead without a collection, which the leak suite forces */
      for (const one of this) if (!one.deref()) this.delete(one)
      this.#limit = Math.max(256, 2 * this.size)
    }
    return super.add(reference)
  }

  /** An abort walks through it; so does Node 22's sweep, which may not. */
  override forEach(
    visit: (value: WeakRef<AbortSignal>, again: WeakRef<AbortSignal>, set: Set<WeakRef<AbortSignal>>) => void,
  ): void {
    if (this.#of.aborted) super.forEach(visit)
  }
}

const tie = Symbol('calloff.tie')

/** Notes when the platform looks through this composite to compose another. */
function watch(composite: AbortSignal, symbol: symbol): void {
  let own: unknown
  Object.defineProperty(composite, symbol, {
    configurable: true,
    set(value: unknown) {
      own = value
    },
    get() {
      if (!composing) soon(composed)
      composing = composite
      return own
    },
  })
}
