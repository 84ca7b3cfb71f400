/** Tokens beside their model: does the same to both, and compares all that can be seen. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import {
  allOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  inspect as reportOf,
  isCancellation,
  type TokenOrSignal,
  NEVER,
  type Registration,
  SimpleToken,
  someOf,
  TimeoutToken,
} from 'calloff'
import { type ManualClock, manualClock } from 'calloff/testing'
import fc from 'fast-check'
import {
  type Answer,
  type Kind,
  Model,
  type ModelForeign,
  type ModelToken,
  type Mode,
  type Move,
  type Outcome,
  type Rule,
  Thrown,
  Tie,
} from './model.js'

// ---- What is generated ----------------------------------------------------------------------------------------------

/** Numbers pick one of what is there, modulo how many there are: so every subset of a sequence still makes sense. */
type Pick = number

export interface Source {
  readonly as: 'token' | 'foreign' | 'echo' | 'never'
  readonly pick: Pick
}

export interface Derivation {
  readonly do: 'derive'
  readonly kind: 'simple' | 'plus' | 'timeout' | 'counter' | 'condition' | 'all' | 'some' | 'except' | 'grace' | 'from'
  readonly ms: number
  readonly n: number
  readonly direct: boolean
  readonly caching: boolean
  readonly fallback: boolean
  readonly suppress: boolean
  readonly pollEvery: number
  readonly cancelled: boolean
  readonly named: boolean
  readonly sources: readonly Source[]
}

export type Operation =
  | Derivation
  | { readonly do: 'cancel'; readonly token: Pick; readonly reason: unknown }
  | { readonly do: 'dispose'; readonly token: Pick }
  | { readonly do: 'tick'; readonly ms: number }
  | { readonly do: 'answer'; readonly condition: Pick; readonly answer: Answer }
  | {
      readonly do: 'poll'
      readonly token: Pick
      readonly how: 'cancelled' | 'isCancelled' | 'keepOn' | 'check' | 'turn' | 'indirect'
    }
  | {
      readonly do: 'look'
      readonly token: Pick
      readonly at: 'error' | 'cancelledBy' | 'reason' | 'remaining' | 'text' | 'tree' | 'report'
    }
  | { readonly do: 'listen'; readonly token: Pick; readonly throws: boolean }
  | { readonly do: 'stop'; readonly listener: Pick }
  | { readonly do: 'signal'; readonly token: Pick }
  | { readonly do: 'restart'; readonly timeout: Pick; readonly how: Move; readonly ms: number }
  | { readonly do: 'abort'; readonly foreign: Pick; readonly reason: 'none' | 'text' | 'error' | 'timeout' }

const pick = fc.nat(63)
const source: fc.Arbitrary<Source> = fc.record({
  as: fc.oneof(
    { weight: 12, arbitrary: fc.constant('token' as const) },
    { weight: 2, arbitrary: fc.constant('foreign' as const) },
    { weight: 2, arbitrary: fc.constant('echo' as const) },
    { weight: 1, arbitrary: fc.constant('never' as const) },
  ),
  pick,
})
const ms = fc.oneof(fc.nat(60), fc.constantFrom(0, 10, 20, Infinity))

export const derivation: fc.Arbitrary<Derivation> = fc.record({
  do: fc.constant('derive' as const),
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('simple' as const) },
    { weight: 1, arbitrary: fc.constant('plus' as const) },
    { weight: 3, arbitrary: fc.constant('timeout' as const) },
    { weight: 2, arbitrary: fc.constant('counter' as const) },
    { weight: 2, arbitrary: fc.constant('condition' as const) },
    { weight: 2, arbitrary: fc.constant('all' as const) },
    { weight: 2, arbitrary: fc.constant('some' as const) },
    { weight: 2, arbitrary: fc.constant('except' as const) },
    { weight: 2, arbitrary: fc.constant('grace' as const) },
    { weight: 1, arbitrary: fc.constant('from' as const) },
  ),
  ms,
  n: fc.nat(4),
  direct: fc.boolean(),
  caching: fc.boolean(),
  fallback: fc.boolean(),
  suppress: fc.boolean(),
  pollEvery: fc.constantFrom(10, 7, 25, Infinity),
  cancelled: fc.nat(15).map((n) => n === 15),
  named: fc.boolean(),
  sources: fc.array(source, { maxLength: 3 }),
})

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: derivation },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('cancel' as const),
      token: pick,
      reason: fc.constantFrom(undefined, 'enough', 7),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('dispose' as const), token: pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('tick' as const), ms: fc.nat(40) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      condition: pick,
      answer: fc.constantFrom<Answer>('yes', 'yes', 'no', 'throw', 'odd'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('poll' as const),
      token: pick,
      how: fc.constantFrom('cancelled', 'isCancelled', 'keepOn', 'check', 'turn', 'indirect', 'indirect'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('look' as const),
      token: pick,
      at: fc.constantFrom('error', 'cancelledBy', 'reason', 'remaining', 'remaining', 'text', 'tree', 'report'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('listen' as const), token: pick, throws: fc.nat(7).map((n) => n === 7) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stop' as const), listener: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('signal' as const), token: pick }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('restart' as const),
      timeout: pick,
      how: fc.constantFrom<Move>('restart()', 'restart(ms)', 'extend(ms)', 'disarm()'),
      ms,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('abort' as const),
      foreign: pick,
      reason: fc.constantFrom('none', 'text', 'error', 'timeout'),
    }),
  },
)

// ---- The world ------------------------------------------------------------------------------------------------------

const EXCEPTIONS: readonly (readonly Kind[])[] = [
  ['manual'],
  ['timeout'],
  ['manual', 'timeout'],
  ['dispose', 'signal'],
  ['condition', 'counter', 'manual'],
]
const MOST_TOKENS = 14
/** What is generated as a millisecond. Timers count whole ones, and below it there is room for what tells them apart. */
const UNIT = 2 ** MOST_TOKENS
const FOREIGN = 2

interface Entry {
  readonly token: CancellationToken
  readonly model: ModelToken
  readonly label: string
  /** The signal, once it was asked for, and how often it has fired. */
  signal: AbortSignal | undefined
  fired: number
}

interface Listener {
  readonly of: Entry
  readonly number: number
  registration: Registration | undefined
  calls: number
  stopped: boolean
}

/** An AbortSignal of somebody else. */
interface Stranger {
  readonly controller: AbortController
  readonly model: ModelForeign
  /** What stands for it in the model. */
  bridge: ModelToken | undefined
}

interface Call {
  readonly listener: Listener
  /** Not in a wave, but inside of `onCancel`. */
  readonly atOnce: boolean
  readonly error: CancellationError
}

export class World implements Disposable {
  readonly #clock: ManualClock = manualClock()
  readonly #reportError = globalThis.reportError
  #uncaught = 0
  readonly #model = new Model((token, candidates) => this.#choose(token, candidates))
  readonly #entries: Entry[] = []
  readonly #byModel = new Map<ModelToken, CancellationToken>()
  readonly #listeners: Listener[] = []
  readonly #foreign: Stranger[] = []
  readonly #echoes = new Map<AbortSignal, ModelToken>()
  /** One error for one cancellation, and one cancellation for one error. */
  readonly #errors = new Map<Outcome, CancellationError>()
  readonly #outcomes = new Map<CancellationError, Outcome>()
  /** What the listeners of the engine were called with, since the last operation. */
  #heard: Call[] = []
  readonly #trace: string[] = []

  constructor() {
    for (let i = 0; i < FOREIGN; i++) {
      this.#foreign.push({ controller: new AbortController(), model: { over: undefined }, bridge: undefined })
    }
    // Where there is one, what surfaces as an uncaught error goes through it.
    globalThis.reportError = () => void this.#uncaught++
  }

  /** The errors that the tokens have said. */
  get errors(): readonly CancellationError[] {
    return [...this.#outcomes.keys()]
  }

  [Symbol.dispose](): void {
    globalThis.reportError = this.#reportError
    this.#clock.uninstall()
  }

  /** Does all of it, then looks at every token and polls it. False if nobody can say what should happen. */
  async play(operations: readonly Operation[], fromTheEnd: boolean): Promise<boolean> {
    try {
      for (const one of operations) await this.#step(() => this.#do(one))
      const last = fromTheEnd ? this.#entries.toReversed() : this.#entries
      for (const entry of last) await this.#step(() => this.#look(entry, 'error'))
      for (const entry of last) await this.#step(() => this.#poll(entry, 'cancelled'))
      return true
    } catch (error) {
      if (error instanceof Tie) return false
      throw new Error(
        `after\n  ${this.#trace.join('\n  ')}\n${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      )
    }
  }

  async #step(act: () => void): Promise<void> {
    const heardBefore = this.#model.called.length
    const uncaughtBefore = this.#model.uncaught
    this.#heard = []
    act()
    this.#compareCalls(heardBefore)
    this.#uncaught = 0
    await Promise.resolve() // errors surface in jobs of their own
    const thrown = this.#heard.filter(({ listener }) => this.#throwing.has(listener)).length
    assert.equal(this.#uncaught, this.#model.uncaught - uncaughtBefore + thrown, 'errors that surface as uncaught ones')
    this.#compareState()
  }

  readonly #throwing = new Set<Listener>()

  // ---- Operations ---------------------------------------------------------------------------------------------------

  #at(pick: Pick): Entry | undefined {
    return this.#entries[pick % this.#entries.length]
  }

  #note(text: string): void {
    this.#trace.push(text)
  }

  #do(operation: Operation): void {
    switch (operation.do) {
      case 'derive':
        return this.#derive(operation)
      case 'tick':
        this.#note(`clock.tick(${operation.ms * UNIT})`)
        this.#clock.tick(operation.ms * UNIT)
        return this.#model.tick(operation.ms * UNIT)
      case 'abort':
        return this.#abort(operation.foreign, operation.reason)
      case 'answer': {
        const conditions = this.#model.tokens.flatMap(({ rule }, i) => (rule.is === 'condition' ? [{ rule, i }] : []))
        const chosen = conditions[operation.condition % conditions.length]
        if (chosen === undefined) return
        this.#note(`${this.#labelOf(this.#model.tokens[chosen.i] as ModelToken)} answers ${operation.answer}`)
        chosen.rule.answer = operation.answer
        return
      }
      case 'stop':
        return this.#stop(this.#listeners[operation.listener % this.#listeners.length])
      case 'restart': {
        const timeouts = this.#entries.filter(({ token }) => token instanceof TimeoutToken)
        const entry = timeouts[operation.timeout % timeouts.length]
        if (entry === undefined) return
        const { how } = operation
        // The part below UNIT differs from token to token, so that no two deadlines are of the same moment.
        const { ms: long } = operation
        const part = entry.model.rule.is === 'timeout' && how === 'restart(ms)' ? entry.model.rule.ms % UNIT || 0 : 0
        const span = long === 0 || long === Infinity ? long : long * UNIT + part
        this.#note(`${entry.label}.${how.replace('ms', String(span))}`)
        const token = entry.token as TimeoutToken
        const inTime =
          how === 'restart()'
            ? token.restart()
            : how === 'restart(ms)'
              ? token.restart(span)
              : how === 'extend(ms)'
                ? token.extend(span)
                : token.disarm()
        assert.equal(inTime, this.#model.move(entry.model, how, span), how)
        return
      }
      default:
    }
    const entry = this.#at(operation.token)
    if (entry === undefined) return
    switch (operation.do) {
      case 'cancel':
        this.#note(`${entry.label}.cancel(${inspect(operation.reason)})`)
        assert.equal(entry.token.cancel(operation.reason), entry.token)
        return this.#model.cancel(entry.model, 'manual', operation.reason)
      case 'dispose':
        this.#note(`${entry.label}[Symbol.dispose]()`)
        entry.token[Symbol.dispose]()
        return this.#model.cancel(entry.model, 'dispose', undefined)
      case 'poll':
        return this.#poll(entry, operation.how)
      case 'look':
        return this.#look(entry, operation.at)
      case 'listen':
        return this.#listen(entry, operation.throws)
      case 'signal':
        this.#note(`${entry.label}.signal`)
        this.#signalOf(entry)
        return
      default:
        operation satisfies never
    }
  }

  #derive(spec: Derivation): void {
    if (this.#entries.length >= MOST_TOKENS) return
    const nested: { readonly engine: TokenOrSignal; readonly model: ModelToken | undefined; readonly label: string }[] =
      []
    for (const { as, pick: at } of spec.sources) {
      const entry = this.#at(at)
      if (as === 'never') nested.push({ engine: NEVER, model: undefined, label: 'NEVER' })
      else if (as === 'foreign') {
        const i = at % FOREIGN
        nested.push({
          engine: (this.#foreign[i] as Stranger).controller.signal,
          model: this.#bridge(i),
          label: `foreign${i}.signal`,
        })
      } else if (entry !== undefined && as === 'echo') {
        const signal = this.#signalOf(entry)
        nested.push({ engine: signal, model: this.#echo(entry, signal), label: `${entry.label}.signal` })
      } else if (entry !== undefined) nested.push({ engine: entry.token, model: entry.model, label: entry.label })
    }

    // No two moments coincide, unless it is meant: everything that has to do with time has a little of its own.
    const label = `t${this.#entries.length}`
    const own = 2 ** this.#entries.length
    const span = spec.ms === 0 || spec.ms === Infinity ? spec.ms : spec.ms * UNIT + own
    const engines = nested.map((one) => one.engine)
    const sources = nested.flatMap((one) => one.model ?? [])
    const given = {
      ...(spec.cancelled ? { cancelled: true } : {}),
      ...(spec.named ? { name: label } : {}),
    }
    const show = (call: string, own: string[], options: object) => {
      const all = [
        ...own,
        ...(Object.keys(options).length > 0 ? [inspect(options)] : []),
        ...nested.map((one) => one.label),
      ]
      this.#note(`${label} = ${call}(${all.join(', ')})`)
    }
    const add = (token: CancellationToken, model: () => ModelToken) => {
      const index = this.#entries.length
      // The model may ask at once what the token says, so it goes first.
      this.#newest = token
      const made = model()
      this.#byModel.set(made, token)
      this.#entries[index] = { token, model: made, label, signal: undefined, fired: 0 }
      this.#newest = undefined
    }
    const derive = (rule: Rule, from_ = sources) => this.#model.derive(from_, rule, { cancelled: spec.cancelled })
    const plain = (rule: Rule, from_ = sources) => this.#model.derive(from_, rule)
    const first = nested[0]

    switch (spec.kind) {
      case 'simple':
        show('new SimpleToken', [], given)
        return add(new SimpleToken(given, ...engines), () => derive({ is: 'none' }))
      case 'plus': {
        const entry = this.#at(spec.n)
        if (entry === undefined) return
        show(`${entry.label}.plus`, [], {})
        return add(entry.token.plus(...engines), () => plain({ is: 'none' }, [entry.model, ...sources]))
      }
      case 'from': {
        const i = spec.n % FOREIGN
        this.#note(`${label} = from(foreign${i})`)
        const bridge = this.#bridge(i)
        return add(from((this.#foreign[i] as Stranger).controller), () => plain({ is: 'none' }, [bridge]))
      }
      case 'timeout':
        show('new TimeoutToken', [String(span)], given)
        return add(new TimeoutToken(span, given, ...engines), () =>
          derive({ is: 'timeout', ms: span, deadline: this.#model.now + span }),
        )
      case 'counter': {
        const options = { ...given, ...(spec.direct ? {} : { direct: false }) }
        show('new CounterToken', [String(spec.n)], options)
        return add(new CounterToken(spec.n, options, ...engines), () =>
          derive({ is: 'counter', left: spec.n, direct: spec.direct }),
        )
      }
      case 'condition': {
        const pollEvery = spec.pollEvery === Infinity ? Infinity : spec.pollEvery * UNIT + own
        const options = {
          ...given,
          caching: spec.caching,
          default: spec.fallback,
          suppressExceptions: spec.suppress,
          pollEvery,
        }
        const rule: Rule = {
          is: 'condition',
          answer: 'no',
          calls: 0,
          fallback: spec.fallback,
          suppress: spec.suppress,
          caching: spec.caching,
          pollEvery,
          next: undefined,
        }
        show('new ConditionToken', ['…'], options)
        const calls = { made: 0 }
        const ask = () => {
          calls.made++
          if (rule.answer === 'throw') throw new Error('the condition failed')
          return (rule.answer === 'odd' ? 'perhaps' : rule.answer === 'yes') as boolean
        }
        add(new ConditionToken(ask, options, ...engines), () => derive(rule))
        this.#conditions.push({ label, rule, calls })
        return
      }
      case 'all': {
        const all = nested.map((one) => one.model ?? (this.#never ??= this.#model.derive([], { is: 'none' })))
        show('allOf', [], {})
        return add(allOf(...engines), () => plain({ is: 'some', k: all.length }, all))
      }
      case 'some': {
        if (nested.length === 0) return
        const k = 1 + (spec.n % nested.length)
        const some = nested.map((one) => one.model ?? (this.#never ??= this.#model.derive([], { is: 'none' })))
        show('someOf', [String(k)], {})
        return add(someOf(k, ...engines), () => plain({ is: 'some', k }, some))
      }
      case 'except': {
        const entry = this.#at(spec.ms === Infinity ? 0 : spec.ms)
        const [kind, ...more] = EXCEPTIONS[spec.n] as [Kind, ...Kind[]]
        if (entry === undefined) return
        show(`${entry.label}.except`, [kind, ...more], {})
        const above = new Set([entry.model])
        for (const one of above) if (!one.opaque) for (const source of one.sources) above.add(source)
        return add(entry.token.except(kind, ...more), () =>
          plain({ is: 'except', kinds: new Set([kind, ...more]) }, [...above]),
        )
      }
      case 'grace': {
        if (first === undefined || first.engine !== this.#byModel.get(first.model as ModelToken)) return
        const { engine, model } = first as { engine: CancellationToken; model: ModelToken }
        this.#note(`${label} = ${first.label}.grace(${span})`)
        return add(engine.grace(span), () => plain({ is: 'grace', ms: span, told: undefined }, [model]))
      }
      default:
        spec.kind satisfies never
    }
  }

  readonly #conditions: { readonly label: string; readonly rule: Rule; readonly calls: { readonly made: number } }[] =
    []
  /** A DefaultToken: disappears everywhere but in `allOf`. */
  #never: ModelToken | undefined
  #newest: CancellationToken | undefined

  #bridge(i: number): ModelToken {
    const foreign = this.#foreign[i] as Stranger
    return (foreign.bridge ??= this.#model.derive([], { is: 'foreign', foreign: foreign.model }))
  }

  #echo(entry: Entry, signal: AbortSignal): ModelToken {
    const known = this.#echoes.get(signal)
    if (known !== undefined) return known
    const made = this.#model.derive([], { is: 'echo', of: entry.model })
    this.#echoes.set(signal, made)
    return made
  }

  #abort(at: Pick, how: 'none' | 'text' | 'error' | 'timeout'): void {
    const i = at % FOREIGN
    const { controller, model } = this.#foreign[i] as Stranger
    if (controller.signal.aborted) return
    this.#note(`foreign${i}.abort(${how})`)
    const reasons = {
      none: undefined,
      text: 'no more',
      error: new Error('gone'),
      timeout: new DOMException('late', 'TimeoutError'),
    }
    controller.abort(reasons[how])
    this.#model.abort(model, how === 'timeout' ? 'timeout' : 'signal', controller.signal.reason)
  }

  #signalOf(entry: Entry): AbortSignal {
    const { signal } = entry.token
    this.#model.makeSignal(entry.model)
    if (entry.signal === undefined) {
      entry.signal = signal
      signal.addEventListener('abort', () => void entry.fired++)
    } else assert.equal(signal, entry.signal, `${entry.label}.signal is always the same`)
    assert.equal(signal.aborted, entry.model.outcome !== undefined, `${entry.label}.signal.aborted`)
    return signal
  }

  #poll(entry: Entry, how: (Operation & { do: 'poll' })['how']): void {
    const { token, model, label } = entry
    const mode: Mode = how === 'indirect' ? 'indirect' : 'direct'
    let thrown: unknown
    let answer: boolean | undefined
    const note = {
      cancelled: '.cancelled',
      isCancelled: '.isCancelled()',
      keepOn: '.keepOn()',
      check: '.check()',
      turn: 'turns()[Symbol.iterator]().next()',
      indirect: '.isCancelled({ direct: false })',
    }
    this.#note(`${label}${note[how]}`)
    try {
      if (how === 'cancelled') answer = token.cancelled
      else if (how === 'isCancelled') answer = token.isCancelled()
      else if (how === 'keepOn') answer = !token.keepOn()
      else if (how === 'turn') answer = token.turns()[Symbol.iterator]().next().done === true
      else if (how === 'indirect') answer = token.isCancelled({ direct: false })
      else {
        token.check()
        answer = false
      }
    } catch (error) {
      thrown = error
      if (how === 'check' && isCancellation(error)) answer = true
    }
    let expected: Outcome | undefined
    try {
      expected = this.#model.ask(model, mode)
    } catch (error) {
      if (!(error instanceof Thrown)) throw error
      assert.ok(
        thrown instanceof Error && !isCancellation(thrown),
        `${label}${note[how]} lets the condition's error through`,
      )
      return
    }
    if (thrown !== undefined && answer === undefined) throw thrown
    assert.equal(answer, expected !== undefined, `${label}${note[how]}`)
    if (how === 'check' && expected !== undefined) this.#bind(expected, thrown as CancellationError)
  }

  #look(entry: Entry, at: (Operation & { do: 'look' })['at']): void {
    const { token, model, label } = entry
    this.#note(
      at === 'text' ? `String(${label})` : at === 'tree' || at === 'report' ? `inspect(${label})` : `${label}.${at}`,
    )
    if (at === 'remaining' || at === 'report') {
      // Through an all-of or a grace it may be the first to notice that a token above is over, or not: that goes by what is cached.
      const isUnseen = (one: ModelToken) => one.outcome === undefined && this.#model.peek(one) !== undefined
      if (!isUnseen(model) && isBelow(model, ({ opaque }) => opaque) && isBelow(model, isUnseen)) throw new Tie()
      const { remaining, ...report } = at === 'report' ? reportOf(token) : token
      assert.equal(remaining, this.#model.remaining(model), `${label}.remaining`)
      if (!('state' in report)) return
      const { state, cancellation, isOrigin } = report
      const outcome = this.#model.ask(model, 'look')
      assert.equal(state, outcome ? 'cancelled' : 'live', `${label}: state`)
      assert.equal(cancellation?.kind, outcome?.kind, `${label}: kind`)
      assert.equal(isOrigin, outcome?.origin === model, `${label}: isOrigin`)
      return
    }
    const seen = at === 'text' ? String(token) : at === 'tree' ? inspect(token) : token[at]
    const outcome = this.#model.ask(model, 'look')
    if (at === 'error') {
      assert.equal(seen !== undefined, outcome !== undefined, `${label}.error`)
      if (outcome !== undefined) this.#bind(outcome, seen as CancellationError)
    } else if (at === 'cancelledBy') {
      assert.equal(seen !== undefined, outcome !== undefined, `${label}.cancelledBy`)
      if (outcome !== undefined) this.#isOrigin(outcome.origin, seen as CancellationToken, label)
    } else if (at === 'reason') assert.equal(seen, outcome?.reason, `${label}.reason`)
    else assert.equal(typeof seen, 'string')
  }

  #listen(entry: Entry, throws: boolean): void {
    const number = this.#listeners.length
    this.#note(`l${number} = ${entry.label}.onCancel(${throws ? 'throws' : ''})`)
    const listener: Listener = { of: entry, number, registration: undefined, calls: 0, stopped: false }
    this.#listeners.push(listener)
    if (throws) this.#throwing.add(listener)
    listener.registration = entry.token.onCancel((error) => {
      listener.calls++
      this.#heard.push({ listener, atOnce: listener.registration === undefined, error })
      if (throws) throw new Error('the listener failed')
    })
    this.#model.listen(entry.model, number)
  }

  #stop(listener: Listener | undefined): void {
    if (listener === undefined) return
    this.#note(`l${listener.number}.stop()`)
    const prevented = listener.registration?.stop()
    assert.equal(prevented, this.#model.stop(listener.of.model, listener.number), `l${listener.number}.stop()`)
    if (prevented) listener.stopped = true
  }

  // ---- Comparing ----------------------------------------------------------------------------------------------------

  #labelOf(model: ModelToken): string {
    return this.#entries.find((one) => one.model === model)?.label ?? 'a foreign signal'
  }

  /** Where the design leaves it open: what did the engine choose? */
  #choose(model: ModelToken, candidates: readonly Outcome[]): Outcome {
    const token = this.#byModel.get(model) ?? this.#newest
    const error = token?.error
    assert.ok(error !== undefined, `${this.#labelOf(model)} should have been cancelled`)
    const known = this.#outcomes.get(error)
    const chosen =
      candidates.find((one) => one.root === known) ??
      candidates.find(
        (one) => !this.#errors.has(one.root) && (this.#byModel.get(one.origin) ?? error.token) === error.token,
      )
    assert.ok(
      chosen !== undefined,
      `${this.#labelOf(model)} was cancelled by none of what could have: ${error.message}`,
    )
    return chosen
  }

  #bind(outcome: Outcome, error: CancellationError | undefined, label = 'the token'): void {
    assert.ok(error !== undefined, `${label} has an error`)
    const { root } = outcome
    const known = this.#errors.get(root)
    if (known === undefined) {
      assert.equal(
        this.#outcomes.get(error),
        undefined,
        `${label}: the error of another cancellation: ${error.message}`,
      )
      this.#errors.set(root, error)
      this.#outcomes.set(error, root)
    } else assert.equal(error, known, `${label}: one error object for one cancellation`)
    this.#isOrigin(root.origin, error.token, label)
    assert.equal(error.kind, root.kind, `${label}.error.kind`)
    assert.equal(error.cause, root.reason, `${label}.error.cause`)
    assert.equal(error.name, root.kind === 'timeout' ? 'TimeoutError' : 'AbortError')
    assert.equal(error.code, 'ABORT_ERR')
  }

  #isOrigin(model: ModelToken, token: CancellationToken, label: string): void {
    const known = this.#byModel.get(model)
    // What stands for a foreign signal is seen here for the first time.
    if (known === undefined && (model.rule.is === 'foreign' || model.rule.is === 'echo'))
      this.#byModel.set(model, token)
    else assert.equal(token, known ?? this.#newest, `${label} was cancelled by ${this.#labelOf(model)}`)
  }

  #compareCalls(before: number): void {
    const expected = this.#model.called.slice(before)
    const byNumber = (a: { listener: number }, b: { listener: number }) => a.listener - b.listener
    assert.deepEqual(
      this.#heard.map(({ listener }) => ({ listener: listener.number })).toSorted(byNumber),
      expected.map(({ listener }) => ({ listener })).toSorted(byNumber),
      'the listeners that were called',
    )
    for (const { listener, outcome } of expected) {
      const { error } = this.#heard.find((one) => one.listener.number === listener) as Call
      this.#bind(outcome, error, `what l${listener} was given`)
    }
    // Parents before children, in one wave; within one token, first come first called.
    this.#heard.forEach((first, i) => {
      for (const second of this.#heard.slice(i + 1)) {
        const [above, below] = [second.listener.of.model, first.listener.of.model]
        // A signal fires before any listener is called, so what came back to us through one is earlier than its parents.
        if (
          above.outcome !== below.outcome ||
          second.atOnce ||
          (above !== below && isBelow(below, ({ rule }) => rule.is === 'echo'))
        )
          continue
        assert.ok(
          above === below ? first.listener.number < second.listener.number : !cameThrough(above, below),
          `l${first.listener.number} was called before l${second.listener.number}`,
        )
      }
    })
  }

  #compareState(): void {
    for (const { token, model, label, signal, fired } of this.#entries) {
      if (token instanceof CounterToken && model.rule.is === 'counter') {
        assert.equal(token.counter, model.rule.left, `${label}.counter`)
      }
      const { outcome } = model
      if (signal !== undefined) {
        assert.equal(signal.aborted, model.signal?.heard !== undefined, `${label}.signal.aborted, unasked`)
        if (model.signal?.heard !== undefined)
          this.#bind(model.signal.heard, signal.reason as CancellationError, `${label}.signal`)
        assert.ok(fired <= 1, `${label}.signal fires once`)
      }
      if (outcome === undefined) continue
      // On record: from here on all views agree, and looking changes nothing.
      const { error } = token
      this.#bind(outcome, error, label)
      this.#isOrigin(outcome.origin, token.cancelledBy as CancellationToken, label)
      assert.equal(token.reason, outcome.reason, `${label}.reason`)
      assert.equal(token.remaining, 0, `${label}.remaining`)
      assert.equal(token.cancelled, true, `${label}.cancelled`)
      assert.equal(token.isCancelled({ direct: false }), true, `${label}.isCancelled`)
      assert.equal(token.keepOn(), false, `${label}.keepOn()`)
      assert.throws(
        () => token.check(),
        (thrown) => thrown === error,
      )
      assert.ok(isCancellation(error, token), `isCancellation(${label}.error, ${label})`)
      if (signal !== undefined) {
        assert.equal(token.signal, signal)
        assert.equal(signal.aborted, true, `${label}.signal.aborted`)
        assert.equal(signal.reason, error, `${label}.signal.reason === ${label}.error`)
      }
    }
    for (const { label, rule, calls } of this.#conditions) {
      if (rule.is === 'condition') assert.equal(calls.made, rule.calls, `how often ${label} was asked`)
    }
    for (const listener of this.#listeners)
      assert.ok(listener.calls <= (listener.stopped ? 0 : 1), `l${listener.number} is called once`)
  }
}

/** Whether the test holds for the token or one above it. */
function isBelow(model: ModelToken, test: (above: ModelToken) => boolean): boolean {
  return test(model) || model.sources.some((source) => isBelow(source, test))
}

/** Whether it is above the other, on a way that one cancellation took. */
function cameThrough(above: ModelToken, below: ModelToken): boolean {
  return below.sources.some((one) => one.outcome === above.outcome && (one === above || cameThrough(above, one)))
}
