import { isCancellation, TimeoutToken } from '../../index.js'
import { ProcessSignalToken } from '../../node/index.js'
import type { TokenHub } from '../../remote/index.js'
import { byWhom, reasonText, toJson } from '../terminal/describe.js'
import { formatDuration } from '../terminal/duration.js'
import { Failure, messageOf } from '../terminal/errors.js'
import { OK, type Outcome, TIMED_OUT } from '../terminal/exit-codes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { answered, checkName, close, connect, runIdOf } from '../connect/hub.js'
import { printMessage, printResult } from '../terminal/output.js'
import { stateOf, unknownOf } from './status.js'
import { visible } from '../terminal/visible.js'

/** `calloff wait` */
export async function wait(given: ParsedArguments): Promise<Outcome> {
  const name = checkName(given.operands[0] ?? '')
  const within = given.duration('timeout') ?? Infinity
  using limit = new TimeoutToken(within, { name: '--timeout' }, new ProcessSignalToken('SIGINT', 'SIGTERM', 'SIGHUP'))
  const isQuiet = given.has('quiet')
  let hub: TokenHub | undefined
  let isKnown = false
  try {
    hub = await limit.race(connect(given))
    const { runId = '' } = runIdOf(given)
    const token = hub.open(name, { runId })
    await limit.race(answered(given, unknownOf(name), token.ready))
    isKnown = true
    const events = hub.onEvent((event) => {
      if (event.type === 'disconnected' && !isQuiet)
        printMessage(`the connection to the hub is lost, waiting for it: ${messageOf(event.error)}`)
    })
    limit.onCancel(() => events.stop())
    await limit.race(token.wait()).catch(async (error: unknown) => {
      if (!isCancellation(error, limit) || isInterrupted(limit) || !hub) throw error
      // The time is up. A silent hub does not mean that the name is not cancelled, so the hub is read once more.
      const { state } = await answered(given, unknownOf(name), stateOf(hub, name, runId))
      if (state === 'live') throw error
      await answered(given, unknownOf(name), token.wait())
    })
    const { who, kind, reason } = token
    if (isQuiet) return OK
    if (given.has('json')) return printResult(`${toJson({ name, runId, kind, reason, who })}\n`)
    const why = reasonText(reason)
    return printResult(`${visible(name)} was cancelled${who ? ` ${byWhom(who)}` : ''}${why && `: ${why}`}\n`)
  } catch (error) {
    if (!isCancellation(error, limit)) throw error
    if (isInterrupted(limit)) return limit.reason as NodeJS.Signals
    if (!isKnown) throw new Failure(`the hub did not answer within ${formatDuration(within)}: ${unknownOf(name)}`)
    if (!isQuiet) printMessage(`${visible(name)} was not cancelled within ${formatDuration(within)}`)
    return TIMED_OUT
  } finally {
    if (hub) await close(hub)
  }
}

function isInterrupted({ cancelledBy }: TimeoutToken): boolean {
  return cancelledBy instanceof ProcessSignalToken
}
