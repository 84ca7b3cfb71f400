/** All cases of the conformance suite, side by side, on the runtime that runs this: `conformance.child.js <folder>`. */
import { join } from 'node:path'
import process from 'node:process'
import { connectHub, TokenServer } from 'calloff/remote'
import { hubConformance } from 'calloff/testing'
import { engineFor } from './inside.js'

const [folder = ''] = process.argv.slice(2)
const key = 'the key of this very test'
const places = [
  { options: { port: 0, key }, key },
  { options: { path: join(folder, 's'), journal: join(folder, 'journal') }, key: undefined },
]
for (const { options, key } of places) {
  const server = await TokenServer.listen(options)
  const cases = hubConformance({
    connect: (given) => connectHub(server.url, { key, ...given }),
    engine: () => engineFor(server.url, key),
  })
  const outcomes = await Promise.allSettled(cases.map(({ run }) => run()))
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.status === 'rejected') console.log(`${cases[i]?.name}: ${String(outcome.reason)}`)
  }
  console.log(`${outcomes.length} cases`)
  await server.close()
}
