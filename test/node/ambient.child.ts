// Runs the cases of the ambient token, on whatever runtime; prints what went wrong, and how many there were.
import { cases } from './ambient-cases.js'

for (const [name, run] of Object.entries(cases)) {
  try {
    await run()
  } catch (error) {
    console.error(`${name}: ${(error as Error).stack}`)
  }
}
console.log(`${Object.keys(cases).length} cases`)
