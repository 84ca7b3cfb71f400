// The reporter of the suites: what failed, with where and why; what was skipped, with why; and one line of counts.
import { relative } from 'node:path'
import { inspect } from 'node:util'

const where = ({ file, line, column }) => (file ? `${relative(process.cwd(), file)}:${line ?? 1}:${column ?? 1}` : '')

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* report(source) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const failures = []
  const path = []
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      path.length = data.nesting
      path.push(data.name)
    }
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const isSuite = data.details?.type === 'suite'
    const title = [...path.slice(0, data.nesting), data.name].join(' > ')
    if (data.skip !== undefined || data.todo !== undefined) {
      const why = data.skip ?? data.todo
      if (!isSuite || data.skip !== undefined) {
        counts.skipped++
        yield `  skipped  ${title}${typeof why === 'string' && why !== '' ? ` (${why})` : ''}\n`
      }
    } else if (type === 'test:fail') {
      // A parent that failed only because of its children is told by them.
      if (data.details?.error?.failureType === 'subtestsFailed') continue
      counts.failed++
      const error = data.details?.error
      const text = `  FAILED   ${title}\n           ${where(data)}\n${indent(inspect(error?.cause ?? error))}\n`
      failures.push(text)
      yield text
    } else if (!isSuite) {
      counts.passed++
    }
  }
  if (failures.length > 1)
    yield `\nAll failures once more:\n${failures.map((text) => `${text.split('\n', 2).join('\n')}\n`).join('')}`
  yield `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`
}

const indent = (text) => text.replaceAll(/^/gm, '           ')
