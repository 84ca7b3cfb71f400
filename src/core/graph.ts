/**
 * The graph of tokens: what is true of it, and how a cancellation travels through it.
 *
 * A token points at its sources. A source points at a token that derives from it only while that token has a listener.
 * So deriving is one allocation, and a dropped token is garbage like any other object. `token.ts` has the handle that
 * callers hold. This file has functions over the fields of a token. The *ancestors* of a node are its sources, their
 * sources, and so on.
 *
 * Invariants
 * G1. `outcome` is set once and never changes. Only `settle()`, `attribute()` and birth set it. A node without an outcome is live.
 * G2. `epoch` goes up with every new cancellation, before any listener is called.
 * G3. `seen === epoch` means that the node is live: neither the node nor an ancestor has a rule, and no ancestor was
 *     cancelled up to this epoch. `seen === -epoch` means that no ancestor is recorded as cancelled: a poll needs to
 *     poll only the `rules`. With any other value, a poll has to visit the ancestors.
 * G4. `rules` are the nodes that can be cancelled by a rule of their own, among the node and its ancestors. Each is
 *     listed once, in the order in which a poll meets them. An `opaque` node (all-of, grace) is listed instead of all its
 *     ancestors. Sources and rules do not change during the life of a node.
 * G5. A node is linked into the lists of its live sources, and its rule is armed (a timer, a poller, a foreign
 *     listener), exactly while it is live and has subscribers. Subscribers are listeners, and children that have
 *     subscribers. A node that can cancel itself and is made into a signal subscribes to itself for good.
 * G6. A quiet subscriber (a wait, which polls by itself) does not cause calls of conditions.
 * G7. In one poll, a condition is called at most once, and a counter is used up at most once, however many ways lead to
 *     it (`walk`).
 * G8. All nodes that a cancellation reaches are settled before the first listener is called. The listeners of parents
 *     are called before those of children. A list is cut off its node before the first of its listeners is called, so
 *     no listener can join it or change it then.
 * G9. No function here calls itself along the graph. So a chain of a million nodes needs no deep stack.
 */
import { now, soon } from './clock.js'
import {
  CancellationError,
  type CancellationKind,
  ConditionCancellationError,
  CounterCancellationError,
  TimeoutCancellationError,
} from './errors.js'
import { reports } from './observation.js'
import { SHOWN, stray, tagOf } from './stray.js'
import { type Callee, traced, tracer, untraced } from './traces.js'
import type { CancellationToken } from './token.js'

/**
 * The modes of a poll. READ is a read: it never calls a condition or uses up a counter. A poll through another token is
 * INDIRECT.
 */
export type Mode = typeof READ | typeof INDIRECT | typeof DIRECT
export const READ = 0
export const INDIRECT = 1
export const DIRECT = 2

/** None, one, or several. One is stored without an array, because most tokens have a single source. */
export type Some<T> = T | readonly T[] | undefined

/** A token, as the graph sees it. */
export interface TokenNode {
  /** See G3. */
  seen: number
  outcome: Cancellation | undefined
  sources: Some<TokenNode>
  rules: Some<TokenNode>
  /** Rare fields, in an object that is made when it is first needed. */
  extras: Extras | undefined
  /** The node itself. Through a proxy, this is the node behind the proxy. */
  readonly itself: TokenNode

  /** Whether it stands for all its sources at once: an {@link OpaqueNode}. */
  readonly opaque: boolean
  /** Whether its rule must be polled, because nothing pushes its cancellation. */
  readonly polled: boolean
  /**
   * Whether its rule may cancel it although this program does nothing more: by a poller, another thread or another
   * process. Deadlines are in remaining.ts.
   */
  readonly endsItself: boolean
  /** Whether the answer of its rule must not be kept (a condition without caching and without a listener). */
  readonly uncached: boolean
  /**
   * Polls the node's own rule, and for an opaque node also everything that it stands for. Returns a cancellation if
   * there is one. In one `walk` it returns the same answer without polling again. A node that may have an outcome
   * already (a condition of the same walk has cancelled it) returns that without polling.
   */
  pollOwn(mode: Mode, walk: number): Cancellation | undefined
  /** Starts the timer, poller or foreign listener of its rule. `extras.disarm` stops it. */
  arm(): void
  /** The first part of a message: what the token is, as the subject of the sentence. */
  subject(): string
  /** The second part: what happened to it. */
  explain(kind: CancellationKind): string
}

/** A some-of (an all-of is one), an except, or a grace. */
export interface OpaqueNode extends TokenNode {
  /** How many of its sources must be cancelled. Default: 1. */
  readonly quorum?: number
  /** Whether the cancellation of a source counts. If it does not, the source counts as live. Default: it counts. */
  heeds?(cancellation: Cancellation): boolean
  /** Returns the answer of its own rule, without polling a source. */
  known(mode: Mode, walk: number): Cancellation | undefined
  /**
   * As many sources as it takes are cancelled, `last` as the last one. Returns the cancellation of the node, if it is cancelled by
   * now.
   */
  conclude(last: Cancellation): Cancellation | undefined
  /** One more of its sources has an outcome. Returns the cancellation of the node, if it is cancelled by now. */
  sourceEnded(): Cancellation | undefined
  /**
   * Returns the cancellation by which the node will be cancelled by itself, given the same of each source. Undefined if
   * it may never be. For a node that has `heeds`, those of a source are without those of the source's ancestors.
   */
  predictEnd(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined
}

/** One cancellation, shared by every token it reaches. */
export class Cancellation {
  /** The epoch that it began. 0 while no node has it as its outcome. */
  order = 0
  error: CancellationError | undefined = undefined

  constructor(
    readonly origin: TokenNode,
    readonly kind: CancellationKind,
    readonly reason: unknown,
    /** The moment when it happened, not when it was noticed. */
    readonly at: number,
  ) {}
}

/** A cancellation that `grace` repeats later. It has the error of the first one. */
export class GraceCancellation extends Cancellation {}

/**
 * Returns the one error of a cancellation. If the error is made now, its stack begins with the caller of `callee`,
 * which must be running.
 */
export function errorOf(cancellation: Cancellation, callee?: Callee): CancellationError {
  return (cancellation.error ??= traced(() => makeError(cancellation, reasonTextOf(cancellation.reason)), callee))
}

/** Makes the error of a cancellation. `said` is the part of the message about the reason. */
export function makeError(cancellation: Cancellation, said: string | undefined): CancellationError {
  const { origin, kind, reason } = cancellation
  const Class = kind in classes ? classes[kind as keyof typeof classes] : CancellationError
  const what = whatHappened(cancellation)
  const message = said === undefined ? what : `${what}: ${said}`
  return new Class(message, { token: origin as CancellationToken, kind, reason })
}

/**
 * Makes a cancellation by hand. Its error is made at once, because only now the stack says where `callee` was called.
 * The errors of all other kinds are made when they are first read. `callee` must be running.
 */
export function byHand(origin: TokenNode, reason: unknown, callee: Callee): Cancellation {
  const cancellation = new Cancellation(origin, 'manual', reason, now())
  const trace = tracer()
  const make = () => errorOf(cancellation)
  const error = trace ? untraced(make) : make()
  // Here, and not by traced(): each frame between this one and `callee` costs as much as four tokens (0.5 µs).
  trace?.(error, callee)
  return cancellation
}

/**
 * Returns the part of a message before the reason. By these words {@link isCancellation} recognises a clone of the
 * error: `CLONED` in errors.ts.
 */
export function whatHappened({ origin, kind }: Cancellation): string {
  return `${origin.subject()} ${origin.explain(kind)}`
}

/** Returns the part of a message about the reason: its text, or its message if it is an error of any realm. */
export function reasonTextOf(reason: unknown): string | undefined {
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
 * The number of cancellations so far, plus one. It is negated with a minus, not with `~`, which handles the lower 32
 * bits only. So it is right up to 2⁵³ cancellations, which take 28 years at ten million a second.
 */
export let epoch = 1

// The clock is read at most once in a walk over the graph. This is a typed array, because a number in a variable would
// be boxed.
const reading = new Float64Array(1)
/** The number of the last walk, for G7. It is a typed array for the same reason. */
const walks = new Int32Array(1)

/** Returns the time of this walk over the graph. */
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

const countOf = ({ sources }: TokenNode): number => (Array.isArray(sources) ? sources.length : 1)

/** How many sources of an opaque node must be live to keep it live. */
export const neededLive = (node: TokenNode & Pick<OpaqueNode, 'quorum'>): number =>
  countOf(node) - (node.quorum ?? 1) + 1

// ---- Polls and reads ------------------------------------------------------------------------------------------------

/**
 * The value of `rules` if a node has more than MOST_RULES of them. A list for each node of a long chain would take
 * memory for the square of its length. With this value, every poll visits the ancestors. MANY_AND_OWN: the node also has
 * a rule of its own.
 */
const MANY: readonly TokenNode[] = []
const MANY_AND_OWN: readonly TokenNode[] = []
const MOST_RULES = 16

const isMany = (rules: Some<TokenNode>) => rules === MANY || rules === MANY_AND_OWN

/**
 * The rules of the node and of its ancestors, with an opaque node for everything it stands for. If there are many, the
 * result also has nodes without a rule.
 */
export function rulesOf(node: TokenNode): Some<TokenNode> {
  return isMany(node.rules) ? [...above(node, false)] : node.rules
}

/** The path of a cancellation, from the node where it started to this one. Empty while this node is live. */
export function pathOf(node: TokenNode): TokenNode[] {
  const origin = discover(node, READ)?.origin
  if (!origin) return []
  const path = [node]
  for (let at = node; at !== origin;) {
    let next: TokenNode | undefined
    each(at.sources, (source) => {
      if (!next && (source === origin || source.outcome?.origin === origin)) next = source
    })
    // A token that was disposed of, or that lives elsewhere, does not tell its sources.
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

/** Returns the number of a new walk over the graph. One poll is one walk (G7). */
export function newWalk(): number {
  // It starts again after 2³⁰ walks, because larger numbers are boxed. No node remembers a walk of so long ago.
  return (walks[0] = ((walks[0] as number) + 1) & 0x3fff_ffff)
}

/**
 * Returns the node that a method was called on: the receiver itself, or the node behind a proxy or a view. Throws for
 * any other receiver.
 */
export function own<N extends TokenNode>(receiver: N): N {
  // Small, so that V8 inlines it into each method.
  return (receiver as N | undefined)?.itself === receiver && receiver ? receiver : standsFor(receiver)
}

/**
 * The same, for a method that cancels the token, moves its deadline, or lets other code do that: a view is refused.
 */
export function ownToCancel<N extends TokenNode>(receiver: N): N {
  const node = own(receiver)
  if (node !== receiver && isView(receiver)) {
    throw new TypeError('a view must not cancel its token: only the code that has the token itself can')
  }
  return node
}

/** The nodes behind the read-only views of tokens: see view.ts. The views do not show them. */
export const viewed = new WeakMap<object, TokenNode>()

/** A view has itself under this key, so that it is found through a proxy. */
export const VIEW: unique symbol = Symbol('calloff.view') as never

/** Whether the value is a view, or a proxy of one. */
export function isView(value: unknown): boolean {
  return viewed.has((value as { readonly [VIEW]?: object } | null | undefined)?.[VIEW] as object)
}

function standsFor<N extends TokenNode>(receiver: N): N {
  const node = ownIf(receiver)
  if (!node) throw stray('token', 'cancel')
  return node
}

export function ownIf<N extends TokenNode>(receiver: N | undefined): N | undefined {
  const itself = receiver?.itself
  if (itself === receiver || (itself?.itself === itself && typeof itself?.seen === 'number')) return itself as N
  return viewed.get((receiver as { readonly [VIEW]?: object } | undefined)?.[VIEW] as object) as N | undefined
}

/**
 * Polls or reads a node. Returns its cancellation, if it is cancelled. When this returns, the cancellation is recorded
 * and all listeners have been called. The answer of an uncached condition is returned, but not recorded.
 */
export function discover(node: TokenNode, mode: Mode, given?: number): Cancellation | undefined {
  if (node.outcome || node.seen === epoch) return node.outcome
  // A node whose rule is itself, or whose `itself` is itself, is no proxy. Any other receiver goes through own().
  if (node.rules !== node && node.itself !== node) return discover(own(node), mode, given)
  const walk = given ?? newWalk()
  reading[0] = 0
  if (node.seen === -epoch && !pollRules(node, mode, walk) && node.seen === -epoch) return undefined
  return !node.rules && isLineAlive(node) ? undefined : climb(node, mode, walk)
}

/**
 * The most common way to the root: a line of nodes without rules. The node is live if none of them has an outcome. This
 * allocates nothing. Every cancellation anywhere makes the next poll of every token visit its ancestors once, so a busy
 * server pays for this.
 */
function isLineAlive(node: TokenNode): boolean {
  let at: TokenNode | undefined = node
  for (; at && at.seen !== epoch; at = at.sources as TokenNode | undefined) {
    if (at.outcome || Array.isArray(at.sources)) return false
  }
  for (at = node; at && at.seen !== epoch; at = at.sources as TokenNode | undefined) at.seen = epoch
  return true
}

/**
 * Polls the rules alone, since no ancestor is recorded as cancelled (G3). Returns true if a rule cancels, or if only a
 * visit of the ancestors can tell.
 */
function pollRules(node: TokenNode, mode: Mode, walk: number): boolean {
  const rules = node.rules as TokenNode | readonly TokenNode[]
  if (rules === node) return !!node.pollOwn(mode, walk)
  const how = mode && INDIRECT
  if (!Array.isArray(rules)) return !!(rules as TokenNode).pollOwn(how, walk)
  if (!rules.length) return true // MANY
  let at = 0
  if (rules[0] === node) {
    if (node.pollOwn(mode, walk)) return true
    at = 1
  }
  // An index, not `for of`, which takes 2 ns more for each rule.
  for (; at < rules.length; at++) if ((rules[at] as TokenNode).pollOwn(how, walk)) return true
  return false
}

/**
 * Visits all ancestors. If a cancellation happens meanwhile (a condition may cancel any token), it visits them again.
 * By G7 that comes to an end. An opaque node is live as long as too few of its sources are cancelled. Once it is known to
 * be live, its other sources are polled only with `behind`, and only if it is not awake.
 */
export function climb(top: TokenNode, mode: Mode, walk: number, behind = false): Cancellation | undefined {
  for (;;) {
    const started = epoch
    const found = climbOnce(top, mode, walk, started, behind)
    if (found || started === epoch) return found
  }
}

/**
 * Polls the node's own state, its own rule, and then each source in order, depth first. The first cancellation that is
 * found becomes the outcome of every node on the path to it.
 */
function climbOnce(
  top: TokenNode,
  mode: Mode,
  walk: number,
  started: number,
  behind: boolean,
): Cancellation | undefined {
  let verdict = stateOf(top, mode, walk)
  if (verdict) return verdict
  // The nodes on the path. For each of them: the index of its next source, and, if it is opaque, how many of its sources
  // are cancelled, and the last of these cancellations.
  const path = [top]
  const next = [0]
  const ended = [0]
  const last: (Cancellation | undefined)[] = [undefined]
  // The nodes that were found live in this climb: a ladder of diamonds has 2ⁿ ways through it.
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
          next[depth] = ended[depth] = 0
          last[depth] = undefined
          continue
        }
        markAlive(source, started)
      }
    } else {
      // All sources are live, or a condition on the path has cancelled this very node.
      verdict = node.outcome
      if (!verdict) {
        markAlive(node, started)
        passed.add(node)
      }
      depth--
    }
    // Goes back along the path, as long as the verdict on a node decides its child, too.
    for (; depth >= 0; depth--) {
      const asker = path[depth] as TokenNode
      if (asker.opaque) {
        const node = asker as OpaqueNode
        if (verdict && node.heeds?.(verdict) !== false) {
          last[depth] = later(last[depth], verdict)
          ended[depth] = (ended[depth] as number) + 1
        }
        const missing = (node.quorum ?? 1) - (ended[depth] as number)
        const left = countOf(node) - (next[depth] as number)
        // An opaque node that is awake has links: its sources tell it.
        if (left > 0 && missing > 0 && (left >= missing || (behind && !node.extras?.links))) break
        verdict = missing > 0 ? undefined : node.conclude(last[depth] as Cancellation)
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

/** Returns what a node knows of itself, without its sources: its outcome, its signal and its rule. */
function stateOf(node: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  if (node.outcome) return node.outcome
  // The platform may have been quicker: its signal of two sources goes by time, where the graph goes by order. Both
  // must agree.
  const signal = node.extras?.signal
  const answer = (signal?.aborted && fired.get(signal.reason as object)) || ownAnswer(node, mode, walk)
  if (answer && !node.uncached) settle(node, answer)
  return node.outcome ?? answer
}

function ownAnswer(node: TokenNode, mode: Mode, walk: number): Cancellation | undefined {
  return node.opaque ? (node as OpaqueNode).known(mode, walk) : node.pollOwn(mode, walk)
}

function markAlive(node: TokenNode, started: number): void {
  if (!node.opaque) node.seen = node.rules ? -started : started
}

/** Compares two cancellations: by the moment when they happened, then by the moment when they were recorded. */
function byTime(a: Cancellation, b: Cancellation): number {
  return a.at - b.at || a.order - b.order
}

/** Returns the cancellations, without those that are undefined, the earliest first. */
export function inOrder(cancellations: readonly (Cancellation | undefined)[]): Cancellation[] {
  // oxlint-disable-next-line unicorn/no-array-sort -- its own array, and not every engine has toSorted
  return cancellations.filter((one) => one !== undefined).sort(byTime)
}

/** Returns the later of two cancellations. */
function later(a: Cancellation | undefined, b: Cancellation): Cancellation {
  return !a || byTime(a, b) <= 0 ? b : a
}

// ---- Birth ----------------------------------------------------------------------------------------------------------

/**
 * Gives a new node its sources. The node is cancelled from birth if one of them is. The node must have no sources and
 * no rules yet.
 */
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
  // Where a read would climb far, the recorded outcome must do. The first poll finds the rest.
  node.outcome = isMany(source.rules) ? source.outcome : discover(source, READ)
}

/** Gives a new node a rule of its own, which a poll polls before the sources. Call it after `adopt`. */
export function giveRule(node: TokenNode): void {
  const { rules, outcome } = node
  const many = isMany(rules) || (Array.isArray(rules) && rules.length >= MOST_RULES)
  node.rules = many ? MANY_AND_OWN : rules ? [node].concat(rules) : node
  node.seen = outcome ? 0 : -epoch
  // The first poll finds a source that is cancelled already, because the rule comes before the sources.
  if (outcome?.origin !== node) node.outcome = undefined
}

// ---- Subscribing ----------------------------------------------------------------------------------------------------

/**
 * A place in a list of a node.
 *
 * A list is a ring, and the extras of a node have its head only. To add the first place and to remove it again is the
 * most common case. The ring then writes to an old object once, not twice. Each such write costs a write barrier
 * (12 instead of 15 ns).
 */
interface Place {
  /** The neighbours, or the place itself if it is alone. Undefined when it is out of the list. */
  next: this | undefined
  previous: this | undefined
  /** The node of the list. Undefined when the place is out of the list. */
  owner: TokenNode | undefined
}

/** Adds a place as the last one of a list. Returns the head of the list. The place must be in no list. */
function join<P extends Place>(head: P | undefined, place: P): P {
  if (!head) return (place.next = place.previous = place)
  const last = head.previous as P
  place.next = head
  place.previous = last
  last.next = head.previous = place
  return head
}

/** Removes a place from its list. Returns the head of the list. The place must be in the list. */
function leave<P extends Place>(head: P | undefined, place: P): P | undefined {
  const { next, previous } = place as { next: P; previous: P }
  place.next = place.previous = undefined // a place that is kept must not keep its neighbours
  // A place that was alone has just cleared its own `next`. This is no comparison by identity, since a proxy may stand
  // for the place.
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
    readonly listener: ((error: CancellationError) => unknown) | undefined,
    /** See G6. A function is quiet too. It is called when a deadline above is taken off, or set again. */
    readonly quiet: boolean | (() => void),
  ) {}

  /**
   * Removes the listener. Returns true if it was still in the list. With the last listener, the node leaves its
   * sources.
   */
  stop(): boolean {
    const owner = (this as Subscriber | undefined)?.owner
    if (!owner) {
      if (!(this instanceof Subscriber)) throw stray('registration', 'stop')
      return false
    }
    this.owner = undefined
    if (owner.outcome) return true // the list is being drained, and the drain skips this place
    const extras = extrasOf(owner)
    extras.listeners = leave(extras.listeners, this)
    if (isIdle(extras) && (owner.sources || owner.rules)) rest(owner)
    return true
  }

  [Symbol.dispose](): void {
    this.stop()
  }

  /** For JSON: without its neighbours. @internal */
  toJSON(): string {
    return 'Registration'
  }

  /** A tag for test libraries, as that of a token. @internal */
  get [Symbol.toStringTag](): string {
    return tagOf(this)
  }
}

Object.defineProperty(Subscriber.prototype, SHOWN, { value: [] })

/** The place of a child that has a subscriber. */
class Link implements Place {
  next: this | undefined = undefined
  previous: this | undefined = undefined

  constructor(
    public owner: TokenNode | undefined,
    readonly child: TokenNode,
  ) {}
}

/** The rare fields of a token: of one that has a name, a subscriber or a signal. */
export class Extras {
  name: string | undefined = undefined
  /** The heads of two lists: that of the listeners, and that of the children that have subscribers. */
  listeners: Subscriber | undefined = undefined
  below: Link | undefined = undefined
  /** The node's own places in the lists of its sources. */
  links: Some<Link> = undefined
  /** Stops the timer, poller or foreign listener of the node's rule. */
  disarm: (() => void) | undefined = undefined
  controller: AbortController | undefined = undefined
  signal: AbortSignal | undefined = undefined
}

/** Returns the rare fields of a node, and makes them when they are first needed. */
export function extrasOf(node: TokenNode): Extras {
  return node.extras ?? makeExtras(node)
}

function makeExtras(node: TokenNode): Extras {
  const extras = (node.extras = new Extras())
  reports?.noticed(node)
  return extras
}

/** Whether a node has no subscriber: neither a listener, nor a child with a subscriber. */
export const isIdle = ({ listeners, below }: Extras): boolean => !listeners && !below

/** Whether the node or one of its ancestors is opaque, or that is not known. */
function mayHaveOpaque({ rules }: TokenNode): boolean {
  let far = isMany(rules)
  each(rules, ({ opaque }) => (far ||= opaque))
  return far
}

/** Adds a listener to a live node. The first subscriber wakes the node up (G5). */
export function subscribe(
  node: TokenNode,
  listener: Subscriber['listener'],
  quiet: Subscriber['quiet'] = false,
): Subscriber {
  const isNew = !node.extras
  const extras = (node.extras ??= new Extras())
  const subscriber = new Subscriber(node, listener, quiet)
  const isFirst = isIdle(extras)
  extras.listeners = join(extras.listeners, subscriber)
  // Not before: an observer may cancel the token, and the listener must hear it.
  if (isNew) reports?.noticed(node)
  if (isFirst && (node.sources || node.rules)) wake(node)
  return subscriber
}

/** Restores G5 from a node on to its ancestors. The node has got its first subscriber, or must be polled again. */
function wake(node: TokenNode): void {
  // The sources of a live all-of were not read yet. Of several cancelled ones, the first in order must be found, as by
  // any read, and not the one that happens to be woken first.
  reading[0] = 0
  if (mayHaveOpaque(node) && climb(node, READ, newWalk(), true)) return
  const toWake: TokenNode[] = []
  for (let at: TokenNode | undefined = node; at; at = toWake.pop()) {
    // The rule comes before the sources. What it answers now, it would never report again.
    reading[0] = 0
    const answer = ownAnswer(at, READ, newWalk())
    if (answer) settle(at, answer)
    const { sources } = at
    // An observer may cancel a source that it notices. So it hears of all of them before their outcomes are read.
    if (reports) each(sources, extrasOf)
    if (at.opaque || Array.isArray(sources)) wakeSeveral(at, toWake)
    else if (sources && (sources as TokenNode).outcome) settle(at, (sources as TokenNode).outcome as Cancellation)
    else {
      const extras = extrasOf(at)
      if (at.outcome || isIdle(extras)) continue
      if (sources) extras.links ??= linkTo(sources as TokenNode, at, toWake)
      if (!extras.disarm) at.arm()
    }
  }
}

/**
 * Puts a child into the list of a live source. If this is the first subscriber of the source, the source is woken in
 * its turn. A source that is awake and has a rule is polled again, since a counter may have run out meanwhile.
 */
function linkTo(source: TokenNode, child: TokenNode, toWake: TokenNode[]): Link {
  const extras = extrasOf(source)
  const link = new Link(source, child)
  if (hasRule(source) || (isIdle(extras) && source.sources)) toWake.push(source)
  extras.below = join(extras.below, link)
  return link
}

function wakeSeveral(child: TokenNode, toWake: TokenNode[]): void {
  // A source may have been cancelled since the last read, and will not report this again. Other sources may be
  // cancelled without a record: they are woken now, and report it then.
  let first: Cancellation | undefined
  each(child.sources, ({ outcome }) => (first ??= outcome))
  const over = first && child.opaque ? (child as OpaqueNode).sourceEnded() : first
  if (over) settle(child, over)
  const extras = extrasOf(child)
  // The child is cancelled, or a listener has stopped the subscription that was to be woken, or the child is awake
  // already.
  if (child.outcome || isIdle(extras) || extras.links) return
  const links: Link[] = (extras.links = [])
  each(child.sources, (source) => {
    if (!source.outcome) links.push(linkTo(source, child, toWake))
  })
  if (!extras.disarm) child.arm()
}

/** Restores G5 from a node on to its ancestors. The node has lost its last subscriber, or was settled. */
function rest(node: TokenNode): void {
  let toWake: TokenNode[] | undefined
  for (let at: TokenNode | undefined = node; at; at = toWake?.pop()) {
    const extras = extrasOf(at)
    const { disarm, links } = extras
    extras.disarm = extras.links = undefined
    if (disarm) disarm()
    each(links, (link) => {
      const source = link.owner
      if (!source) return
      const above = extrasOf(source)
      link.owner = undefined
      above.below = leave(above.below, link)
      if (!source.outcome && isIdle(above) && (source.sources || source.rules)) (toWake ??= []).push(source)
    })
  }
}

/**
 * Whether the node has a listener, of its own or of a token that derives from it, that does not poll by itself (G6).
 */
export function isHeard(node: TokenNode): boolean {
  const nodes = new Set([node])
  for (const { extras } of nodes) {
    let found = false
    visit(extras?.listeners, ({ quiet }) => (found ||= !quiet))
    if (found) return true
    visit(extras?.below, ({ child }) => nodes.add(child))
  }
  return false
}

/**
 * Visits the subscribers of a node, and of the nodes that derive from it. `nodes` has those that are visited: more may
 * be added.
 */
export function visitBelow(node: TokenNode, what: (one: Subscriber, nodes: Set<TokenNode>) => void): void {
  const nodes = new Set([node])
  for (const { extras } of nodes) {
    visit(extras?.listeners, (one) => what(one, nodes))
    visit(extras?.below, ({ child }) => nodes.add(child))
  }
}

/** Visits every place in a list. The visited place may leave the list meanwhile. */
export function visit<P extends Place>(head: P | undefined, what: (place: P) => void): void {
  for (let at = head; at;) {
    const next: P | undefined = at.next === head ? undefined : at.next
    what(at)
    at = next
  }
}

/** Returns the node and its ancestors, each once. The ancestors of opaque nodes are in it only with `behindOpaque`. */
export function above(node: TokenNode, behindOpaque: boolean): Set<TokenNode> {
  const found = new Set([node])
  for (const at of found) if (behindOpaque || !at.opaque) each(at.sources, (source) => found.add(source))
  return found
}

// ---- Cancelling -----------------------------------------------------------------------------------------------------

/**
 * Cancels a node, and every node that derives from it and has a subscriber. A node that is cancelled already stays as
 * it is (G1).
 */
export function settle(node: TokenNode, cancellation: Cancellation): void {
  if (node.outcome) return
  record(node, cancellation)
  if (node.extras) announce(node)
  else reports?.reached([node])
}

/**
 * Gives a cancellation of another thread or process to the node that stands for its origin. Call `settle` then with the
 * token that it reaches here.
 */
export function attribute(origin: TokenNode, cancellation: Cancellation): void {
  origin.outcome = cancellation
  origin.seen = 0
}

function record(node: TokenNode, cancellation: Cancellation): void {
  attribute(node, cancellation)
  if (cancellation.order) return
  cancellation.order = ++epoch
  reports?.recorded(node, cancellation)
}

function announce(origin: TokenNode): void {
  // G8, first half: all nodes are settled.
  let reached = [origin]
  let live: TokenNode[] | undefined
  let several = false
  for (const node of reached) {
    const { outcome } = node
    const extras = extrasOf(node)
    const links = extras.below
    extras.below = undefined
    visit(links, (link) => {
      link.owner = link.next = link.previous = undefined
      const { child } = link
      const verdict = child.outcome ? undefined : child.opaque ? (child as OpaqueNode).sourceEnded() : outcome
      if (!verdict) {
        if (!child.outcome) (live ??= []).push(child)
        return
      }
      record(child, verdict)
      several ||= Array.isArray(child.sources)
      reached.push(child)
    })
  }
  for (const node of reached) rest(node)
  if (several) reached = parentsFirst(reached)
  // Before anything else hears of it. So each cancellation is reported before those that it causes.
  reports?.reached(reached)
  // Then the listeners for deadlines (moves.ts) and the signals of the platform are called.
  each(live, moved)
  for (const node of reached) if (firesAll || node === origin || node.opaque) fire(node)
  // G8, second half: the listeners are called.
  for (const node of reached) drain(node, extrasOf(node))
}

/**
 * Calls all listeners, from the head on. The list is cut off as a whole, and a listener that is stopped meanwhile is
 * skipped. To repair the list at each listener took four times as long.
 */
function drain(node: TokenNode, extras: Extras): void {
  const { listeners } = extras
  extras.listeners = undefined
  // A loop of its own, not visit(): it is the hottest loop here (22 instead of 37 ns).
  for (let one = listeners; one;) {
    const { next, owner, listener }: Subscriber = one
    one.owner = one.next = one.previous = undefined
    if (owner && listener) call(listener, node)
    one = next === listeners ? undefined : next
  }
}

/**
 * Puts sources before the nodes that derive from them, and else keeps the order. A node of two sources may be reached
 * before one of them.
 */
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

/**
 * Calls one listener of a cancelled node. An error of the listener does not stop the others. It surfaces as uncaught,
 * as the platform does for events. So does the rejection of a promise that the listener returns.
 */
export function call(listener: (error: CancellationError) => unknown, node: TokenNode): void {
  try {
    const error = errorOf(node.outcome as Cancellation)
    const result = listener(error)
    if (result !== undefined) followResult(result, listener, node, error)
  } catch (error) {
    surface(error)
  }
}

// The real function, on purpose: an error must not wait until a test moves a fake clock.
const realMicrotask = queueMicrotask
declare const reportError: ((error: unknown) => void) | undefined

/** Makes an error an uncaught one, in a microtask of its own. */
export function surface(error: unknown): void {
  // Node has no `reportError`. Elsewhere it is the only way that no fake timers replace.
  if (typeof reportError === 'function') return soon(() => reportError(error))
  realMicrotask(() => {
    throw error
  })
}

/** The cancellations whose signals were aborted, by the reason of the signal. */
export const fired = new WeakMap<object, Cancellation>()

/** Whether the platform does not carry an abort on to composites, so that each node aborts its own controller. */
let firesAll = false

/** From now on each node aborts its own controller: the platform has no `AbortSignal.any`. */
export function fireAll(): void {
  firesAll = true
}

function fire(node: TokenNode): void {
  const controller = node.extras?.controller
  if (!controller) return
  controller.abort(reasonOf(node.outcome as Cancellation))
  for (const listener of afterFire) listener(controller)
}

/**
 * Returns the error of a cancellation as the reason of a signal. By this reason the cancellation can be found again.
 */
export function reasonOf(cancellation: Cancellation): CancellationError {
  const error = errorOf(cancellation)
  fired.set(error, cancellation)
  return error
}

const afterFire: ((controller: AbortController) => void)[] = []
/** Adds a listener for aborts of controllers, for the guards of single platforms: see signal-guards.ts. */
export function onFire(listener: (controller: AbortController) => void): void {
  afterFire.push(listener)
}

type FollowResult = (
  result: unknown,
  listener: (error: CancellationError) => unknown,
  node: TokenNode,
  error: CancellationError,
) => void

let followResult!: FollowResult
/** Sets the function that gets what a listener returns, if it is not undefined: see listener-promises.ts. */
export function onResult(follow: FollowResult): void {
  followResult = follow
}

let tell: ((node: TokenNode) => void) | undefined
/** Sets the listener for deadlines that are also known elsewhere: see moves.ts. */
export function onMove(listener: typeof tell): void {
  tell = listener
}

/** Reports that the deadline of the node was moved, or has begun. */
export function moved(node: TokenNode): void {
  tell?.(node)
}

/** Polls the rule of a live node alone. It polls no ancestor, so it uses nothing up there. */
export function pollRule(node: TokenNode): void {
  const answer = discover(node, READ) ? undefined : node.pollOwn(INDIRECT, newWalk())
  if (answer) settle(node, answer)
}

/** Cancels a node now, if it is live. */
export function end(node: TokenNode, kind: CancellationKind, reason?: unknown): void {
  if (!discover(node, READ)) settle(node, new Cancellation(node, kind, reason, now()))
}

/** Cancels a deadline that was made for one wait, with kind `'timeout'`. Returns its error. */
export function expire(deadline: TokenNode): CancellationError {
  end(deadline, 'timeout')
  return errorOf(deadline.outcome as Cancellation)
}
