// The inner loop: `npm run dev` builds, and again whenever a file is saved; then it runs the tests that belong to what was saved.
// `npm run dev -- <part of a test file's name> …` runs those tests each time instead, and once at the beginning.
import { watch } from 'node:fs'
import { basename } from 'node:path'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'
import { filesOf, runSuite } from './suite.mjs'

ensureInstalled()
const parts = process.argv.slice(2)
const saved = new Set()
let isRunning = false
let pending

/**
 * The test files that belong to a file. For a test it is the test. For a source or a helper it is the tests of its name; where there
 * are none, those of the folder under `test/` that mirrors its folder, or the next one above.
 */
function testsOf(file) {
  const all = [...filesOf('unit'), ...filesOf('integration')]
  const inTests = file.replace(/^(src|test|examples)\//, '').replace(/\.[cm]?[jt]s$/, '')
  const candidates = [`/test/${inTests}.js`, `/${basename(inTests).replace(/\.test$/, '')}.test.js`]
  if (file.startsWith('src/core/')) candidates.push('/test/behaviour/')
  for (let folder = inTests; folder.includes('/');) {
    folder = folder.slice(0, folder.lastIndexOf('/'))
    candidates.push(`/test/${folder}/`)
  }
  if (file.startsWith('examples/')) candidates.push('/test/examples/')
  for (const candidate of candidates) {
    const found = all.filter((test) => `/${test}`.includes(candidate))
    if (found.length > 0) return found
  }
  return filesOf('unit')
}

async function turn() {
  if (isRunning) return
  isRunning = true
  const changed = [...saved]
  saved.clear()
  const start = performance.now()
  let isGood = build({ ifStale: true })
  const tests =
    parts.length > 0 ? parts : [...new Set(changed.flatMap(testsOf))].map((test) => test.slice('build/test/'.length))
  if (tests.length > 0) {
    if (parts.length === 0) console.log(tests.length > 3 ? `${tests.length} test files` : tests.join(', '))
    isGood = (await runSuite('unit', tests)) === 0 && isGood
  }
  const took = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${isGood ? 'ok' : 'NOT OK'} after ${took} s; waiting for a change (Ctrl+C ends)`)
  isRunning = false
  if (saved.size > 0) await turn()
}

for (const folder of ['src', 'test', 'examples']) {
  watch(`${root}/${folder}`, { recursive: true }, (_, name) => {
    if (name === null || !/\.[cm]?[jt]s$/.test(name)) return
    saved.add(`${folder}/${name.replaceAll('\\', '/')}`)
    clearTimeout(pending)
    pending = setTimeout(() => void turn(), 50)
  })
}
await turn()
