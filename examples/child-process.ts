/**
 * A build that is cancelled when a newer one begins: its shell, and everything the shell has started, are gone before the
 * next one is run.
 */
import { type CancellationToken, isCancellation, SimpleToken } from 'calloff'
import { run } from 'calloff/node'

// Stands for a build: two programs of which one does not end when it is asked to.
const script = `echo compiling; sleep "$1" & (trap '' TERM; exec sleep "$1") & wait; echo built`

async function build(seconds: string, token: CancellationToken): Promise<void> {
  const begun = performance.now()
  try {
    const { stdout } = await run('sh', ['-c', script, 'build', seconds], { token, grace: 200, name: 'build' })
    console.log(`${token.name}: ${stdout.trim().replaceAll('\n', ', ')}`)
  } catch (error) {
    if (!isCancellation(error, token)) throw error
    console.log(`${token.name}: ${token.error?.message}; gone: ${performance.now() - begun < 60_000}`)
  }
}

const first = new SimpleToken({ name: 'first' })
const building = build('600', first)
await first.sleep(300)
first.cancel('a file has changed')
await building
await build('0', new SimpleToken({ name: 'second' }))
