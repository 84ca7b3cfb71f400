/**
 * Guards for single platforms, so that a signal of calloff is neither lost nor kept too long. A platform is recognised
 * by the structure of its signals, not by its version. Where a symbol is not found, nothing is done.
 */
import { soon } from './clock.js'
import { onFire } from './graph.js'

interface Platform {
  /** Node 20: the symbol of the number of listeners at which a signal warns of a leak. */
  readonly limit?: symbol | undefined
  /**
   * Node from 24.16 on, and 26 before 26.9: an abort is forgotten if the controller is collected before the composite
   * is first read (nodejs/node#65995). There a composite without listeners holds its controllers, and the controllers
   * that were aborted last are kept.
   */
  readonly forgets?: boolean
  /** Node 20 and 22: the symbol of the composites that depend on a signal. The signal keeps them weakly. */
  readonly dependants?: symbol | undefined
  /**
   * Node: the symbols of the hooks for each listener that a signal gets or loses, and of the sources of a composite.
   */
  readonly listening?: Listening | undefined
}

interface Listening {
  readonly added: symbol
  readonly removed: symbol
  readonly sources: symbol
}

let known: Platform | undefined

const symbolsOf = (signal: AbortSignal) => signal as unknown as Record<symbol, unknown>
const find = (signal: object, description: string) =>
  Object.getOwnPropertySymbols(signal).find((symbol) => symbol.description === description)
/** Defines a property that is not enumerable, so that the signal looks like any other. */
const define = (signal: AbortSignal, symbol: symbol, value: unknown) =>
  Object.defineProperty(signal, symbol, { value, writable: true, configurable: true })

function probe(): Platform {
  const { signal } = new AbortController()
  if (typeof AbortSignal !== 'function' || typeof AbortSignal.any !== 'function') return {}
  const middle = AbortSignal.any([signal])
  AbortSignal.any([middle])
  const sources = find(middle, 'kSourceSignals')
  const added = find(AbortSignal.prototype, 'kNewListener')
  const removed = find(AbortSignal.prototype, 'kRemoveListener')
  const limit = find(signal, 'events.maxEventTargetListeners')
  const platform = {
    forgets: !!sources && !find(signal, 'kDependantSignals'),
    /* c8 ignore next -- Node 20 warns; the others have 0 here, or nothing */
    limit: limit && symbolsOf(signal)[limit] ? limit : undefined,
    dependants: find(middle, 'kDependantSignals'),
    /* c8 ignore next -- the others are no Node */
    listening: sources && added && removed ? { added, removed, sources } : undefined,
  }
  /* c8 ignore next -- only where the behaviour and leak suites run it */
  if (platform.forgets) keepLately()
  if (platform.listening) onFire(({ signal: aborted }) => release(aborted))
  return platform
}

/** Returns the signal. From now on the signal does not warn of many listeners. */
export function noWarnings(signal: AbortSignal): AbortSignal {
  known ??= probe()
  /* c8 ignore next -- on Node 20 always. Not 0: for that, `getMaxListeners` of Node says that this is no signal. */
  if (known.limit) symbolsOf(signal)[known.limit] = Infinity
  return signal
}

/** Prepares the signal of a controller of calloff, before composites are made of it. */
export function guardSource(signal: AbortSignal): void {
  const { dependants } = (known ??= probe())
  // Assigned, as Node does it for the first composite of a signal. A definition would take a third of
  // `AbortSignal.any`.
  if (dependants) symbolsOf(signal)[dependants] = new Dependants(signal, dependants)
}

/** Returns the composite of the signals of the given controllers, which must be calloff's. */
export function compose(controllers: readonly AbortController[]): AbortSignal {
  const { forgets, listening } = (known ??= probe())
  const signals = controllers.map(({ signal }) => signal)
  composed()
  const composite = AbortSignal.any(signals)
  /* c8 ignore next -- on Node 24 and 26 only, where the behaviour and leak suites run it */
  if (forgets) define(composite, pin, controllers)
  if (listening) {
    define(composite, listening.added, listenerAdded)
    define(composite, listening.removed, listenerRemoved)
  }
  return composite
}

// ---- Node: what keeps a composite that has listeners

// Node keeps it in a set of its own, as long as one of its sources is there. So a circle (a listener that knows the
// token, which has the source) is never freed (nodejs/node#57584). Here the sources keep it instead. So it lives
// exactly as long as a source can abort it, and a circle is garbage like any other. A composite that the caller makes
// of it is left to the platform.

/** The composites with listeners that a source keeps, until the source is aborted. */
const kept = new WeakMap<AbortSignal, Set<AbortSignal>>()

/** The symbols of the platform. The platform was probed when the composite was made. */
const listeningOf = () => (known as Platform).listening as Listening

type Hook = (this: AbortSignal, size: number, type: string, ...rest: unknown[]) => void

const hookOf = (symbol: symbol) => symbolsOf(AbortSignal.prototype)[symbol] as Hook

function eachSource(composite: AbortSignal, visit: (source: AbortSignal) => void): void {
  const sources = symbolsOf(composite)[listeningOf().sources] as Set<WeakRef<AbortSignal>>
  sources.forEach((reference) => {
    const source = reference.deref()
    if (source) visit(source)
  })
}

/** Node calls this hook for each listener that the composite gets. */
function listenerAdded(this: AbortSignal, ...given: Parameters<Hook>): void {
  const { added, removed } = listeningOf()
  hookOf(added).apply(this, given)
  const [, type, , , , , isWeak] = given
  if (type !== 'abort' || isWeak || this.aborted) return
  // Node has told the sources of the listener. This call makes Node forget to keep the composite.
  hookOf(removed).call(this, 0, 'abort')
  eachSource(this, (source) => {
    const composites = kept.get(source)
    if (composites) composites.add(this)
    else kept.set(source, new Set([this]))
  })
  // From now on the platform tells the composite of an abort at once.
  symbolsOf(this)[pin] &&= undefined
}

/** Node calls this hook for each listener that the composite loses. */
function listenerRemoved(this: AbortSignal, ...given: Parameters<Hook>): void {
  hookOf(listeningOf().removed).apply(this, given)
  const [size, type] = given
  if (type === 'abort' && size === 0) letGo(this)
}

function letGo(composite: AbortSignal): void {
  eachSource(composite, (source) => kept.get(source)?.delete(composite))
}

/** A source was aborted, and with it all its composites. So their other sources need not keep them any more. */
function release(source: AbortSignal): void {
  const composites = kept.get(source)
  kept.delete(source)
  composites?.forEach(letGo)
}

// ---- Node 24.16 to 26.8: aborts that are forgotten

const pin = Symbol('calloff.pin')

/**
 * Keeps the last 1,024 controllers that were aborted. After so many aborts, their composites were read long ago, or
 * never will be.
 */
/* c8 ignore start -- the same */
function keepLately(): void {
  const lately: AbortController[] = []
  let at = 0
  onFire((controller) => {
    lately[at++ & 1023] = controller
  })
}
/* c8 ignore stop */

// ---- Node 20 and 22: composites of composites

// These versions keep, on each signal, a Set of WeakRefs of the composites that depend on it. calloff gives each source
// a Set of its own. This Set (a) ties a composite to the composite that it was made from, since Node 22 drops the
// listeners of a composite whose intermediate signal was collected; (b) skips Node 22's sweep, which is quadratic; (c)
// sweeps in `add`, at amortised cost.

/** The composite whose sources `AbortSignal.any` is reading now, and the composite that it makes. */
let composing: AbortSignal | undefined
let made: AbortSignal | undefined
const composed = () => {
  composing = made = undefined
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
      if (composing) made ??= composite
      if (made !== composite) composing = undefined // the next composite of the same microtask is not made of it
      const through = symbolsOf(composite)
      const tied = through[tie] as [AbortSignal, unknown] | undefined
      if (composing && composing !== composite && composing !== tied?.[0]) define(composite, tie, [composing, tied])
      if (!Object.hasOwn(composite, this.#symbol)) watch(composite, this.#symbol)
    }
    if (this.size >= this.#limit) {
      /* c8 ignore next -- nothing is dead without a collection, which the leak suite forces */
      for (const one of this) if (!one.deref()) this.delete(one)
      this.#limit = Math.max(256, 2 * this.size)
    }
    return super.add(reference)
  }

  /** An abort iterates it, and may. Node 22's sweep iterates it, too, and may not. */
  override forEach(
    visit: (value: WeakRef<AbortSignal>, again: WeakRef<AbortSignal>, set: Set<WeakRef<AbortSignal>>) => void,
  ): void {
    if (this.#of.aborted) super.forEach(visit)
  }
}

const tie = Symbol('calloff.tie')

/**
 * Notes when the platform reads the sources of this composite to make another composite. An abort reads them as well,
 * and makes none.
 */
function watch(composite: AbortSignal, symbol: symbol): void {
  let own: unknown
  Object.defineProperty(composite, symbol, {
    configurable: true,
    set(value: unknown) {
      own = value
    },
    get() {
      if (composite.aborted) return own
      if (!composing) soon(composed)
      composing = composite
      made = undefined
      return own
    },
  })
}
