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

/** Options of `fromParent`. */
export interface FromParentOptions {
  /**
   * The token to return if no process has lent one, for scripts that are also run by hand. `null` stands for a token
   * that is never cancelled. Default: `fromParent` rejects.
   */
  readonly fallback?: TokenLike
  /**
   * Keeps the connection in a thread of its own. A loop that never yields then sees the cancellation, and `waitSync`
   * waits for it. Reasons are shortened to the size that a `SharedToken` accepts (about 400 bytes). Default: false.
   */
  readonly background?: boolean | undefined
  /**
   * With `background`: the program of that thread, a path or a URL, as `new Worker` accepts it. It is for programs that
   * were bundled into one file: bundle `calloff/node/worker` into a second file, and name that file here. Default: the
   * file in the package.
   */
  readonly worker?: string | URL | undefined
}

const FROM_PARENT_OPTIONS: NamesOf<FromParentOptions> = ['fallback', 'background', 'worker']

/** The open links: at most one of each kind, however many callers there are. */
const opened = new Map<string, Promise<CancellationToken>>()

/**
 * Returns the token of the process that has started this one, or of a process further up. That process has lent it by
 * `run` or `spawn` with `lend: true`, or by `lendToken`. The token also passes through shells and npm scripts, because
 * the environment (`CALLOFF_PARENT`) hands down its place.
 *
 * The token is cancelled with the lender's token: with the same kind, reason, name and message, and with the process
 * where the cancellation started. It is cancelled with kind `'disconnect'` when the lender ends, in any way, and with
 * kind `'dispose'` when the lender stops lending. Cancelling it affects neither the lender nor other borrowers: each
 * call returns a token of its own.
 *
 * The signal that comes with the lender's cancel (`SIGTERM`; under `calloff run` also the `SIGINT` of Ctrl+C) no longer
 * ends this process by itself, so the process can finish its cleanup. The lender kills the process if that takes longer
 * than the lender's `grace`. A signal that comes without a cancel has its usual effect.
 *
 * Timing: resolves when the state of the token is known. If the lender's token is already cancelled, so is the returned
 * token. `remaining` is that of the lender, and its deadline cancels the token even if the lender is busy.
 *
 * Memory: one connection for this process, however many calls are made, until the token is cancelled. The connection
 * does not keep the process alive. A `wait()` on the token does, as for every token.
 *
 * Errors: rejects with a {@link NoParentError} if no process has lent a token and there is no `fallback`. A lender that
 * is already gone causes no error: the token is then cancelled. Rejects with a `ParentThreadError` if the thread of
 * `background` could not be started.
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

/** Its text is the call that makes it. */
class FromParent extends SimpleToken {
  /** @internal */
  override form(): Form {
    return { call: 'fromParent', through: true }
  }
}
