/**
 * What DESIGN.md says of tokens, as naively as it can be said: a poll is a recursion over the sources. No epoch, no cache, no
 * lists of subscribers; who is listened to is worked out anew each time. Written from the design, not from the engine.
 *
 * Where the design leaves a choice open, `choose` is asked which of the candidates it was.
 */
export type Mode =
  /** Consumes nothing, asks no condition. */
  | 'look'
  /** Through another token. */
  | 'indirect'
  | 'direct'

export type Kind = 'manual' | 'dispose' | 'timeout' | 'counter' | 'condition' | 'signal'

/** What a condition does when it is asked. */
export type Answer = 'yes' | 'no' | 'throw' | 'odd'

/** An AbortSignal of somebody else. */
export interface ModelForeign {
  over: { readonly kind: Kind; readonly reason: unknown } | undefined
}

export type Rule =
  | { readonly is: 'none' }
  | { readonly is: 'timeout'; ms: number; deadline: number }
  | { readonly is: 'counter'; left: number; readonly direct: boolean }
  | {
      readonly is: 'condition'
      answer: Answer
      calls: number
      readonly fallback: boolean
      readonly suppress: boolean
      readonly caching: boolean
      readonly pollEvery: number
      /** When its timer goes off next, if somebody listens. */
      next: number | undefined
    }
  /** What stands for a foreign signal. */
  | { readonly is: 'foreign'; readonly foreign: ModelForeign }
  /** What stands for the signal of a token of ours, given back to us: no poll goes through it, no look either. */
  | { readonly is: 'echo'; readonly of: ModelToken }
  /** Ends with the k-th of its sources: an all-of with the last of them. */
  | { readonly is: 'some'; readonly k: number }
  /** Does not end with a source that ended in one of these ways. Its sources are a token and those above it. */
  | { readonly is: 'except'; readonly kinds: ReadonlySet<Kind> }
  /** `told`: the first it heard of its source's end. */
  | { readonly is: 'grace'; readonly ms: number; told: Outcome | undefined }

export class Outcome {
  /** Its place among all that were recorded; 0 for one that nobody has recorded. */
  order = 0

  constructor(
    readonly origin: ModelToken,
    readonly kind: Kind,
    readonly reason: unknown,
    readonly at: number,
    /** A grace carries the error of another. */
    readonly carries?: Outcome,
  ) {}

  /** The one with the error. */
  get root(): Outcome {
    return this.carries === undefined ? this : this.carries.root
  }
}

/** How a deadline is moved. */
export type Move = 'restart()' | 'restart(ms)' | 'extend(ms)' | 'disarm()'

export class ModelToken {
  outcome: Outcome | undefined
  /** Those who still wait to be called, by number. */
  readonly listeners = new Set<number>()
  /** Its deadline, for those to whom it still counts though the token has ended in another way. */
  behind: Outcome | undefined
  /** Set once a signal was made of it: the tokens whose end ends it, and the first end it heard of. */
  signal: { readonly over: ReadonlySet<ModelToken>; heard: Outcome | undefined } | undefined
  /** A signal was made of it or of a token below: from then on it ends by itself. */
  sourced = false

  constructor(
    readonly sources: readonly ModelToken[],
    readonly rule: Rule,
  ) {}

  /** Does not end with the first of its sources. */
  get opaque(): boolean {
    return this.rule.is === 'some' || this.rule.is === 'grace' || this.rule.is === 'except'
  }
}

/** Thrown by a condition whose errors are not suppressed. */
export class Thrown {
  constructor(readonly by: ModelToken) {}
}

function isAbove(one: ModelToken, token: ModelToken): boolean {
  return token.sources.some((source) => source === one || isAbove(one, source))
}

/** What the design leaves open and nobody can tell, such as which of two timers of the very same moment goes first. */
export class Tie extends Error {}

/** What has been asked in the course of one poll: a condition is asked, and a counter consumed, once. */
class Visit {
  readonly answers = new Map<ModelToken, Outcome | undefined>()
  readonly paid = new Set<ModelToken>()

  /** With `awake`: asks all sources of an all-of, though one of them lives, unless it is one of these. */
  constructor(readonly awake?: ReadonlySet<ModelToken>) {}
}

const later = (a: Outcome | undefined, b: Outcome): Outcome =>
  a === undefined || b.at > a.at || (b.at === a.at && b.order >= a.order) ? b : a

export class Model {
  now = 0
  /** Sources stand before what derives from them. */
  readonly tokens: ModelToken[] = []
  /** The listeners that were called, and with what. */
  readonly called: { readonly listener: number; readonly outcome: Outcome }[] = []
  /** Errors that have reached nobody. */
  uncaught = 0
  #recorded = 0

  constructor(readonly choose: (token: ModelToken, candidates: readonly Outcome[]) => Outcome) {}

  // ---- Operations ---------------------------------------------------------------------------------------------------

  derive(sources: readonly ModelToken[], rule: Rule, options: { readonly cancelled?: boolean } = {}): ModelToken {
    const token = new ModelToken(sources, rule)
    this.tokens.push(token)
    // An all-of or a grace is found over by the first who looks.
    if (!token.opaque) {
      const dead = sources.reduce<Outcome | undefined>((found, source) => found ?? this.poll(source, 'look'), undefined)
      if (options.cancelled === true) this.#settle(token, new Outcome(token, 'manual', undefined, this.now))
      // Rule 4, of sums. One with a rule of its own is asked that first.
      else if (dead !== undefined && rule.is === 'none') this.#settle(token, dead)
    }
    return this.#done(token)
  }

  cancel(token: ModelToken, kind: Kind, reason: unknown): void {
    if (this.poll(token, 'look') === undefined) this.#settle(token, new Outcome(token, kind, reason, this.now))
    this.#done()
  }

  /** Polls or looks. Throws what a condition throws. */
  ask(token: ModelToken, mode: Mode): Outcome | undefined {
    try {
      return this.poll(token, mode)
    } finally {
      this.#done()
    }
  }

  listen(token: ModelToken, listener: number): void {
    const dead = this.poll(token, 'look')
    if (dead === undefined) this.#lookBehind(token)
    if (token.outcome === undefined) token.listeners.add(listener)
    else this.called.push({ listener, outcome: token.outcome })
    this.#hearEchoes()
    this.#done()
  }

  stop(token: ModelToken, listener: number): boolean {
    return this.#done(token.listeners.delete(listener))
  }

  makeSignal(token: ModelToken): void {
    const dead = this.poll(token, 'look')
    if (token.signal !== undefined) return this.#done()
    const over = new Set<ModelToken>()
    const rise = (at: ModelToken) => {
      over.add(at)
      if (!at.opaque) at.sources.forEach(rise)
    }
    if (dead === undefined) rise(token)
    token.signal = { over, heard: dead }
    for (const at of over) {
      if (at.rule.is !== 'none') this.#lookBehind(at)
      at.sourced = true
      this.#hearEchoes()
    }
    this.#done()
  }

  move(token: ModelToken, how: Move, ms: number): boolean {
    const { rule } = token
    if (rule.is !== 'timeout') throw new Error('only the deadline of a timeout can be moved')
    const inTime = this.poll(token, 'look') === undefined
    if (inTime) {
      if (how === 'restart(ms)') rule.ms = ms
      if (how === 'disarm()') rule.deadline = Infinity
      else if (how === 'extend(ms)') rule.deadline += ms
      else rule.deadline = this.now + rule.ms
    }
    return this.#done(inTime)
  }

  abort(foreign: ModelForeign, kind: Kind, reason: unknown): void {
    foreign.over ??= { kind, reason }
    // Who is listened to hears of it at once.
    for (const token of this.tokens) {
      const { rule } = token
      if (rule.is === 'foreign' && rule.foreign === foreign && this.#watched().byItself.has(token))
        this.poll(token, 'look')
    }
    this.#done()
  }

  remaining(token: ModelToken): number {
    const over = this.poll(token, 'look') !== undefined
    return this.#done(over ? 0 : this.#left(token))
  }

  tick(ms: number): void {
    const until = this.now + ms
    for (;;) {
      const { byItself } = this.#watched()
      const due: { readonly at: number; readonly token: ModelToken }[] = []
      for (const token of byItself) {
        const { rule } = token
        const moment =
          rule.is === 'timeout'
            ? rule.deadline
            : rule.is === 'condition'
              ? (rule.next ?? Infinity)
              : rule.is === 'except'
                ? (this.#behind(token)?.at ?? Infinity)
                : rule.is === 'grace'
                  ? ((rule.told ?? token.sources[0]?.outcome)?.at ?? Infinity) + rule.ms
                  : Infinity
        if (moment <= until) due.push({ at: Math.max(moment, this.now), token })
      }
      const first = due.reduce<(typeof due)[number] | undefined>(
        (a, b) => (a === undefined || b.at < a.at ? b : a),
        undefined,
      )
      if (first === undefined) break
      if (due.some((one) => one !== first && one.at === first.at)) throw new Tie()
      this.now = first.at
      const { token } = first
      if (token.rule.is === 'condition') token.rule.next = this.now + token.rule.pollEvery
      try {
        if (this.poll(token, 'look') === undefined) {
          const own = this.#ask(token, 'indirect', new Visit())
          if (own !== undefined) this.#settle(token, own)
        }
      } catch (error) {
        if (!(error instanceof Thrown)) throw error
        this.uncaught++
      }
      this.#done()
    }
    this.now = until
  }

  // ---- Rule 1 -------------------------------------------------------------------------------------------------------

  /** What was found on the way may have come back to us, as a signal that was asked before: then it is asked again. */
  poll(token: ModelToken, mode: Mode, visit = new Visit()): Outcome | undefined {
    for (;;) {
      const before = this.#recorded
      const silent = this.tokens.filter(({ rule }) => rule.is === 'echo' && rule.of.signal?.heard === undefined)
      const found = this.#poll(token, mode, visit)
      // Whether what comes back to one that was asked before still counts for this very poll is open.
      const hasComeBack = ({ rule, outcome }: ModelToken) =>
        rule.is === 'echo' && rule.of.signal?.heard !== undefined && outcome === undefined
      if (found !== undefined && silent.some((echo) => hasComeBack(echo) && isAbove(echo, token))) throw new Tie()
      if (found !== undefined || this.#recorded === before) return found
    }
  }

  /** By hand; by its own rule; then each source in order, indirectly. The first yes is remembered. */
  #poll(token: ModelToken, mode: Mode, visit: Visit): Outcome | undefined {
    if (token.outcome !== undefined) return token.outcome
    if (token.signal?.heard !== undefined) return this.#settle(token, token.signal.heard)
    const own = this.#ask(token, mode, visit)
    if (own !== undefined) return this.#isFleeting(token) ? own : this.#settle(token, own)

    const { rule } = token
    const indirect = mode === 'direct' ? 'indirect' : mode
    if (rule.is === 'some') {
      let last: Outcome | undefined
      let ended = 0
      let live = 0
      for (const source of token.sources) {
        const one = this.#poll(source, indirect, visit)
        if (token.outcome !== undefined) return token.outcome
        if (one === undefined) live++
        else {
          last = this.#lastOf(last, one)
          if (++ended === rule.k) return this.#settle(token, last)
        }
        if (live > token.sources.length - rule.k && visit.awake?.has(token) !== false) return undefined
      }
      return undefined
    }
    if (rule.is === 'except') {
      for (const source of token.sources) {
        const one = this.#poll(source, indirect, visit)
        if (token.outcome !== undefined) return token.outcome
        if (one !== undefined && !rule.kinds.has(one.kind)) return this.#settle(token, one)
      }
      return undefined
    }
    if (rule.is === 'grace') {
      const over = this.#graceEnd(token)
      if (over !== undefined) return over
      const told = this.#poll(token.sources[0] as ModelToken, indirect, visit)
      rule.told ??= told
      return token.outcome ?? this.#graceEnd(token)
    }
    for (const source of token.sources) {
      const one = this.#poll(source, indirect, visit)
      if (token.outcome !== undefined) return token.outcome
      if (one !== undefined) return this.#settle(token, this.#pick(token, [one, ...this.#heardBelow(token)]))
    }
    return undefined
  }

  /** What a token says of itself. */
  #ask(token: ModelToken, mode: Mode, visit: Visit): Outcome | undefined {
    const { rule } = token
    switch (rule.is) {
      case 'timeout':
        return this.now < rule.deadline ? undefined : new Outcome(token, 'timeout', undefined, rule.deadline)
      case 'counter':
        if (visit.paid.has(token)) return undefined
        if (rule.left === 0) return new Outcome(token, 'counter', undefined, this.now)
        if (mode === 'direct' || (mode === 'indirect' && !rule.direct)) {
          visit.paid.add(token)
          rule.left--
        }
        return undefined
      case 'condition': {
        if (mode === 'look') return undefined
        if (visit.answers.has(token)) return visit.answers.get(token)
        rule.calls++
        if (!rule.suppress && (rule.answer === 'throw' || rule.answer === 'odd')) throw new Thrown(token)
        const yes = rule.answer === 'yes' || (rule.answer !== 'no' && rule.fallback)
        const answer = yes ? new Outcome(token, 'condition', undefined, this.now) : undefined
        visit.answers.set(token, answer)
        return answer
      }
      case 'foreign':
        return rule.foreign.over === undefined
          ? undefined
          : new Outcome(token, rule.foreign.over.kind, rule.foreign.over.reason, this.now)
      case 'echo':
        return rule.of.signal?.heard
      case 'except': {
        const end = this.#behind(token)
        return end !== undefined && end.at <= this.now ? end : undefined
      }
      default:
        return undefined
    }
  }

  /** An answer that is not kept. */
  #isFleeting(token: ModelToken): boolean {
    if (token.rule.is !== 'condition' || token.rule.caching) return false
    const { pushed, byItself } = this.#watched()
    return !pushed.has(token) && !byItself.has(token)
  }

  /** The earliest deadline that still counts for an except. */
  #behind({ rule, sources }: ModelToken): Outcome | undefined {
    if (rule.is !== 'except' || rule.kinds.has('timeout')) return undefined
    const ends = sources.flatMap((one) => {
      if (one.rule.is !== 'timeout' || one.rule.deadline === Infinity) return []
      const { outcome } = one
      if (outcome === undefined || (outcome.origin === one && outcome.kind === 'timeout')) return []
      return [(one.behind ??= new Outcome(one, 'timeout', undefined, one.rule.deadline))]
    })
    return this.#inOrder(ends)[0]
  }

  #graceEnd(token: ModelToken): Outcome | undefined {
    const { rule } = token
    if (rule.is !== 'grace' || rule.told === undefined) return undefined
    const { origin, kind, reason, at } = rule.told
    const due = at + rule.ms
    return this.now < due ? undefined : this.#settle(token, new Outcome(origin, kind, reason, due, rule.told))
  }

  /**
   * A signal below has heard of one end, through this token, while another comes first in order: whether the token was
   * "listened to" then is open.
   */
  #heardBelow(token: ModelToken): Outcome[] {
    const above = (at: ModelToken): ModelToken[] => [at, ...at.sources.flatMap(above)]
    const recorded = new Set(above(token).map((one) => one.outcome))
    return this.tokens
      .filter((one) => one.signal !== undefined && one.signal.over.has(token))
      .map((one) => one.signal?.heard)
      .filter((heard) => heard !== undefined && recorded.has(heard)) as Outcome[]
  }

  #pick(token: ModelToken, candidates: readonly Outcome[]): Outcome {
    const several = [...new Set(candidates)]
    return several.length === 1 ? (several[0] as Outcome) : this.choose(token, several)
  }

  /** The later of two, where an all-of ends. */
  #lastOf(a: Outcome | undefined, b: Outcome): Outcome {
    if (a && a.root !== b.root) {
      // When a deadline of the very same moment is noticed goes by what is cached.
      if (a.at === b.at && (a.kind === 'timeout' || b.kind === 'timeout')) throw new Tie()
      if (this.#isBlurred(a) || this.#isBlurred(b)) throw new Tie()
    }
    return later(a, b)
  }

  /** By the moment, the earliest first. */
  #inOrder(outcomes: readonly Outcome[]): Outcome[] {
    return outcomes.toSorted((a, b) => (a === b ? 0 : this.#lastOf(a, b) === a ? 1 : -1))
  }

  /** A signal gives us back the error alone, which a grace shares with its source: whose moment is meant nobody can tell. */
  #isBlurred({ root, at }: Outcome): boolean {
    const alike = (other: Outcome | undefined) => other?.root === root
    return (
      this.tokens.some(({ rule, outcome }) => rule.is === 'echo' && alike(outcome ?? rule.of.signal?.heard)) &&
      this.tokens.some(({ signal }) => alike(signal?.heard) && signal?.heard?.at !== at)
    )
  }

  // ---- What is remembered, and who hears of it ----------------------------------------------------------------------

  /** Who is told by those above (a listener stands at it or below), and who ends by itself (rule 7: is pushed, or polled). */
  #watched(): { readonly pushed: ReadonlySet<ModelToken>; readonly byItself: ReadonlySet<ModelToken> } {
    const pushed = new Set<ModelToken>()
    const byItself = new Set<ModelToken>()
    const rise = (token: ModelToken) => {
      if (token.outcome !== undefined || pushed.has(token)) return
      pushed.add(token)
      if (token.rule.is !== 'none') byItself.add(token)
      token.sources.forEach(rise)
    }
    for (const token of this.tokens) {
      if (token.outcome !== undefined) continue
      if (token.listeners.size > 0 || (token.sourced && token.rule.is !== 'none')) rise(token)
    }
    return { pushed, byItself }
  }

  /** Somebody will listen, so what has already ended above is seen, behind an all-of that lives too: it would never say so. */
  #lookBehind(token: ModelToken): void {
    const { pushed } = this.#watched()
    if (!pushed.has(token)) this.poll(token, 'look', new Visit(pushed))
  }

  /** Makes it so, for the token and for all below it that somebody listens to. */
  #settle(origin: ModelToken, outcome: Outcome): Outcome {
    const { pushed } = this.#watched()
    const reached = new Map<ModelToken, Outcome>()
    const reach = (token: ModelToken, with_: Outcome) => {
      reached.set(token, with_)
      this.#record(token, with_)
    }
    reach(origin, outcome)
    for (const token of this.tokens) {
      if (token.outcome !== undefined) continue
      const { rule } = token
      const ended = token.sources.flatMap((source) => reached.get(source) ?? [])
      if (ended.length === 0 || !pushed.has(token)) continue
      if (rule.is === 'some') {
        const all = token.sources.flatMap(({ outcome: one }) => one ?? [])
        if (all.length >= rule.k) reach(token, this.#inOrder(all)[rule.k - 1] as Outcome)
      } else if (rule.is === 'except') {
        const behind = this.#behind(token)
        const all = token.sources.flatMap(({ outcome: one }) => (one && !rule.kinds.has(one.kind) ? [one] : []))
        const first = this.#inOrder(behind && behind.at <= this.now ? [...all, behind] : all)[0]
        if (first !== undefined) reach(token, first)
      } else if (rule.is === 'grace') {
        rule.told ??= ended[0] as Outcome
        const due = rule.told.at + rule.ms
        const { origin: first, kind, reason } = rule.told
        if (this.now >= due) reach(token, new Outcome(first, kind, reason, due, rule.told))
      } else reach(token, this.#pick(token, ended))
    }
    // Only then do the signals fire.
    this.#hearEchoes()
    return outcome
  }

  /** Who is listened to hears of a signal of ours at once, and of one that has fired already. */
  #hearEchoes(): void {
    for (const token of this.tokens) {
      const heard = token.rule.is === 'echo' ? token.rule.of.signal?.heard : undefined
      if (heard !== undefined && token.outcome === undefined && this.#watched().byItself.has(token))
        this.#settle(token, heard)
    }
  }

  #record(token: ModelToken, outcome: Outcome): void {
    token.outcome = outcome
    if (outcome.order === 0) outcome.order = ++this.#recorded
    for (const listener of token.listeners) this.called.push({ listener, outcome })
    token.listeners.clear()
    for (const { signal } of this.tokens) if (signal !== undefined && signal.over.has(token)) signal.heard ??= outcome
  }

  /** A condition is polled by a timer exactly while somebody listens; the first time after its period. */
  #done(): void
  #done<T>(result: T): T
  #done<T>(result?: T): T | undefined {
    const { byItself } = this.#watched()
    for (const token of this.tokens) {
      if (token.rule.is === 'condition')
        token.rule.next = byItself.has(token) ? (token.rule.next ?? this.now + token.rule.pollEvery) : undefined
    }
    return result
  }

  // ---- remaining ----------------------------------------------------------------------------------------------------

  /** What a look would find, leaving no trace. */
  peek(token: ModelToken): Outcome | undefined {
    const { rule } = token
    const known = token.outcome ?? token.signal?.heard ?? this.#ask(token, 'look', new Visit())
    if (known !== undefined) return known
    if (rule.is === 'grace') {
      const told = rule.told ?? this.peek(token.sources[0] as ModelToken)
      return told !== undefined && this.now >= told.at + rule.ms ? told : undefined
    }
    if (rule.is === 'some') {
      const all = token.sources.flatMap((source) => this.peek(source) ?? [])
      return all.length < Math.max(rule.k, 1) ? undefined : all.slice(0, rule.k).reduce((a, b) => later(a, b))
    }
    const heeds = (one: Outcome | undefined) => one !== undefined && !(rule.is === 'except' && rule.kinds.has(one.kind))
    return token.sources.map((source) => this.peek(source)).find(heeds)
  }

  #left(token: ModelToken): number {
    if (this.peek(token) !== undefined) return 0
    const { rule, sources } = token
    if (rule.is === 'some')
      return sources.map((one) => this.#left(one)).toSorted((a, b) => a - b)[rule.k - 1] ?? Infinity
    if (rule.is === 'grace') {
      const told = rule.told ?? this.peek(sources[0] as ModelToken)
      return told === undefined
        ? this.#left(sources[0] as ModelToken) + rule.ms
        : Math.max(0, told.at + rule.ms - this.now)
    }
    if (rule.is === 'except') {
      // In which way one of these will end is not told here.
      if (sources.some(({ opaque, outcome }) => opaque && outcome === undefined)) throw new Tie()
      const deadlines = sources.map((one) => (one.rule.is === 'timeout' ? one.rule.deadline : Infinity))
      return rule.kinds.has('timeout') ? Infinity : Math.max(0, Math.min(Infinity, ...deadlines) - this.now)
    }
    const own = rule.is === 'timeout' ? rule.deadline - this.now : Infinity
    return Math.min(own, ...sources.map((one) => this.#left(one)))
  }
}
