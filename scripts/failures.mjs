// A reporter for whoever runs failed files again: one line of JSON for each failure, with its file and what went wrong.
import { inspect } from 'node:util'

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* failures(source) {
  for await (const { type, data } of source) {
    const error = data?.details?.error
    if (type !== 'test:fail' || data.skip !== undefined || data.todo !== undefined) continue
    // A parent that failed only because of its children is told by them.
    if (error?.failureType === 'subtestsFailed') continue
    yield `${JSON.stringify({ file: data.file, text: `${data.name}\n${inspect(error?.cause ?? error)}` })}\n`
  }
}
