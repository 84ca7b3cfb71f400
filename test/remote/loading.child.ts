/** Prints the URL of each module that `calloff/remote` loads, and of those that a hub at the URL given needs. */
import { register } from 'node:module'
import process from 'node:process'

const hooks = `
import { writeSync } from 'node:fs'
export function load(url, context, next) {
  writeSync(1, url + '\\n')
  return next(url, context)
}`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)

const { connectHub } = await import('calloff/remote')
const [, , url] = process.argv
// Nobody listens there.
if (url !== undefined) await connectHub(url, { timeout: 500 }).catch(() => {})
process.exit()
