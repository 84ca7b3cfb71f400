// The inner loop: npm run dev -- <part of a test file's name>
// Rebuilds and runs the matching unit tests again whenever a source is saved.
import { watch } from 'node:fs'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'
import { runSuite } from './suite.mjs'

ensureInstalled()
const parts = process.argv.slice(2)
let isRunning = false
let isStale = false

async function turn() {
  if (isRunning) {
    isStale = true
    return
  }
  isRunning = true
  const start = performance.now()
  const isSound = build()
  const done = (await runSuite('unit', parts)) === 0 && isSound
  const took = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${done ? 'ok' : 'NOT OK'} after ${took} s; waiting for a change (Ctrl+C ends)`)
  isRunning = false
  if (!isStale) return
  isStale = false
  await turn()
}

let pending
for (const folder of ['src', 'test', 'examples']) {
  watch(`${root}/${folder}`, { recursive: true }, () => {
    clearTimeout(pending)
    pending = setTimeout(() => void turn(), 50)
  })
}
await turn()
