import { isCancellation, TimeoutToken } from '../index.js'
import { ProcessSignalToken } from '../node/index.js'
import type { TokenHub } from '../remote/index.js'
import { byWhom, reasonText, toJson } from './describe.js'
import { formatDuration } from './duration.js'
import { OK, type Outcome, TIMED_OUT } from './exit-codes.js'
import type { Given } from './given.js'
import { checkName, close, connect, runOf } from './hub.js'
import { say, show } from './say.js'
import { visible } from './visible.js'

/** `calloff wait` */
export async function wait(given: Given): Promise<Outcome> {
  const name = checkName(given.operands[0] ?? '')
  const within = given.duration('timeout') ?? Infinity
  using limit = new TimeoutToken(within, { name: '--timeout' }, new ProcessSignalToken('SIGINT', 'SIGTERM', 'SIGHUP'))
  const isQuiet = given.has('quiet')
  let hub: TokenHub | undefined
  try {
    hub = await limit.race(connect(given))
    const token = hub.open(name, runOf(given))
    await limit.race(token.ready)
    const error = await limit.race(token.wait())
    const { who } = token
    if (isQuiet) return OK
    if (given.has('json')) {
      const { reason, run } = token
      return show(`${toJson({ name, run, kind: error.kind, reason, who })}\n`)
    }
    const why = reasonText(token.reason)
    return show(`${visible(name)} was called off${who ? ` ${byWhom(who)}` : ''}${why && `: ${why}`}\n`)
  } catch (error) {
    if (!isCancellation(error, limit)) throw error
    const by = limit.cancelledBy
    if (by instanceof ProcessSignalToken) return by.reason as NodeJS.Signals
    if (!isQuiet) say(`${visible(name)} was not called off within ${formatDuration(within)}`)
    return TIMED_OUT
  } finally {
    if (hub) await close(hub)
  }
}
