import type { ParsedArguments } from '../arguments/parse.js'
import { openBrowser } from '../page/open-browser.js'
import { linkOf, notedPage } from '../page/link.js'
import { toJson } from '../terminal/describe.js'
import { Failure } from '../terminal/errors.js'
import { printResult } from '../terminal/output.js'

/** `calloff ui` */
export async function ui(given: ParsedArguments): Promise<number> {
  const page = notedPage()
  if (page === undefined) {
    throw new Failure('no page is served; start one with calloff serve --http 127.0.0.1:4748')
  }
  const link = linkOf(page.url, page.token)
  const code = printResult(given.has('json') ? `${toJson({ page: link })}\n` : `${link}\n`)
  if (!given.has('print') && !given.has('json')) openBrowser(link)
  return code
}
