import { constants } from 'node:os'
import process from 'node:process'
import { now, turn } from '../../core/clock.js'
import type { CancellationKind } from '../../core/errors.js'
import { Cancellation, discover, giveRule, hubOf, LOOK, own, settle, subscribe } from '../../core/graph.js'
import { classText, type Form } from '../../core/describe.js'
import { begin, CancellationToken, type TokenOrSignal, type TokenOptions, UNCLONABLE } from '../../core/token.js'

type Handler = (signal: NodeJS.Signals) => void

/** Whom to call, by signal: the process has one handler of ours for each, however many tokens there are. */
const handlers = new Map<NodeJS.Signals, Set<Handler>>()

/** The signals that have just been heard here. */
const heard = new Set<NodeJS.Signals>()

/** Whether a token has just been cancelled by the signal: it may have no handler any more. */
export function wasHeard(signal: NodeJS.Signals): boolean {
  return heard.has(signal)
}

function dispatch(signal: NodeJS.Signals): void {
  heard.add(signal)
  turn(() => heard.delete(signal))
  // Only whom this signal found here, and who has not been taken away since.
  const all = handlers.get(signal) ?? new Set()
  for (const handler of Array.from(all)) if (all.has(handler)) handler(signal)
}

/** Attaches a handler; gives what takes it away. */
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

/** What a `ProcessSignalToken` takes: the signals, then options, then nested tokens. */
export type ProcessSignalArgument = NodeJS.Signals | TokenOptions | TokenOrSignal

/**
 * Cancelled by the first of the given process signals, kind `'process-signal'`, with the signal's name as reason.
 *
 * A second one gets the default action, since the handlers are gone by then: an impatient user always gets out. (Two that
 * arrive while the program does not let the event loop turn are one.)
 *
 * Timing: the platform delivers signals by the event loop, so a loop that never lets it turn, such as `while (token.keepOn())`, hears none, with
 * `using` or without: only SIGKILL ends it then. Loop by `for await (… of token.turns())`, await `token.checkpoint()` in the loop, or start
 * the program with `calloff run` and poll `fromParent({ background: true })`.
 *
 * Memory: a handler replaces the default action, so handlers are attached only while somebody listens (`onCancel`, `wait`,
 * `race`, a signal, here or in a token derived from this one) or while the token is held by `using`, and are always removed.
 * A mere poll attaches nothing. Handlers do not keep the process alive.
 *
 * Errors: `TypeError` without a signal, or for a name that is none; `RangeError` for `SIGKILL` and `SIGSTOP`, which nobody
 * can handle.
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

  /** What a shell expects of a program that a signal has ended: 128 plus its number (SIGINT 130, SIGTERM 143); undefined before. */
  get exitCode(): number | undefined {
    const token = own(this)
    const found = discover(token, LOOK)
    if (found?.origin !== token || found.kind !== 'process-signal') return undefined
    return 128 + constants.signals[found.reason as NodeJS.Signals]
  }

  /** @internal */ hold(): void {
    if (this.#held || discover(this, LOOK)) return
    this.#held = true
    subscribe(this, undefined, true)
  }

  /** @internal */
  override arm(): void {
    const stops = this.#signals.map((signal) => handle(signal, this.#handler))
    hubOf(this).driver = () => {
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
// `using` reads the method when the variable is declared, and only then: that is how a token knows that it is held.
Object.defineProperty(ProcessSignalToken.prototype, Symbol.dispose, {
  configurable: true,
  get(this: ProcessSignalToken) {
    own(this).hold()
    return dispose
  },
})
