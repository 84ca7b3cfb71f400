import { OK } from './exit-codes.js'
import type { Given } from './given.js'
import { close, connect } from './hub.js'
import { lineOfJson, tableOfListings } from './listings.js'
import { say, show } from './say.js'
import { paintFor, visible } from './text.js'

/** `calloff ls` */
export async function ls(given: Given): Promise<number> {
  const hub = await connect(given)
  try {
    const listings = await hub.list(given.operands[0])
    if (given.has('json')) return show(listings.map(lineOfJson).join(''))
    if (given.has('names')) {
      const names = new Set(listings.map(({ name }) => visible(name)))
      return show([...names].map((name) => `${name}\n`).join(''))
    }
    if (listings.length === 0) {
      say('nothing is open, nothing was called off')
      return OK
    }
    return show(`${tableOfListings(listings, paintFor(1), new Date()).join('\n')}\n`)
  } finally {
    await close(hub)
  }
}
