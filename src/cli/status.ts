import type { Listing } from '../remote/index.js'
import { holderText } from './describe.js'
import { CALLED_OFF, OK } from './exit-codes.js'
import type { Given } from './given.js'
import { checkName, close, connect, runOf } from './hub.js'
import { lineOfJson, titleOf, whyOf } from './listings.js'
import { show } from './say.js'
import { paintFor } from './text.js'

/** `calloff status` */
export async function status(given: Given): Promise<number> {
  const name = checkName(given.operands[0] ?? '')
  const { run = '' } = runOf(given)
  const hub = await connect(given)
  try {
    const all = await hub.list(name)
    const found = all.find((one) => one.name === name && one.run === run)
    // Nobody has ever used it, so nobody has called it off.
    const listing: Listing = found ?? { name, run, state: 'live', mark: undefined, holders: [], lease: undefined }
    if (!given.has('quiet')) show(given.has('json') ? lineOfJson(listing) : textOf(listing))
    return listing.state === 'live' ? OK : CALLED_OFF
  } finally {
    await close(hub)
  }
}

function textOf(listing: Listing): string {
  const { state, mark, holders, lease } = listing
  const paint = paintFor(1)
  const shown = state === 'live' ? paint('green', 'live') : paint('red', 'called off')
  const lines = [`${titleOf(listing)}: ${shown}`]
  if (mark) lines.push(`  ${whyOf(listing)}`, `  at ${mark.at.toISOString()}`)
  if (lease) lines.push(`  leased, fence ${lease.fence}${lease.held ? '' : ', by nobody now'}`)
  for (const holder of holders) {
    lines.push(`  held by ${holderText(holder)} since ${holder.since.toISOString()}: ${holder.state}`)
  }
  if (holders.length === 0) lines.push('  held by nobody')
  return `${lines.join('\n')}\n`
}
