import { constants } from 'node:os'
import process from 'node:process'
import { now, turn } from '../../core/clock.js'
import type { CancellationKind } from '../../core/errors.js'
import { Cancellation, discover, giveRule, extrasOf, READ, own, settle, subscribe } from '../../core/graph.js'
import { classText, type Form } from '../../core/describe.js'
import { begin, CancellationToken, type TokenOrSignal, type TokenOptions, UNCLONABLE } from '../../core/token.js'

type Handler = (signal: NodeJS.Signals) => void

/** The handlers by signal. The process has one listener of ours for each signal, however many tokens there are. */
const handlers = new Map<NodeJS.Signals, Set<Handler>>()

/** The signals that have just arrived. */
const heard = new Set<NodeJS.Signals>()

/** Whether the signal has just cancelled a token. That token may have no handler any more. */
export function wasHeard(signal: NodeJS.Signals): boolean {
  return heard.has(signal)
}

function dispatch(signal: NodeJS.Signals): void {
  heard.add(signal)
  turn(() => heard.delete(signal))
  // Only the handlers that were there when the signal arrived and were not removed since.
  const all = handlers.get(signal) ?? new Set()
  for (const handler of Array.from(all)) if (all.has(handler)) handler(signal)
}

/** Attaches a handler. Returns a function that removes it. */
function handle(signal: NodeJS.Signals, handler: Handler): () => void {
  let all = handlers.get(signal)
  if (!all) {
    handlers.set(signal, (all = new Set()))
    process.on(signal, dispatch)
  }
  const these = all.add(handler)
  return () => {
    if (!these.delete(handler) || these.size > 0) return
    handlers.delete(signal)
    process.off(signal, dispatch)
  }
}

/** Arguments of `ProcessSignalToken`: the signals, then options, then parents. */
export type ProcessSignalArgument = NodeJS.Signals | TokenOptions | TokenOrSignal

/**
 * A token that is cancelled by the first of the given process signals, with kind `'process-signal'` and the name of the
 * signal as reason.
 *
 * A second signal has the default action, because the handlers are removed by then: an impatient user can always end
 * the program. (Two signals that arrive while the program does not let the event loop turn count as one.)
 *
 * Timing: the platform delivers signals by the event loop. So a loop that never lets the event loop turn, such as
 * `while (token.keepOn())`, receives none, with or without `using`. Only SIGKILL ends such a loop. Write the loop as
 * `for await (… of token.turns())`, or await `token.checkpoint()` in the loop, or start the program with `calloff run`
 * and poll `fromParent({ background: true })`.
 *
 * Memory: a handler replaces the default action. So handlers are attached only while there is a listener (`onCancel`,
 * `wait`, `race`, a signal, on this token or on a token derived from it) or while the token is held by `using`. They
 * are always removed. A poll attaches nothing. Handlers do not keep the process alive.
 *
 * Errors: `TypeError` without a signal, or for a name that is no signal. `RangeError` for `SIGKILL` and `SIGSTOP`,
 * which no program can handle.
 *
 * @example
 * ```ts
 * import process from 'node:process'
 * import { ProcessSignalToken } from 'calloff/node'
 *
 * using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')
 * setTimeout(() => process.kill(process.pid, 'SIGINT'), 10) // or the user, with Ctrl+C
 * let turns = 0
 * for await (const turn of interrupted.turns()) turns = turn
 * console.log(turns > 0, interrupted.reason, interrupted.exitCode) // → true SIGINT 130
 * ```
 */
export class ProcessSignalToken extends CancellationToken {
  readonly #signals: readonly NodeJS.Signals[]
  readonly #handler: Handler = (signal) => {
    settle(this, new Cancellation(this, 'process-signal', signal, now()))
  }
  #held = false

  constructor(...signals: ProcessSignalArgument[]) {
    const end = signals.findIndex((one) => typeof one !== 'string')
    const own = (end === -1 ? signals : signals.slice(0, end)) as NodeJS.Signals[]
    const [options, ...nested] = (end === -1 ? [] : signals.slice(end)) as (TokenOptions | TokenOrSignal)[]
    super(UNCLONABLE)
    begin(this, options, nested as TokenOrSignal[])
    if (own.length === 0) throw new TypeError('signals must name at least one process signal')
    for (const signal of own) {
      if (!(signal in constants.signals) && signal !== 'SIGBREAK')
        throw new TypeError(`signals must be names of process signals, got ${JSON.stringify(signal)}`)
      if (signal === 'SIGKILL' || signal === 'SIGSTOP')
        throw new RangeError(`signals must be ones that can be handled, got "${signal}"`)
    }
    this.#signals = [...new Set(own)]
    giveRule(this)
  }

  /**
   * The exit code that a shell expects of a program that a signal has ended: 128 plus the number of the signal (SIGINT
   * 130, SIGTERM 143). Undefined before the cancellation.
   */
  get exitCode(): number | undefined {
    const token = own(this)
    const found = discover(token, READ)
    if (found?.origin !== token || found.kind !== 'process-signal') return undefined
    return 128 + constants.signals[found.reason as NodeJS.Signals]
  }

  /** @internal */ hold(): void {
    if (this.#held || discover(this, READ)) return
    this.#held = true
    subscribe(this, undefined, true)
  }

  /** @internal */
  override arm(): void {
    const stops = this.#signals.map((signal) => handle(signal, this.#handler))
    extrasOf(this).disarm = () => {
      for (const stop of stops) stop()
    }
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'process-signal' ? 'was cancelled by the process signal' : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return {
      call: classText(this, ProcessSignalToken, 'ProcessSignalToken'),
      own: this.#signals.map((signal) => `'${signal}'`),
    }
  }
}

const { [Symbol.dispose]: dispose } = ProcessSignalToken.prototype
// `using` reads the method when the variable is declared, and only then. So the token learns that it is held.
Object.defineProperty(ProcessSignalToken.prototype, Symbol.dispose, {
  configurable: true,
  get(this: ProcessSignalToken) {
    own(this).hold()
    return dispose
  },
})
