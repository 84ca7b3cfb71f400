import { isatty } from 'node:tty'
import { OK } from '../terminal/exit-codes.js'
import type { Given } from '../arguments/parse.js'
import { atHub } from '../connect/hub.js'
import { lineOfJson, tableOfListings } from '../terminal/listings.js'
import { say, show } from '../terminal/output.js'
import { paintFor } from '../terminal/text.js'
import { visible } from '../terminal/visible.js'

/** `calloff ls` */
export async function ls(given: Given): Promise<number> {
  const listings = await atHub(given, 'the open names are not known', (hub) => hub.list(given.operands[0]))
  if (given.has('json')) return show(listings.map(lineOfJson).join(''))
  if (given.has('names') || given.has('null')) {
    const names = [...new Set(listings.map(({ name }) => name))]
    // A program gets the names unchanged; in a terminal, control characters are escaped.
    const asTheyAre = given.has('null') && !isatty(1)
    return show(names.map((name) => (asTheyAre ? `${name}\0` : `${visible(name)}\n`)).join(''))
  }
  if (listings.length === 0) {
    say('no name is open or cancelled')
    return OK
  }
  return show(`${tableOfListings(listings, paintFor(1), new Date()).join('\n')}\n`)
}
