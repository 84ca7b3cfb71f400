import { isatty } from 'node:tty'
import { OK } from '../terminal/exit-codes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { atHub } from '../connect/hub.js'
import { lineOfJson, tableOfListings } from '../terminal/listings.js'
import { printMessage, printResult } from '../terminal/output.js'
import { paintFor } from '../terminal/text.js'
import { visible } from '../terminal/visible.js'

/** `calloff ls` */
export async function ls(given: ParsedArguments): Promise<number> {
  const listings = await atHub(given, 'the open names are not known', (hub) => hub.list(given.operands[0]))
  if (given.has('json')) return printResult(listings.map(lineOfJson).join(''))
  if (given.has('names') || given.has('null')) {
    const names = [...new Set(listings.map(({ name }) => name))]
    // A program gets the names unchanged; in a terminal, control characters are escaped.
    const asTheyAre = given.has('null') && !isatty(1)
    return printResult(names.map((name) => (asTheyAre ? `${name}\0` : `${visible(name)}\n`)).join(''))
  }
  if (listings.length === 0) {
    printMessage('no name is open or cancelled')
    return OK
  }
  return printResult(`${tableOfListings(listings, paintFor(1), new Date()).join('\n')}\n`)
}
