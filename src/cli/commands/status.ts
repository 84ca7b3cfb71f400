import type { Listing, TokenHub } from '../../remote/index.js'
import { holderText } from '../terminal/describe.js'
import { CANCELLED, OK } from '../terminal/exit-codes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { atHub, checkName, runIdOf } from '../connect/hub.js'
import { lineOfJson, titleOf, whyOf } from '../terminal/listings.js'
import { printResult } from '../terminal/output.js'
import { paintFor } from '../terminal/text.js'
import { visible } from '../terminal/visible.js'

/** `calloff status` */
export async function status(given: ParsedArguments): Promise<number> {
  const name = checkName(given.operands[0] ?? '')
  const { runId = '' } = runIdOf(given)
  const listing = await atHub(given, unknownOf(name), (hub) => stateOf(hub, name, runId))
  if (!given.has('quiet')) printResult(given.has('json') ? lineOfJson(listing) : textOf(listing))
  return listing.state === 'live' ? OK : CANCELLED
}

/** The part of the message that says what is unknown if the hub does not answer. */
export function unknownOf(name: string): string {
  return `whether ${visible(name)} is cancelled is not known`
}

/** The state of a name. A name that was never used is live. */
export async function stateOf(hub: TokenHub, name: string, runId: string): Promise<Listing> {
  const all = await hub.list(name)
  const found = all.find((one) => one.name === name && one.runId === runId)
  return found ?? { name, runId, state: 'live', mark: undefined, holders: [], lease: undefined }
}

function textOf(listing: Listing): string {
  const { state, mark, holders, lease } = listing
  const paint = paintFor(1)
  const shown = state === 'live' ? paint('green', 'live') : paint('red', 'cancelled')
  const lines = [`${titleOf(listing)}: ${shown}`]
  if (mark) lines.push(`  ${whyOf(listing)}`, `  at ${mark.at.toISOString()}`)
  if (lease) lines.push(`  leased, fence ${lease.fence}${lease.held ? '' : ', without an owner now'}`)
  for (const holder of holders) {
    lines.push(`  held by ${holderText(holder)} since ${holder.since.toISOString()}: ${holder.state}`)
  }
  if (holders.length === 0) lines.push('  no holders')
  return `${lines.join('\n')}\n`
}
