import process from 'node:process'
import { type NamesOf, optional, optionalProgram, optionsOf, shown } from '../../core/arguments.js'
import type { Form } from '../../core/describe.js'
import { type CancellationToken, SimpleToken } from '../../core/token.js'
import type { TokenLike } from '../../core/tokens/from.js'
import { NoParentError } from './errors.js'
import { openLink } from './borrowed-token.js'
import { type Place, placeOf, VARIABLE } from './protocol.js'
import { heedSignal } from '../signals/stop-signal.js'
import { tokenArgument } from '../context/token-argument.js'

/** What `fromParent` takes. */
export interface FromParentOptions {
  /**
   * What to give where nobody has lent a token: for scripts that are also run by hand. `null` is a token that never ends.
   * Default: it rejects.
   */
  readonly fallback?: TokenLike
  /**
   * Keep the connection in a thread of its own, so that a loop that never yields sees the token end, and `waitSync` waits for it.
   * Reasons are shortened to what a `SharedToken` takes (some 400 bytes). Default: false.
   */
  readonly background?: boolean | undefined
  /**
   * With `background`: the program of that thread, a path or a URL, as `new Worker` takes it. For programs that were bundled into one
   * file: bundle `calloff/node/worker` into a second one, and name that. Default: the one that comes with the package.
   */
  readonly worker?: string | URL | undefined
}

const FROM_PARENT_OPTIONS: NamesOf<FromParentOptions> = ['fallback', 'background', 'worker']

/** What has been opened: one link in each way, however many ask. */
const opened = new Map<string, Promise<CancellationToken>>()

/**
 * The token of the process that has started this one, or of one further up: lent by `run` or `spawn` with `lend: true`, or by
 * `lendToken`. It reaches through shells and npm scripts, since the place is handed down in the environment (`CALLOFF_PARENT`).
 *
 * Ends with the lender's token: same kind, reason, name and message, and the process where it was. Ends with kind `'disconnect'`
 * when the lender dies, in whatever way, and with kind `'dispose'` when it is lent no longer. Cancelling it is of no effect
 * on the lender, nor on others who have it: each call gives a token of its own.
 *
 * The signal that comes with the lender's cancel (`SIGTERM`; under `calloff run` also the `SIGINT` of Ctrl+C) no longer ends this
 * process by itself, so that it can finish in peace; it is killed if it takes longer than the lender's `grace`. One that comes
 * without a cancel does what it did.
 *
 * Timing: resolves when it is known how the token stands: one that is over already is cancelled. `remaining` is the lender's, and
 * its deadline ends the token even if the lender is busy.
 *
 * Memory: one connection of this process, however often it is called, until the token is over. Does not keep the process alive,
 * but a `wait()` on the token does, as ever.
 *
 * Errors: rejects with a {@link NoParentError} if nobody has lent a token, unless `fallback` says what to do then. A lender that
 * is gone already is none: then the token is over. With a `ParentThreadError` if the thread of `background` could not be started.
 *
 * @example
 * ```ts
 * import { fromParent, ProcessSignalToken } from 'calloff/node'
 *
 * // Run by hand, it is Ctrl+C that ends it.
 * const token = await fromParent({ fallback: new ProcessSignalToken('SIGINT') })
 * console.log(token.cancelled) // → false
 * ```
 */
export async function fromParent(options?: FromParentOptions): Promise<CancellationToken> {
  const { fallback, background, worker } = optionsOf(options, FROM_PARENT_OPTIONS)
  const isInBackground = optional('background', 'boolean', background) === true
  const program = optionalProgram('worker', worker)
  if (program !== undefined && !isInBackground) {
    throw new TypeError(`worker is for a token with background: true, got ${shown(worker)}`)
  }
  const instead = fallback === undefined ? undefined : tokenArgument(fallback, 'fallback')
  const text = process.env[VARIABLE]
  if (!text) {
    if (instead) return instead
    throw new NoParentError(
      `no process has lent a token to this process: start it with \`lend: true\`, or give \`fallback\` (${VARIABLE} is not set)`,
    )
  }
  const place = placeOf(text)
  if (!place) throw new NoParentError(`${VARIABLE} must be as lendToken has made it, got ${JSON.stringify(text)}`)
  const key = `${isInBackground} ${text}`
  let opening = opened.get(key)
  if (!opening) {
    opened.set(key, (opening = open(place, isInBackground, program)))
    opening.catch(() => opened.delete(key))
  }
  const source = await opening
  return new FromParent({ name: source.name }, source)
}

async function open(
  place: Place,
  isInBackground: boolean,
  program: string | URL | undefined,
): Promise<CancellationToken> {
  const { token, ask } = isInBackground
    ? await (await import('./background.js')).openInBackground(place, program)
    : await openLink(place)
  for (const signal of place.signals) heedSignal(signal, token, ask)
  return token
}

/** Reads as what it derives from. */
class FromParent extends SimpleToken {
  /** @internal */
  override form(): Form {
    return { call: 'fromParent', through: true }
  }
}
