/**
 * The engine: what is true of a graph of tokens, and how a cancellation travels through it.
 *
 * A token points up at its sources. Nothing points down, until somebody listens: so deriving is an allocation, and a dropped
 * token is garbage like any other object. `token.ts` is the handle people hold; here are functions over its fields.
 *
 * Invariants
 * I1. `outcome` is set once and never changes; only `settle()` and birth set it. A node without one is called live.
 * I2. `epoch` goes up with every new cancellation, before anybody hears of it.
 * I3. `seen === epoch` says: no rule stands at or above this node, and nothing above it was cancelled up to this epoch: it is
 *     alive. `seen === ~epoch` says: nothing above it is on record as cancelled, only `rules` need asking. Else: look up.
 * I4. `rules` are the nodes at or above this one that can end by themselves, each once, in the order a poll meets them. A node
 *     that is `opaque` (all-of, grace) stands for everything above it. Sources and rules do not change in a node's life.
 * I5. A node is linked into the lists of its sources exactly while it is live and has subscribers, or, where it is opaque,
 *     while it is engaged.
 * I6. A rule's timer, poller or foreign listener runs exactly while the rule is live and engaged: somebody listens at or
 *     below it, or a signal was made of it.
 * I7. In one poll a condition is called, and a counter consumed, at most once, however many ways lead to it (`walk`).
 * I8. All nodes that a cancellation reaches are settled before the first callback runs, parents' callbacks run before
 *     children's, and no list is walked while a callback runs: it is drained from the head.
 * I9. No function here calls itself along the graph: a chain of a million nodes needs no deep stack.
 */
import { now } from './clock.js'
import {
  CancellationError,
  type CancellationKind,
  ConditionCancellationError,
  CounterCancellationError,
  TimeoutCancellationError,
} from './errors.js'
import type { CancellationToken } from './token.js'

/** How a node is asked: a look never consumes or calls anything, a poll through another token is indirect. */
export type Mode = typeof LOOK | typeof INDIRECT | typeof DIRECT
export const LOOK = 0
export const INDIRECT = 1
export const DIRECT = 2

/** One or several, without an array around the one: most tokens have a single source. */
export type Some<T> = T | readonly T[] | undefined

/** The engine's view of a token. */
export interface TokenNode {
  /** See I3. */
  seen: number
  outcome: Cancellation | undefined
  sources: Some<TokenNode>
  rules: Some<TokenNode>
  /** What only tokens need that somebody listens to; made with the first listener. */
  hub: Hub | undefined

  /** Stands for all its sources at once, and decides by `conclude` what their end means. */
  readonly opaque: boolean
  /** Must be polled: nothing pushes it. */
  readonly polled: boolean
  /** What its rule says is not to be kept (a condition without caching, nobody listening). */
  readonly fleeting: boolean
  /** Its own rule: an answer if it is over. In one `walk` the same answer is given without asking again. */
  ask(mode: Mode, walk: number): Cancellation | undefined
  /** Opaque nodes: all sources have ended, this one last. */
  conclude(last: Cancellation): Cancellation | undefined
  /** Opaque nodes: one more source has ended, on record. */
  sourceEnded(): Cancellation | undefined
  /** Starts what ends the node by itself. */
  arm(): void
  /** The opposite; may be called twice. */
  disarm(): void
  /** For messages: what happened. */
  explain(kind: CancellationKind): string
}

/** One cancellation, shared by every token it reaches. Its error is made when somebody looks. */
export class Cancellation {
  /** The epoch it began, 0 while it is on nobody's record. */
  order = 0
  error: CancellationError | undefined = undefined

  constructor(
    readonly origin: TokenNode,
    readonly kind: CancellationKind,
    readonly reason: unknown,
    /** When it happened, not when it was noticed. */
    readonly at: number,
  ) {}
}

/** The one error of a cancellation. */
export function errorOf(cancellation: Cancellation): CancellationError {
  return (cancellation.error ??= makeError(cancellation))
}

function makeError({ origin, kind, reason }: Cancellation): CancellationError {
  const token = origin as CancellationToken
  const why = typeof reason === 'string' ? `: ${reason}` : reason instanceof Error ? `: ${reason.message}` : ''
  const message = `${token.name === undefined ? 'token' : `token ${JSON.stringify(token.name)}`} ${origin.explain(kind)}${why}`
  const details = { token, kind, reason }
  switch (kind) {
    case 'timeout':
      return new TimeoutCancellationError(message, details)
    case 'condition':
      return new ConditionCancellationError(message, details)
    case 'counter':
      return new CounterCancellationError(message, details)
    default:
      return new CancellationError(message, details)
  }
}

/** How many cancellations there have been. A plain sum: beyond 2³¹ it gets slower, never wrong. */
export let epoch = 1
let walks = 0

// The clock is read at most once in a walk over the graph. A typed array, because a number in a variable would be boxed.
const reading = new Float64Array(1)

/** The time of this walk over the graph. */
export function readClock(): number {
  return reading[0] || (reading[0] = now())
}

export function each<T>(some: Some<T>, visit: (one: T) => void): void {
  if (some === undefined) return
  if (Array.isArray(some)) for (const one of some as readonly T[]) visit(one)
  else visit(some as T)
}

function sourceAt(node: TokenNode, index: number): TokenNode | undefined {
  const { sources } = node
  return Array.isArray(sources) ? (sources as readonly TokenNode[])[index] : index === 0 ? (sources as TokenNode) : undefined
}

// ---- Polls and looks ------------------------------------------------------------------------------------------------

/** Is it over? The answer is on record, and all who listen have heard of it, when this returns. */
export function discover(node: TokenNode, mode: Mode): Cancellation | undefined {
  if (node.outcome !== undefined) return node.outcome
  reading[0] = 0
  const walk = ++walks
  if (node.seen === ~epoch) {
    if (!askRules(node, mode, walk) && node.seen === ~epoch) return undefined
  }
  return climb(node, mode, walk)
}

/** Nothing above is on record (I3), so only the rules are asked. True if one of them may be over. */
function askRules(node: TokenNode, mode: Mode, walk: number): boolean {
  const { rules } = node
  if (Array.isArray(rules)) {
    for (const rule of rules as readonly TokenNode[]) if (isOver(rule, node, mode, walk)) return true
    return false
  }
  return rules !== undefined && isOver(rules as TokenNode, node, mode, walk)
}

function isOver(rule: TokenNode, asker: TokenNode, mode: Mode, walk: number): boolean {
  if (rule.outcome !== undefined) return true
  if (rule.opaque) return climb(rule, mode && INDIRECT, walk) !== undefined
  return rule.ask(rule === asker ? mode : mode && INDIRECT, walk) !== undefined
}

/** The whole way up. What changes meanwhile (a condition may cancel anything) is looked at again; by I7 that comes to an end. */
function climb(top: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  for (;;) {
    const started = epoch
    const found = climbOnce(top, mode, walk, started)
    if (found !== undefined || started === epoch) return found
  }
}

/** Own state, own rule, then each source in order, depth first. The first yes is remembered by everybody on the way to it. */
function climbOnce(top: TokenNode, mode: Mode, walk: number, started: number): Cancellation | undefined {
  let verdict = stateOf(top, mode, walk)
  if (verdict !== undefined) return verdict
  const path = [top]
  const next = [0]
  const last: (Cancellation | undefined)[] = [undefined]
  const indirect = mode && INDIRECT
  for (let depth = 0; ; ) {
    const node = path[depth] as TokenNode
    const source = sourceAt(node, (next[depth] as number)++)
    // Downwards: `verdict` becomes what there is to say of one source, or `alive`, or the source is entered.
    if (source !== undefined) {
      if (source.seen === started) verdict = undefined
      else {
        verdict = stateOf(source, indirect, walk)
        if (verdict === undefined && source.sources !== undefined) {
          depth++
          path[depth] = source
          next[depth] = 0
          last[depth] = undefined
          continue
        }
        if (verdict === undefined) markAlive(source, started)
      }
      if (verdict === undefined) {
        if (!node.opaque) continue
        depth-- // one source lives, so the opaque node does
      }
    } else if (node.outcome !== undefined) {
      verdict = node.outcome // a condition on the way cancelled it
      depth--
    } else if (node.opaque) {
      verdict = conclude(node, last[depth])
      depth--
    } else {
      verdict = undefined
      markAlive(node, started)
      depth--
    }
    // Upwards, as long as the answer of one node is the answer of the one that asked.
    for (; depth >= 0; depth--) {
      const asker = path[depth] as TokenNode
      if (verdict === undefined) {
        if (!asker.opaque) break
      } else if (asker.opaque) {
        last[depth] = later(last[depth], verdict)
        if (sourceAt(asker, next[depth] as number) !== undefined) break
        verdict = conclude(asker, last[depth])
      } else {
        if (asker.outcome === undefined) settle(asker, verdict)
        verdict = asker.outcome
      }
    }
    if (depth < 0) return verdict
  }
}

/** What a node says without its sources. */
function stateOf(node: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  if (node.outcome !== undefined) return node.outcome
  const { hub } = node
  if (hub !== undefined && hub.signal !== undefined && hub.signal.aborted) {
    // The platform was quicker: a signal of two sources goes by time where we would go by order, and both must agree.
    const heard = fired.get(hub.signal.reason as object)
    if (heard !== undefined) {
      settle(node, heard)
      return heard
    }
  }
  const answer = node.ask(mode, walk)
  if (answer === undefined || node.outcome !== undefined) return node.outcome
  if (!node.fleeting) settle(node, answer)
  return answer
}

function markAlive(node: TokenNode, started: number): void {
  if (!node.opaque) node.seen = node.rules === undefined ? started : ~started
}

function conclude(node: TokenNode, last: Cancellation | undefined): Cancellation | undefined {
  const verdict = last === undefined ? undefined : node.conclude(last)
  if (verdict !== undefined && node.outcome === undefined) settle(node, verdict)
  return node.outcome
}

/** The later of two cancellations: by the moment it happened, then by when it was recorded. */
export function later(a: Cancellation | undefined, b: Cancellation): Cancellation {
  return a === undefined || b.at > a.at || (b.at === a.at && b.order >= a.order) ? b : a
}

// ---- Birth ----------------------------------------------------------------------------------------------------------

/** Puts a new node below its sources; it is born cancelled if one of them is. */
export function adopt(node: TokenNode, sources: Some<TokenNode>): void {
  node.sources = sources
  if (Array.isArray(sources)) {
    for (const source of sources as readonly TokenNode[]) adoptOne(node, source)
    if (sources.some((source: TokenNode) => source.rules !== undefined)) {
      const found = new Set<TokenNode>()
      for (const source of sources as readonly TokenNode[]) each(source.rules, (rule) => found.add(rule))
      node.rules = found.size === 1 ? found.values().next().value : [...found]
    }
  } else {
    adoptOne(node, sources as TokenNode)
    node.rules = (sources as TokenNode).rules
  }
  node.seen = node.rules === undefined ? epoch : ~epoch
}

function adoptOne(node: TokenNode, source: TokenNode): void {
  if (node.outcome === undefined && source.seen !== epoch) node.outcome = discover(source, LOOK)
}

/** Gives a new node a rule of its own, which a poll asks before its sources. */
export function giveRule(node: TokenNode): void {
  const { rules } = node
  node.rules = rules === undefined ? node : Array.isArray(rules) ? [node, ...(rules as readonly TokenNode[])] : [node, rules as TokenNode]
  node.seen = ~epoch
}

// ---- Subscribing ----------------------------------------------------------------------------------------------------

/** One place in a node's list: a listener, or a node below that somebody listens to. */
export class Subscriber {
  next: Subscriber | undefined = undefined
  previous: Subscriber | undefined = undefined
  /** The node whose list it stands in; undefined when it is out of it. */
  owner: TokenNode | undefined = undefined

  constructor(
    /** The node below, or undefined for a listener. */
    readonly child: TokenNode | undefined,
    readonly listener: ((error: CancellationError) => void) | undefined,
    /** Asks the polled rules itself (a wait with its own `step`). */
    readonly quiet: boolean,
  ) {}

  /** Takes it out of the list; true if it was still in. When it was the last, the node lets go of its sources. */
  stop(): boolean {
    const { owner } = this
    if (owner === undefined) return false
    take(this)
    if (owner.outcome !== undefined) return true // settled: it has left everything already
    const hub = owner.hub as Hub
    if (hub.first === undefined && !owner.opaque && owner.sources !== undefined) unlinkUp(owner)
    if (owner.rules !== undefined && this.child === undefined) leaveRules(owner, hub, this.quiet)
    return true
  }

  [Symbol.dispose](): void {
    this.stop()
  }
}

/** What only a token needs that somebody listens to, or that was made into a signal. */
export class Hub {
  first: Subscriber | undefined = undefined
  last: Subscriber | undefined = undefined
  /** Its own places in the lists of its sources. */
  links: Subscriber[] | undefined = undefined
  /** Listeners with rules to engage, by whether conditions are polled for them. */
  loud = 0
  quiet = 0
  /** Of a rule: how many ask for it to end by itself; of an opaque one, how many of them want conditions polled. */
  engaged = 0
  keen = 0
  /** Of a rule: its timer, poller or foreign listener. */
  driver: { stop(): void } | undefined = undefined
  controller: AbortController | undefined = undefined
  signal: AbortSignal | undefined = undefined
}

/** Puts a subscriber into the list of a live node. The first one subscribes the node upwards. */
export function subscribe(node: TokenNode, subscriber: Subscriber): void {
  const hub = put(node, subscriber)
  if (subscriber.previous === undefined && !node.opaque && node.sources !== undefined) linkUp(node)
  if (node.rules !== undefined) {
    if (subscriber.quiet ? hub.quiet++ === 0 : hub.loud++ === 0) engage(node.rules, 1, subscriber.quiet)
  }
}

function leaveRules(node: TokenNode, hub: Hub, quiet: boolean): void {
  if (quiet ? --hub.quiet === 0 : --hub.loud === 0) engage(node.rules, -1, quiet)
}

function put(node: TokenNode, subscriber: Subscriber): Hub {
  const hub = (node.hub ??= new Hub())
  subscriber.owner = node
  const { last } = hub
  if (last === undefined) hub.first = subscriber
  else {
    last.next = subscriber
    subscriber.previous = last
  }
  hub.last = subscriber
  return hub
}

function take(subscriber: Subscriber): void {
  const { next, previous } = subscriber
  const hub = (subscriber.owner as TokenNode).hub as Hub
  if (previous === undefined) hub.first = next
  else previous.next = next
  if (next === undefined) hub.last = previous
  else next.previous = previous
  // A stopped registration that is kept must not keep its neighbours.
  subscriber.owner = subscriber.next = subscriber.previous = undefined
}

/** I5: from here to the sources, and on wherever this is a source's first subscriber. */
function linkUp(node: TokenNode): void {
  for (let rising: TokenNode[] = [node], at; (at = rising.pop()) !== undefined; ) {
    const links: Subscriber[] = []
    for (let i = 0, source; (source = sourceAt(at, i)) !== undefined; i++) {
      if (source.outcome !== undefined) continue // an operand of all-of may have ended
      const link = new Subscriber(at, undefined, false)
      put(source, link)
      links.push(link)
      if (link.previous === undefined && !source.opaque && source.sources !== undefined) rising.push(source)
    }
    ;(at.hub ??= new Hub()).links = links
  }
}

function unlinkUp(node: TokenNode): void {
  for (let rising: TokenNode[] = [node], at; (at = rising.pop()) !== undefined; ) {
    const links = at.hub?.links
    if (links === undefined) continue
    ;(at.hub as Hub).links = undefined
    for (const link of links) {
      const source = link.owner
      if (source === undefined) continue
      take(link)
      if ((source.hub as Hub).first === undefined && !source.opaque) rising.push(source)
    }
  }
}

/**
 * I6: starts, or lets go of, what ends each of these rules by itself. An opaque one passes it on to the rules it stands for:
 * all of them while anybody is engaged, the polled ones while somebody is who does not poll himself.
 */
export function engage(rules: Some<TokenNode>, change: 1 | -1, quiet: boolean): void {
  for (let rising: [Some<TokenNode>, boolean][] = [[rules, quiet]], work; (work = rising.pop()) !== undefined; ) {
    const hushed = work[1]
    each(work[0], (rule) => {
      if (rule.outcome !== undefined || (hushed && rule.polled)) return
      const hub = (rule.hub ??= new Hub())
      const limit = change > 0 ? 1 : 0
      if (rule.opaque && !hushed && (hub.keen += change) === limit) passOn(rule, false, rising)
      if ((hub.engaged += change) !== limit) return
      if (rule.opaque) {
        ;(change > 0 ? linkUp : unlinkUp)(rule)
        passOn(rule, true, rising)
      }
      change > 0 ? rule.arm() : rule.disarm()
    })
  }
}

function passOn(rule: TokenNode, quiet: boolean, rising: [Some<TokenNode>, boolean][]): void {
  each(rule.sources, (source) => rising.push([source.rules, quiet]))
}

/** Whether something at or above it must be polled. */
export function needsPolls(node: TokenNode): boolean {
  return someRule(node, (rule) => rule.polled)
}

/** Whether the test holds for a rule at or above the node, behind opaque ones too. */
export function someRule(node: TokenNode, test: (rule: TokenNode) => boolean): boolean {
  let found = false
  for (let rising = [node.rules]; !found && rising.length > 0; ) {
    each(rising.pop(), (rule) => {
      found ||= test(rule)
      if (rule.opaque) each(rule.sources, (source) => rising.push(source.rules))
    })
  }
  return found
}

// ---- Cancelling -----------------------------------------------------------------------------------------------------

/** Cancels a live node, with everything below it that somebody listens to. */
export function settle(node: TokenNode, cancellation: Cancellation): void {
  record(node, cancellation)
  if (node.hub !== undefined) announce(node, node.hub)
}

function record(node: TokenNode, cancellation: Cancellation): void {
  node.outcome = cancellation
  node.seen = 0
  if (cancellation.order === 0) cancellation.order = ++epoch
}

function announce(origin: TokenNode, hub: Hub): void {
  retire(origin, hub)
  if (hub.first === undefined) {
    fire(origin)
    return
  }
  // I8, first half: everything is settled …
  let reached = [origin]
  let several = false
  for (let i = 0; i < reached.length; i++) {
    const node = reached[i] as TokenNode
    const below: Subscriber[] = []
    for (let at = node.hub?.first; at !== undefined; at = at.next) if (at.child !== undefined) below.push(at)
    for (const link of below) {
      const child = link.child as TokenNode
      if (link.owner !== undefined) take(link)
      if (child.outcome !== undefined) continue // two links of one child
      const verdict = child.opaque ? child.sourceEnded() : node.outcome
      if (verdict === undefined) continue
      record(child, verdict)
      several ||= Array.isArray(child.sources)
      retire(child, child.hub as Hub)
      reached.push(child)
    }
  }
  if (several) reached = parentsFirst(reached)
  // … and the platform told, …
  for (const node of reached) if (node === origin || node.opaque) fire(node)
  // … second half: then the callbacks.
  for (const node of reached) {
    const list = node.hub as Hub
    for (let at; (at = list.first) !== undefined; ) {
      take(at)
      if (at.listener !== undefined) call(at.listener, node)
    }
  }
}

/** A settled node leaves its sources and lets go of its rules, its own included. */
function retire(node: TokenNode, hub: Hub): void {
  if (hub.links !== undefined) {
    const { links } = hub
    hub.links = undefined
    for (const link of links) {
      const source = link.owner
      if (source === undefined) continue
      take(link)
      // While the wave is under way a source that was reached is settled and has nothing to leave.
      if (source.outcome === undefined && (source.hub as Hub).first === undefined && !source.opaque) unlinkUp(source)
    }
  }
  if (hub.loud > 0) engage(node.rules, -1, false)
  if (hub.quiet > 0) engage(node.rules, -1, true)
  hub.loud = hub.quiet = 0
  if (hub.engaged > 0) {
    if (node.opaque) {
      if (hub.keen > 0) each(node.sources, (source) => engage(source.rules, -1, false))
      each(node.sources, (source) => engage(source.rules, -1, true))
    }
    hub.engaged = hub.keen = 0
    node.disarm()
  }
}

/** A node of two sources may have been reached before one of them: puts sources first, else keeps the order. */
function parentsFirst(reached: readonly TokenNode[]): TokenNode[] {
  const waiting = new Set(reached)
  const ordered: TokenNode[] = []
  for (const node of reached) {
    for (const stack = [node]; stack.length > 0; ) {
      const at = stack[stack.length - 1] as TokenNode
      let before: TokenNode | undefined
      if (waiting.has(at)) each(at.sources, (source) => (before ??= waiting.has(source) ? source : undefined))
      if (before !== undefined) stack.push(before)
      else {
        if (waiting.delete(at)) ordered.push(at)
        stack.pop()
      }
    }
  }
  return ordered
}

/** Calls one listener. What it throws stops nobody: it surfaces as an uncaught error, as the platform does for events. */
export function call(listener: (error: CancellationError) => void, node: TokenNode): void {
  try {
    listener(errorOf(node.outcome as Cancellation))
  } catch (error) {
    surface(error)
  }
}

/** Makes an error an uncaught one, in a job of its own. */
export function surface(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

/** The cancellations whose signals were aborted, by their reason. */
const fired = new WeakMap<object, Cancellation>()

function fire(node: TokenNode): void {
  const controller = node.hub?.controller
  if (controller === undefined) return
  const cancellation = node.outcome as Cancellation
  const error = errorOf(cancellation)
  fired.set(error, cancellation)
  keepFired(controller)
  controller.abort(error)
}

let keepFired: (controller: AbortController) => void = () => {}
/** For platforms that forget an abort when the controller is collected too soon: see abort-signal.ts. */
export function onFire(keep: typeof keepFired): void {
  keepFired = keep
}

/** The cancellation behind one of our errors that came out of a signal. */
export function firedBy(error: object): Cancellation | undefined {
  return fired.get(error)
}

/** Cancels a live node now; gives the error. */
export function end(node: TokenNode, kind: CancellationKind, reason?: unknown): CancellationError {
  if (discover(node, LOOK) === undefined) settle(node, new Cancellation(node, kind, reason, now()))
  return errorOf(node.outcome as Cancellation)
}
