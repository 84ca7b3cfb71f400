import { test } from 'node:test'
import fc from 'fast-check'
import { runs } from './runs.js'
import { derivation, operation, World } from './world.js'

test('whatever is done to a graph of tokens, they say what the rules say', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(derivation, { minLength: 1, maxLength: 8 }),
      fc.array(operation, { maxLength: 30 }),
      fc.boolean(),
      async (graph, operations, fromTheEnd) => {
        using world = new World()
        fc.pre(await world.play([...graph, ...operations], fromTheEnd))
      },
    ),
    runs(5_000),
  )
})
