/**
 * All cases of the conformance suite, side by side, on the runtime that runs this: `conformance.child.js <url>` on a server that
 * is there, `conformance.child.js <folder>` on embedded ones, over TCP and over a socket with a journal.
 */
import { join } from 'node:path'
import process from 'node:process'
import { connectHub, type HubOptions, TokenServer } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { hubConformance } from 'calloff/testing'
import { engineFor, engineOfUrl } from './inside.js'

const [place = ''] = process.argv.slice(2)

async function passes(url: string, given: HubOptions, engine: () => Engine | Promise<Engine>): Promise<void> {
  const cases = hubConformance({ connect: (options) => connectHub(url, { ...given, ...options }), engine })
  const running = new Set(cases.map(({ name }) => name))
  const tell = () => console.log(`the process ends by itself before: ${[...running].join('; ')}`)
  process.once('exit', tell)
  const outcomes = await Promise.allSettled(
    cases.map(async ({ name, run }) => {
      try {
        await run()
      } finally {
        running.delete(name)
      }
    }),
  )
  process.off('exit', tell)
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.status === 'rejected') console.log(`${cases[i]?.name}: ${String(outcome.reason)}`)
  }
  console.log(`${outcomes.length} cases`)
}

if (place.includes('://')) {
  // A server that many cases use at once on a busy machine may take its time.
  await passes(place, { timeout: 60_000 }, () => engineOfUrl(place))
} else {
  const key = 'the key of this very test'
  for (const options of [
    { port: 0, key },
    { path: join(place, 's'), journal: join(place, 'journal') },
  ]) {
    await using server = await TokenServer.listen(options)
    const given: HubOptions = 'key' in options ? { key } : {}
    await passes(server.url, given, () => engineFor(server.url, given.key as string | undefined))
  }
}
