/**
 * Some runs of the simulation: `simulation.child.js <first seed> <count>`. In a process of its own, since a test of node:test
 * follows every promise, which here takes most of the time.
 */
import process from 'node:process'
import { Run } from './simulation.js'

const [first = 0, count = 1] = process.argv.slice(2).map(Number)
for (let seed = first; seed < first + count; seed++) {
  try {
    await new Run(seed).play(60)
  } catch (error) {
    console.error(`CALLOFF_SEED=${seed} CALLOFF_RUNS=1: ${error instanceof Error ? error.message : String(error)}`)
    process.exit(1)
  }
}
console.log(`${count} runs`)
