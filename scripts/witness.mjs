// Loaded into the process of a test file: tells the runner, by lines of JSON in a file, which test is running, and how each
// has ended. Each line is written at once, so that it is there when the process is ended, or its thread is blocked.
import { appendFileSync } from 'node:fs'
import { relative } from 'node:path'
import { inspect } from 'node:util'
import { isMainThread } from 'node:worker_threads'

const { searchParams } = new URL(import.meta.url)
const told = searchParams.get('to')
const tell = (line) => appendFileSync(told, `${JSON.stringify(line)}\n`)

// Threads and forked programs load it as well, since they get the same flags.
if (isMainThread && process.argv[1]?.replaceAll('\\', '/').endsWith(searchParams.get('file'))) {
  const { afterEach, beforeEach } = await import('node:test')
  // A reporter hears of a test only when the event loop turns.
  beforeEach(({ fullName, name }) => tell({ begun: fullName ?? name }))
  afterEach(({ fullName, name }) => tell({ ended: fullName ?? name }))
}

const placeOf = ({ file, line, column }) =>
  file ? `${relative(process.cwd(), file)}:${line ?? 1}:${column ?? 1}\n` : ''

/**
 * The reporter: a line for each test, and for each suite that was skipped.
 * @param {AsyncIterable<{ type: string, data: any }>} source
 */
// oxlint-disable-next-line require-yield
export default async function* witness(source) {
  const path = []
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      path.length = data.nesting
      path.push(data.name)
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const title = [...path.slice(0, data.nesting), data.name].join(' > ')
    const isSuite = data.details?.type === 'suite'
    const error = data.details?.error
    if (data.skip !== undefined || (data.todo !== undefined && !isSuite)) {
      const why = data.skip ?? data.todo
      tell({ title, state: 'skipped', detail: typeof why === 'string' ? why : '' })
    } else if (type === 'test:fail') {
      // A parent that failed only because of its children is told by them.
      if (error?.failureType === 'subtestsFailed') continue
      tell({ title, state: 'failed', detail: `${placeOf(data)}${inspect(error?.cause ?? error)}` })
    } else if (!isSuite) {
      tell({ title, state: 'passed', detail: '' })
    }
  }
}
