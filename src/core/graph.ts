/**
 * The engine: what is true of a graph of tokens, and how a cancellation travels through it.
 *
 * A token points up at its sources. Nothing points down, until somebody listens: so deriving is an allocation, and a dropped
 * token is garbage like any other object. `token.ts` is the handle people hold; here are functions over its fields.
 *
 * Invariants
 * G1. `outcome` is set once and never changes; only `settle()` and birth set it. A node without one is called live.
 * G2. `epoch` goes up with every new cancellation, before anybody hears of it.
 * G3. `seen === epoch` says: no rule stands at or above this node, and nothing above it was cancelled up to this epoch: it is
 *     alive. `seen === -epoch` says: nothing above it is on record as cancelled, only `rules` need asking. Else: look up.
 * G4. `rules` are the nodes at or above this one that can end by themselves, each once, in the order a poll meets them. A node
 *     that is `opaque` (all-of, grace) stands for everything above it. Sources and rules do not change in a node's life.
 * G5. A node is linked into the lists of its live sources, and its rule is armed (a timer, a poller, a foreign listener),
 *     exactly while it is live and has subscribers: listeners, or nodes below that have some. A signal made of a node that
 *     can end by itself subscribes to it for good.
 * G6. A quiet subscriber (a wait, which polls by itself) does not get conditions called for it.
 * G7. In one poll a condition is called, and a counter consumed, at most once, however many ways lead to it (`walk`).
 * G8. All nodes that a cancellation reaches are settled before the first callback runs, parents' callbacks run before
 *     children's, and a list is cut off its node before the first of its callbacks runs: nobody can join or mend it then.
 * G9. No function here calls itself along the graph: a chain of a million nodes needs no deep stack.
 */
import { now, soon } from './clock.js'
import {
  CancellationError,
  type CancellationKind,
  ConditionCancellationError,
  CounterCancellationError,
  TimeoutCancellationError,
} from './errors.js'
import { SHOWN, stray, tagOf } from './stray.js'
import { type Callee, traced, tracer, untraced } from './traces.js'
import type { CancellationToken } from './token.js'

declare global {
  // Where neither the types of the DOM nor those of Node are loaded, the declarations of this package still compile. Empty, so
  // that they merge with whatever declares them.
  interface AbortSignal {}
  interface AbortController {}
  interface URL {}
}

/** How a node is asked: a look never consumes or calls anything, a poll through another token is indirect. */
export type Mode = typeof LOOK | typeof INDIRECT | typeof DIRECT
export const LOOK = 0
export const INDIRECT = 1
export const DIRECT = 2

/** One or several, without an array around the one: most tokens have a single source. */
export type Some<T> = T | readonly T[] | undefined

/** The engine's view of a token. */
export interface TokenNode {
  /** See G3. */
  seen: number
  outcome: Cancellation | undefined
  sources: Some<TokenNode>
  rules: Some<TokenNode>
  /** What only few tokens have; made when first needed. */
  hub: Hub | undefined
  /** The node itself: through a proxy, this is what the proxy stands for. */
  readonly itself: TokenNode

  /** Stands for all its sources at once: an {@link OpaqueNode}. */
  readonly opaque: boolean
  /** Must be polled: nothing pushes it. */
  readonly polled: boolean
  /** Its rule may end it although this program does nothing more: a poller, another thread, another process. Deadlines are in remaining.ts. */
  readonly endsItself: boolean
  /** What its rule says is not to be kept (a condition without caching, nobody listening). */
  readonly fleeting: boolean
  /**
   * Its own rule, and, of an opaque node, everything it stands for: an answer if it is over. In one `walk` the same answer is
   * given without asking again. A node that may be over already (a condition before it has cancelled it) does not ask, but says so.
   */
  ask(mode: Mode, walk: number): Cancellation | undefined
  /** Starts what ends the node by itself; `hub.driver` stops it. */
  arm(): void
  /** For messages: what it is, in the place of the subject, … */
  subject(): string
  /** … and what happened. */
  explain(kind: CancellationKind): string
}

/** An all-of or a grace. */
export interface OpaqueNode extends TokenNode {
  /** What its own rule says, with no source asked. Those that need the number of the walk for it get it. */
  known(mode: Mode, walk: number): Cancellation | undefined
  /** All its sources have ended, this one last: the cancellation that this means for the node, if it means one already. */
  conclude(last: Cancellation): Cancellation | undefined
  /** One more of its sources has ended, on record: the same question. */
  sourceEnded(): Cancellation | undefined
  /** By which cancellation it ends by itself, given the same of each of its sources; undefined if it may never. */
  foretell(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined
}

/** One cancellation, shared by every token it reaches. */
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

/** The one error of a cancellation. If it is made now, its stack begins with the caller of `callee`, which is running. */
export function errorOf(cancellation: Cancellation, callee?: Callee): CancellationError {
  return (cancellation.error ??= traced(() => makeError(cancellation, saidOf(cancellation.reason)), callee))
}

/** An error whose message says that of the reason. */
export function makeError(cancellation: Cancellation, said: string | undefined): CancellationError {
  const { origin, kind, reason } = cancellation
  const Class = kind in classes ? classes[kind as keyof typeof classes] : CancellationError
  const what = whatHappened(cancellation)
  const message = said === undefined ? what : `${what}: ${said}`
  return new Class(message, { token: origin as CancellationToken, kind, reason })
}

/**
 * A cancellation by hand. Its error is made at once, because only now the stack says where `callee` was called; of all other
 * kinds it is made when it is first read.
 */
export function byHand(origin: TokenNode, reason: unknown, callee: Callee): Cancellation {
  const cancellation = new Cancellation(origin, 'manual', reason, now())
  const trace = tracer()
  const make = () => errorOf(cancellation)
  const error = trace ? untraced(make) : make()
  // Here, and not by traced(): each frame between it and `callee` costs as much as four tokens do (0.5 µs).
  trace?.(error, callee)
  return cancellation
}

/** What a message says before the reason. By these words {@link isCancellation} knows a clone of the error: `CLONED` in errors.ts. */
export function whatHappened({ origin, kind }: Cancellation): string {
  return `${origin.subject()} ${origin.explain(kind)}`
}

/** What a message says of a reason: text, or the message of an error of whatever realm. */
export function saidOf(reason: unknown): string | undefined {
  try {
    const text: unknown = typeof reason === 'string' ? reason : (Object(reason) as Error).message
    return typeof text === 'string' ? text : undefined
  } catch {
    return undefined // a getter or a proxy that throws
  }
}

const classes = {
  timeout: TimeoutCancellationError,
  condition: ConditionCancellationError,
  counter: CounterCancellationError,
}

/**
 * How many cancellations there have been. It is negated with a minus, not with a `~`, which is that of the lower 32 bits only.
 * So it is right up to 2⁵³ cancellations, which take 28 years at ten million a second.
 */
export let epoch = 1

// The clock is read at most once in a walk over the graph. A typed array, because a number in a variable would be boxed.
const reading = new Float64Array(1)
/** The number of the last walk, for G7, in the same way. */
const walks = new Int32Array(1)

/** The time of this walk over the graph. */
export function readClock(): number {
  return reading[0] || (reading[0] = now())
}

export function each<T extends object>(some: Some<T>, visit: (one: T) => void): void {
  if (Array.isArray(some)) for (const one of some as readonly T[]) visit(one)
  else if (some) visit(some as T)
}

function sourceAt(node: TokenNode, index: number): TokenNode | undefined {
  const { sources } = node
  return Array.isArray(sources) ? (sources as readonly TokenNode[])[index] : index ? undefined : (sources as TokenNode)
}

// ---- Polls and looks ------------------------------------------------------------------------------------------------

/**
 * Instead of rules, for a node with more of them than are worth a list of its own, so that a chain of rules does not take the
 * square of its length: every poll looks up. The second one says that the node has a rule of its own besides.
 */
const MANY: readonly TokenNode[] = []
const MANY_AND_OWN: readonly TokenNode[] = []
const MOST_RULES = 16

const isMany = (rules: Some<TokenNode>) => rules === MANY || rules === MANY_AND_OWN

/** The rules at or above the node, opaque ones for all they stand for; among them, if there are many, nodes that have none. */
export function rulesOf(node: TokenNode): Some<TokenNode> {
  return isMany(node.rules) ? [...above(node, false)] : node.rules
}

/** The way of a cancellation, from the node where it started down to this one; empty while this one lives. */
export function pathOf(node: TokenNode): TokenNode[] {
  const origin = discover(node, LOOK)?.origin
  if (!origin) return []
  const path = [node]
  for (let at = node; at !== origin;) {
    let next: TokenNode | undefined
    each(at.sources, (source) => {
      if (!next && (source === origin || source.outcome?.origin === origin)) next = source
    })
    // Of a token that was disposed of, or that lives elsewhere, the way is not known.
    path.push((at = next ?? origin))
  }
  // oxlint-disable-next-line unicorn/no-array-reverse -- its own array, and not every engine has toReversed
  return path.reverse()
}

/** Whether the node has a rule of its own. */
export function hasRule(node: TokenNode): boolean {
  const { rules } = node
  return rules === node || rules === MANY_AND_OWN || (Array.isArray(rules) && rules[0] === node)
}

/** The number of a new walk over the graph: one poll, see G7. */
export function newWalk(): number {
  // It comes round after 2³⁰ walks, because larger numbers are boxed: no node remembers one that was so long ago.
  return (walks[0] = ((walks[0] as number) + 1) & 0x3fff_ffff)
}

/** The node that a method was called on: that is itself, or what a proxy of it stands for. */
export function own<N extends TokenNode>(receiver: N): N {
  // Small, so that V8 puts it into each method.
  return (receiver as N | undefined)?.itself === receiver && receiver ? receiver : standsFor(receiver)
}

function standsFor<N extends TokenNode>(receiver: N): N {
  const node = ownIf(receiver)
  if (!node) throw stray('token', 'cancel')
  return node
}

export function ownIf<N extends TokenNode>(receiver: N | undefined): N | undefined {
  const itself = receiver?.itself
  return itself === receiver || (itself?.itself === itself && typeof itself?.seen === 'number')
    ? (itself as N)
    : undefined
}

/** Is it over? The answer is on record, and all who listen have heard of it, when this returns. */
export function discover(node: TokenNode, mode: Mode, given?: number): Cancellation | undefined {
  if (node.outcome || node.seen === epoch) return node.outcome
  // Its own rule, or it itself, shows that it is a node, and no proxy of one, nor what a method was called on by mistake.
  if (node.rules !== node && node.itself !== node) return discover(own(node), mode, given)
  const walk = given ?? newWalk()
  reading[0] = 0
  if (node.seen === -epoch && !askRules(node, mode, walk) && node.seen === -epoch) return undefined
  return !node.rules && isLineAlive(node) ? undefined : climb(node, mode, walk)
}

/**
 * The commonest way up, a line of nodes without rules: alive if none of them is on record, with nothing allocated. Every
 * cancellation anywhere sends the next poll of every token up once, so this is what a busy server pays for.
 */
function isLineAlive(node: TokenNode): boolean {
  let at: TokenNode | undefined = node
  for (; at && at.seen !== epoch; at = at.sources as TokenNode | undefined) {
    if (at.outcome || Array.isArray(at.sources)) return false
  }
  for (at = node; at && at.seen !== epoch; at = at.sources as TokenNode | undefined) at.seen = epoch
  return true
}

/** Nothing above is on record (G3), so only the rules are asked. True if one of them is over, or if that is to be looked up. */
function askRules(node: TokenNode, mode: Mode, walk: number): boolean {
  const rules = node.rules as TokenNode | readonly TokenNode[]
  if (rules === node) return !!node.ask(mode, walk)
  const how = mode && INDIRECT
  if (!Array.isArray(rules)) return !!(rules as TokenNode).ask(how, walk)
  if (!rules.length) return true // there are MANY
  let at = 0
  if (rules[0] === node) {
    if (node.ask(mode, walk)) return true
    at = 1
  }
  // Counted, not `for of`, which takes 2 ns a rule more.
  for (; at < rules.length; at++) if ((rules[at] as TokenNode).ask(how, walk)) return true
  return false
}

/**
 * The whole way up. What changes meanwhile (a condition may cancel anything) is looked at again; by G7 that comes to an end.
 * An opaque node lives as long as one of its sources; with `behind` the others are asked all the same, unless it is awake.
 */
export function climb(top: TokenNode, mode: Mode, walk: number, behind = false): Cancellation | undefined {
  for (;;) {
    const started = epoch
    const found = climbOnce(top, mode, walk, started, behind)
    if (found || started === epoch) return found
  }
}

/** Own state, own rule, then each source in order, depth first. The first yes is remembered by everybody on the way to it. */
function climbOnce(
  top: TokenNode,
  mode: Mode,
  walk: number,
  started: number,
  behind: boolean,
): Cancellation | undefined {
  let verdict = stateOf(top, mode, walk)
  if (verdict) return verdict
  // The nodes on the way; for each, which source is next, and, if it is opaque, the last cancellation among its sources.
  const path = [top]
  const next = [0]
  const last: (Cancellation | undefined)[] = [undefined]
  // Nodes that were found alive in this climb: a ladder of diamonds has 2ⁿ ways through it.
  const passed = new Set<TokenNode>()
  let depth = 0
  do {
    const node = path[depth] as TokenNode
    const source = sourceAt(node, (next[depth] as number)++)
    if (source) {
      const known = source.seen === started || passed.has(source)
      verdict = known ? undefined : stateOf(source, mode && INDIRECT, walk)
      if (!known && !verdict) {
        if (source.sources) {
          path[++depth] = source
          next[depth] = 0
          last[depth] = undefined
          continue
        }
        markAlive(source, started)
      }
    } else {
      // All sources live; or a condition on the way has cancelled this very node.
      verdict = node.outcome
      if (!verdict) {
        markAlive(node, started)
        passed.add(node)
      }
      depth--
    }
    // Back up, as long as what is known of one node decides the one that asked.
    for (; depth >= 0; depth--) {
      const asker = path[depth] as TokenNode
      if (asker.opaque) {
        if (verdict) last[depth] = later(last[depth], verdict)
        else passed.add(asker) // it lives as long as one of its sources
        // One that is awake has links: it hears by itself.
        if ((verdict || (behind && !asker.hub?.links)) && sourceAt(asker, next[depth] as number)) break
        verdict = passed.has(asker) ? undefined : (asker as OpaqueNode).conclude(last[depth] as Cancellation)
        if (!verdict) {
          passed.add(asker)
          continue
        }
      } else if (!verdict) break
      settle(asker, verdict)
      verdict = asker.outcome
    }
  } while (depth >= 0)
  return verdict
}

/** What a node says without its sources. */
function stateOf(node: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  if (node.outcome) return node.outcome
  // The platform may have been quicker: a signal of two sources goes by time where we would go by order, and both must agree.
  const signal = node.hub?.signal
  const answer = (signal?.aborted && fired.get(signal.reason as object)) || ownAnswer(node, mode, walk)
  if (answer && !node.fleeting) settle(node, answer)
  return node.outcome ?? answer
}

function ownAnswer(node: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  return node.opaque ? (node as OpaqueNode).known(mode, walk) : node.ask(mode, walk)
}

function markAlive(node: TokenNode, started: number): void {
  if (!node.opaque) node.seen = node.rules ? -started : started
}

/** The later of two cancellations: by the moment it happened, then by when it was recorded. */
export function later(a: Cancellation | undefined, b: Cancellation): Cancellation {
  return !a || b.at > a.at || (b.at === a.at && b.order >= a.order) ? b : a
}

// ---- Birth ----------------------------------------------------------------------------------------------------------

/** Puts a new node below its sources; it is born cancelled if one of them is. */
export function adopt(node: TokenNode, sources: TokenNode | readonly TokenNode[]): void {
  node.sources = sources
  if (Array.isArray(sources)) {
    let rules: Set<TokenNode> | undefined
    for (const source of sources as readonly TokenNode[]) {
      adoptOne(node, source)
      if (source.rules) rules = collect(rules, source.rules)
    }
    if (rules)
      node.rules =
        rules.size > MOST_RULES || sources.some(({ rules: one }: TokenNode) => isMany(one)) ? MANY : [...rules]
  } else {
    adoptOne(node, sources as TokenNode)
    const { rules } = sources as TokenNode
    node.rules = rules === MANY_AND_OWN ? MANY : rules
  }
  node.seen = node.outcome ? 0 : node.rules ? -epoch : epoch
}

function collect(found = new Set<TokenNode>(), rules: Some<TokenNode>): Set<TokenNode> {
  each(rules, (rule) => found.add(rule))
  return found
}

function adoptOne(node: TokenNode, source: TokenNode): void {
  if (node.outcome || source.seen === epoch) return
  // Where a look would climb far, what is on record must do; the first poll finds the rest.
  node.outcome = isMany(source.rules) ? source.outcome : discover(source, LOOK)
}

/** Gives a new node a rule of its own, which a poll asks before its sources. */
export function giveRule(node: TokenNode): void {
  const { rules, outcome } = node
  const many = isMany(rules) || (Array.isArray(rules) && rules.length >= MOST_RULES)
  node.rules = many ? MANY_AND_OWN : rules ? [node].concat(rules) : node
  node.seen = outcome ? 0 : -epoch
  // A source that has ended already is for the first poll to find, since the rule is asked first.
  if (outcome?.origin !== node) node.outcome = undefined
}

// ---- Subscribing ----------------------------------------------------------------------------------------------------

/**
 * A place in a list of a node.
 *
 * A list is a ring, so that the hub knows its head only: to add the first and to take it away again, the commonest of all,
 * writes once to an old object and not twice, which the garbage collector would have to be told of (12 instead of 15 ns).
 */
interface Place {
  /** The neighbours, or itself if it is alone; undefined when it is out of the list. */
  next: this | undefined
  previous: this | undefined
  /** The node in whose list it stands; undefined once it is out. */
  owner: TokenNode | undefined
}

/** Gives the head of the list that the place now is the last of. */
function join<P extends Place>(head: P | undefined, place: P): P {
  if (!head) return (place.next = place.previous = place)
  const last = head.previous as P
  place.next = head
  place.previous = last
  last.next = head.previous = place
  return head
}

/** Gives the head of the list that the place no longer is in. */
function leave<P extends Place>(head: P | undefined, place: P): P | undefined {
  const { next, previous } = place as { next: P; previous: P }
  place.next = place.previous = undefined // one that is kept must not keep its neighbours
  // Told by what has just been cleared, not by identity: a proxy may stand for the place.
  if (!next.next) return undefined
  previous.next = next
  next.previous = previous
  return head?.next ? head : next
}

/** The place of a listener. */
export class Subscriber implements Place {
  next: this | undefined = undefined
  previous: this | undefined = undefined

  constructor(
    public owner: TokenNode | undefined,
    readonly listener: ((error: CancellationError) => void) | undefined,
    readonly quiet: boolean,
  ) {}

  /** Takes it out of the list; true if it was still in. When it was the last, the node lets go of its sources. */
  stop(): boolean {
    const owner = (this as Subscriber | undefined)?.owner
    if (!owner) {
      if (!(this instanceof Subscriber)) throw stray('registration', 'stop')
      return false
    }
    this.owner = undefined
    if (owner.outcome) return true // the list is being drained, which passes over it
    const hub = hubOf(owner)
    hub.listeners = leave(hub.listeners, this)
    if (isIdle(hub) && (owner.sources || owner.rules)) rest(owner)
    return true
  }

  [Symbol.dispose](): void {
    this.stop()
  }

  /** For JSON: its neighbours are none of its business. @internal */
  toJSON(): string {
    return 'Registration'
  }

  /** As a token's. @internal */
  get [Symbol.toStringTag](): string {
    return tagOf(this)
  }
}

Object.defineProperty(Subscriber.prototype, SHOWN, { value: [] })

/** The place of a node below that somebody listens to. */
class Link implements Place {
  next: this | undefined = undefined
  previous: this | undefined = undefined

  constructor(
    public owner: TokenNode | undefined,
    readonly child: TokenNode,
  ) {}
}

/** What only few tokens have: those with a name, that somebody listens to, or that were made into a signal. */
export class Hub {
  name: string | undefined = undefined
  /** The heads of the lists of those who listen here, and of the nodes below that somebody listens to. */
  listeners: Subscriber | undefined = undefined
  below: Link | undefined = undefined
  /** Its own places in the lists of its sources. */
  links: Some<Link> = undefined
  /** Stops the timer, poller or foreign listener of its rule. */
  driver: (() => void) | undefined = undefined
  controller: AbortController | undefined = undefined
  signal: AbortSignal | undefined = undefined
}

/** What only few nodes have, made when first needed. */
export function hubOf(node: TokenNode): Hub {
  return (node.hub ??= new Hub())
}

/** Whether no listener stands at or below the node. */
export const isIdle = ({ listeners, below }: Hub): boolean => !listeners && !below

/** Whether an opaque node stands at or above this one, or that is not known. */
function isFar({ rules }: TokenNode): boolean {
  let far = isMany(rules)
  each(rules, ({ opaque }) => (far ||= opaque))
  return far
}

/** Has a live node call the listener; the first subscriber wakes it up (G5). */
export function subscribe(node: TokenNode, listener: Subscriber['listener'], quiet = false): Subscriber {
  const hub = hubOf(node)
  const subscriber = new Subscriber(node, listener, quiet)
  const isFirst = isIdle(hub)
  hub.listeners = join(hub.listeners, subscriber)
  if (isFirst && (node.sources || node.rules)) wake(node)
  return subscriber
}

/** G5, upwards from a node that has got its first subscriber, or that is to be asked again. */
function wake(node: TokenNode): void {
  // Behind an all-of that lives nobody has looked yet. Of several that have ended there the first in order is to be found, as by
  // any look, not the one that happens to be woken first.
  reading[0] = 0
  if (isFar(node) && climb(node, LOOK, newWalk(), true)) return
  const rising: TokenNode[] = []
  for (let at: TokenNode | undefined = node; at; at = rising.pop()) {
    // Its rule comes before its sources; and what it says by now, it would never say again.
    reading[0] = 0
    const answer = ownAnswer(at, LOOK, newWalk())
    if (answer) settle(at, answer)
    const { sources } = at
    if (at.opaque || Array.isArray(sources)) wakeSeveral(at, rising)
    else if (sources && (sources as TokenNode).outcome) settle(at, (sources as TokenNode).outcome as Cancellation)
    else {
      const hub = hubOf(at)
      if (at.outcome || isIdle(hub)) continue
      if (sources) hub.links ??= linkTo(sources as TokenNode, at, rising)
      if (!hub.driver) at.arm()
    }
  }
}

/**
 * Puts a node into the list of a live source, which is woken in its turn if that is its first subscriber; one that is awake
 * and has a rule is asked again, since a counter may have run out meanwhile.
 */
function linkTo(source: TokenNode, child: TokenNode, rising: TokenNode[]): Link {
  const hub = hubOf(source)
  const link = new Link(source, child)
  if (hasRule(source) || (isIdle(hub) && source.sources)) rising.push(source)
  hub.below = join(hub.below, link)
  return link
}

function wakeSeveral(child: TokenNode, rising: TokenNode[]): void {
  // A source may have ended since somebody looked, and will never say so again. Others have ended unseen: they are woken now,
  // and say so then.
  let first: Cancellation | undefined
  let lives = !child.sources
  each(child.sources, ({ outcome }) => {
    first ??= outcome
    lives ||= !outcome
  })
  const over = !child.opaque ? first : lives ? undefined : (child as OpaqueNode).sourceEnded()
  if (over) settle(child, over)
  const hub = hubOf(child)
  // It is over, or somebody who was called has stopped what was to be woken, or it is awake already.
  if (child.outcome || isIdle(hub) || hub.links) return
  const links: Link[] = (hub.links = [])
  each(child.sources, (source) => {
    if (!source.outcome) links.push(linkTo(source, child, rising))
  })
  if (!hub.driver) child.arm()
}

/** G5, upwards from a node that has lost its last subscriber, or that was settled. */
function rest(node: TokenNode): void {
  let rising: TokenNode[] | undefined
  for (let at: TokenNode | undefined = node; at; at = rising?.pop()) {
    const hub = hubOf(at)
    const { driver, links } = hub
    hub.driver = hub.links = undefined
    if (driver) driver()
    each(links, (link) => {
      const source = link.owner
      if (!source) return
      const above = hubOf(source)
      link.owner = undefined
      above.below = leave(above.below, link)
      if (!source.outcome && isIdle(above) && (source.sources || source.rules)) (rising ??= []).push(source)
    })
  }
}

/** Whether somebody listens at or below the node who does not poll by himself (G6). */
export function isHeard(node: TokenNode): boolean {
  const nodes = new Set([node])
  for (const { hub } of nodes) {
    let found = false
    visit(hub?.listeners, ({ quiet }) => (found ||= !quiet))
    if (found) return true
    visit(hub?.below, ({ child }) => nodes.add(child))
  }
  return false
}

/** Every place in a list, which may be left meanwhile by the one that is being visited. */
export function visit<P extends Place>(head: P | undefined, what: (place: P) => void): void {
  for (let at = head; at;) {
    const next: P | undefined = at.next === head ? undefined : at.next
    what(at)
    at = next
  }
}

/** The node and everything above it, each once; behind opaque nodes too, or not. */
export function above(node: TokenNode, behindOpaque: boolean): Set<TokenNode> {
  const found = new Set([node])
  for (const at of found) if (behindOpaque || !at.opaque) each(at.sources, (source) => found.add(source))
  return found
}

// ---- Cancelling -----------------------------------------------------------------------------------------------------

/** Cancels a node, with everything below it that somebody listens to; one that is over already stays as it is (G1). */
export function settle(node: TokenNode, cancellation: Cancellation): void {
  if (node.outcome) return
  record(node, cancellation)
  if (node.hub) announce(node)
}

function record(node: TokenNode, cancellation: Cancellation): void {
  node.outcome = cancellation
  node.seen = 0
  cancellation.order ||= ++epoch
}

function announce(origin: TokenNode): void {
  // G8, first half: everything is settled, …
  let reached = [origin]
  let stirred: TokenNode[] | undefined
  let several = false
  for (const node of reached) {
    const { outcome } = node
    const hub = hubOf(node)
    const links = hub.below
    hub.below = undefined
    visit(links, (link) => {
      link.owner = link.next = link.previous = undefined
      const { child } = link
      const verdict = child.outcome ? undefined : child.opaque ? (child as OpaqueNode).sourceEnded() : outcome
      if (!verdict) {
        if (!child.outcome) (stirred ??= []).push(child)
        return
      }
      record(child, verdict)
      several ||= Array.isArray(child.sources)
      reached.push(child)
    })
  }
  for (const node of reached) rest(node)
  if (several) reached = parentsFirst(reached)
  // … and the platform told, and whoever else knows of the deadlines that this begins, …
  each(stirred, moved)
  for (const node of reached) if (firesAll || node === origin || node.opaque) fire(node)
  // … second half: then the callbacks.
  for (const node of reached) drain(node, hubOf(node))
}

/**
 * Calls all listeners, from the head on. The list is cut loose as a whole, and who is stopped meanwhile is passed over: to mend
 * it at each of them took four times as long.
 */
function drain(node: TokenNode, hub: Hub): void {
  const { listeners } = hub
  hub.listeners = undefined
  // A loop of its own, not visit(): it is the hottest there is (22 instead of 37 ns).
  for (let one = listeners; one;) {
    const { next, owner, listener }: Subscriber = one
    one.owner = one.next = one.previous = undefined
    if (owner && listener) call(listener, node)
    one = next === listeners ? undefined : next
  }
}

/** A node of two sources may have been reached before one of them: puts sources first, else keeps the order. */
function parentsFirst(reached: readonly TokenNode[]): TokenNode[] {
  const waiting = new Set(reached)
  const ordered: TokenNode[] = []
  for (const node of reached) {
    for (let stack = [node], at: TokenNode | undefined; (at = stack.at(-1));) {
      let before: TokenNode | undefined
      if (waiting.has(at)) each(at.sources, (source) => (before ??= waiting.has(source) ? source : undefined))
      if (before) stack.push(before)
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

// The real one, on purpose: an error must not wait until somebody moves a fake clock.
const realMicrotask = queueMicrotask
declare const reportError: ((error: unknown) => void) | undefined

/** Makes an error an uncaught one, in a job of its own. */
export function surface(error: unknown): void {
  // Node has no `reportError`, and elsewhere it is the one way that no fake timers replace.
  if (typeof reportError === 'function') return soon(() => reportError(error))
  realMicrotask(() => {
    throw error
  })
}

/** The cancellations whose signals were aborted, by their reason. */
export const fired = new WeakMap<object, Cancellation>()

/** Whether the platform does not carry an abort down, so that each node below aborts its own controller. */
let firesAll = false

/** From now on it does so: the platform has no `AbortSignal.any`. */
export function fireAll(): void {
  firesAll = true
}

function fire(node: TokenNode): void {
  const controller = node.hub?.controller
  if (!controller) return
  controller.abort(reasonOf(node.outcome as Cancellation))
  for (const listener of afterFire) listener(controller)
}

/** The error of a cancellation as the reason of a signal, by which the cancellation can be found again. */
export function reasonOf(cancellation: Cancellation): CancellationError {
  const error = errorOf(cancellation)
  fired.set(error, cancellation)
  return error
}

const afterFire: ((controller: AbortController) => void)[] = []
/** For what single platforms need when a controller was aborted: see signal-guards.ts. */
export function onFire(listener: (controller: AbortController) => void): void {
  afterFire.push(listener)
}

let tell: ((node: TokenNode) => void) | undefined
/** For deadlines that are known elsewhere as well: see moves.ts. */
export function onMove(told: typeof tell): void {
  tell = told
}

/** The deadline of the node has been moved, or has begun. */
export function moved(node: TokenNode): void {
  tell?.(node)
}

/** Polls the rule of a live node alone: nothing above it is asked, so nothing is consumed. */
export function pollRule(node: TokenNode): void {
  const answer = discover(node, LOOK) ? undefined : node.ask(INDIRECT, newWalk())
  if (answer) settle(node, answer)
}

/** Cancels a node now, if it is live. */
export function end(node: TokenNode, kind: CancellationKind, reason?: unknown): void {
  if (!discover(node, LOOK)) settle(node, new Cancellation(node, kind, reason, now()))
}

/** The same with a deadline of ours, made for one wait. */
export function expire(deadline: TokenNode): CancellationError {
  end(deadline, 'timeout')
  return errorOf(deadline.outcome as Cancellation)
}
