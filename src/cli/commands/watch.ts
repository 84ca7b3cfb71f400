/**
 * `calloff watch`: reads the hub again and again, and shows the changes. If the connection to the hub is lost, it says
 * so, and waits until the hub is back.
 */
import process from 'node:process'
import { isatty } from 'node:tty'
import { isCancellation } from '../../index.js'
import { ProcessSignalToken } from '../../node/index.js'
import type { HubEvent, Listing, TokenHub } from '../../remote/index.js'
import { UsageError } from '../terminal/errors.js'
import type { Outcome } from '../terminal/exit-codes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { connect, placeOf, shownPlace } from '../connect/hub.js'
import { keyOf } from '../terminal/listings.js'
import { type Change, JsonScreen, LineScreen, type Screen, TableScreen } from '../terminal/watch-views.js'

const PACE = 1_000
const SHORTEST = 100

/** `calloff watch` */
export async function watch(given: ParsedArguments): Promise<Outcome> {
  const pace = given.duration('every') ?? PACE
  if (pace < SHORTEST) throw new UsageError(`--every must be ${SHORTEST}ms or more`)
  using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM', 'SIGHUP')
  const where = shownPlace(placeOf(given).url)
  const [prefix = ''] = given.operands
  const hub = await connect(given, { lazy: true })
  const screen = screenFor(given, where)
  try {
    const events = hub.onEvent((event) => tell(screen, event))
    interrupted.onCancel(() => events.stop())
    await follow(hub, prefix, screen, pace, interrupted)
  } catch (error) {
    if (!isCancellation(error, interrupted)) throw error
  } finally {
    screen.close()
    await hub.close({ timeout: 500 }).catch(() => {})
  }
  return interrupted.reason as NodeJS.Signals
}

function screenFor(given: ParsedArguments, where: string): Screen {
  if (given.has('json')) return new JsonScreen()
  return isatty(1) && process.env['TERM'] !== 'dumb' ? new TableScreen(where) : new LineScreen(where)
}

function tell(screen: Screen, event: HubEvent): void {
  if (event.type === 'connected') screen.connected()
  if (event.type === 'disconnected') screen.disconnected(event.error)
}

async function follow(
  hub: TokenHub,
  prefix: string,
  screen: Screen,
  pace: number,
  interrupted: ProcessSignalToken,
): Promise<void> {
  let before = new Map<string, Listing>()
  for (;;) {
    // Waits for the connection if there is none.
    const listings = await interrupted.race(hub.list(prefix))
    const now = new Map(listings.map((one) => [keyOf(one), one]))
    screen.show(listings, changesBetween(before, now))
    before = now
    await interrupted.sleep(pace)
  }
}

function changesBetween(before: ReadonlyMap<string, Listing>, now: ReadonlyMap<string, Listing>): readonly Change[] {
  const changes: Change[] = []
  for (const [key, listing] of now) {
    const old = before.get(key)
    if (old?.state !== 'cancelled' && listing.state === 'cancelled') changes.push({ event: 'cancelled', listing })
    else if (!old) changes.push({ event: 'opened', listing })
    else if (JSON.stringify(old) !== JSON.stringify(listing)) changes.push({ event: 'changed', listing })
  }
  for (const [key, listing] of before) if (!now.has(key)) changes.push({ event: 'gone', listing })
  return changes
}
