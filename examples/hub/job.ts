/**
 * A job that any process that knows its name can cancel. `node build/examples/hub/job.js <url> <name>`
 *
 * It saves what it has before it ends, and only then counts as finished.
 */
import process from 'node:process'
import { isCancellation } from 'calloff'
import { connectHub } from 'calloff/remote'

const [url = '', name = 'job-42'] = process.argv.slice(2)
await using hub = await connectHub(url)
using token = hub.open(name)
await token.ready

async function work(): Promise<void> {
  let steps = 0
  try {
    for (;;) {
      await token.sleep(50)
      steps++
    }
  } catch (error) {
    if (!isCancellation(error, token)) throw error
    await new Promise((resolve) => void setTimeout(resolve, 100)) // saves what it has
    console.log(
      `saved after ${steps > 0 ? 'some' : 'no'} steps; ${String(token.reason)}, says process ${token.who?.pid}`,
    )
  }
}

console.log(`${name} has begun`)
await token.finished(work())
