// `npm test`: every check that a newcomer needs, quick ones first, one line each. Stops at the first that fails.
// Works on a fresh clone: installs and builds by itself. `npm test -- <name> …` runs only the steps with these names.
import { appendFileSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { ensureInstalled, root } from './installed.mjs'
import { missingOf, reasonsIn, textOf } from './runner.mjs'
import { runTree } from './tree.mjs'

// Steps that stand side by side in one row have nothing to do with time, and run two at a time.
const rows = [
  ['build'],
  [
    'check:format',
    'check:lint',
    'check:types',
    'check:types7',
    'check:imports',
    'check:dead',
    'check:size',
    'check:package',
  ],
  // The two are test:unit in two halves. Coverage is measured on the one about the core.
  ['test:coverage'],
  ['test:around'],
  ['test:vitest'],
  ['test:types'],
  ['test:docs'],
  ['test:leaks'],
  ['test:package'],
]
const lanes = 2

ensureInstalled()
const wanted = process.argv.slice(2)
const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
const unknown = wanted.find((name) => scripts[name] === undefined)
if (unknown !== undefined) {
  console.error(`calloff: there is no step "${unknown}"; there are ${rows.flat().join(', ')}.`)
  process.exit(1)
}

/** Why tests were skipped for something that is not installed. */
const reasons = []
const total = { passed: 0, failed: 0, skipped: 0 }
const steps = wanted.length > 0 ? wanted.map((name) => [name]) : rows
const all = steps.flat().length
let finished = 0
const running = new Set()
const begin = performance.now()
/** Milliseconds that a step may take. */
const limit = 1_800_000
const env = {
  ...process.env,
  PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  FORCE_COLOR: process.stdout.isTTY ? '1' : '0',
}
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

function status() {
  if (!process.stdout.isTTY) return
  const names = [...running].join(', ')
  process.stdout.write(`\r\u001B[K${names === '' ? '' : `  …  ${finished}/${all}  ${names}`}`)
}

function say(line) {
  if (process.stdout.isTTY) process.stdout.write('\r\u001B[K')
  console.log(line)
}

/** The counts a step printed; a check that counts nothing is one thing that passed or failed. */
function countsIn(output, ok) {
  const lines = output.split('\n').filter((line) => /^(\d+ passed, \d+ failed, \d+ skipped$| *Tests:? .*\d)/.test(line))
  const sum = (word) => lines.reduce((before, line) => before + Number(line.match(`(\\d+) ${word}`)?.[1] ?? 0), 0)
  if (lines.length === 0) return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 }
  return { passed: sum('passed'), failed: ok ? 0 : Math.max(sum('failed'), 1), skipped: sum('skipped') }
}

async function run(name) {
  const start = performance.now()
  running.add(name)
  status()
  const { code, output, isLate, left } = await runTree(scripts[name], [], {
    cwd: root,
    env,
    shell: true,
    limit,
    onText: (text) => text.match(/^calloff: .* …$/gm)?.forEach(say),
  })
  const ok = code === 0 && !isLate && left.length === 0
  running.delete(name)
  finished++
  const counts = countsIn(stripVTControlCharacters(output), ok)
  for (const key of Object.keys(total)) total[key] += counts[key]
  const tests = counts.passed + counts.failed + counts.skipped
  const detail = tests > 1 ? `  ${counts.passed} passed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}` : ''
  say(`${ok ? '  ok  ' : 'FAILED'}  ${name.padEnd(14)} ${seconds(start).padStart(8)}${detail}`)
  // What was skipped, and why, is always worth a line.
  for (const [line] of ok ? output.matchAll(/^ +skipped .*$/gm) : []) say(`      ${line}`)
  for (const [line] of output.matchAll(/^ +not installed: .*$/gm)) reasons.push(...reasonsIn(line))
  if (!ok) {
    say('')
    process.stdout.write(output.endsWith('\n') ? output : `${output}\n`)
    if (isLate) say(`It did not end within ${limit / 60_000} minutes, and was ended.`)
    for (const one of left) say(`It left a process behind, which was ended: ${one}`)
    say(`\nFAILED: ${name}. Run it alone with \`npm run ${name}\`.`)
  }
  status()
  return ok
}

/** Runs the steps of a row, some at a time, until one fails. */
async function runRow(row) {
  const waiting = [...row]
  let ok = true
  const lane = async () => {
    while (ok && waiting.length > 0) {
      if (!(await run(waiting.shift()))) ok = false
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return ok
}

let good = true
for (const row of steps) {
  good = await runRow(row)
  if (!good) break
}
const missing = missingOf(reasons)
const line = textOf(total)
if (process.env.CALLOFF_COUNTS) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
say(good ? `\nAll ${all} steps passed in ${seconds(begin)}.` : `\nStopped after ${seconds(begin)}.`)
if (missing !== undefined) say(`Some tests were skipped. ${missing[0].toUpperCase()}${missing.slice(1)}`)
say(line)
process.exitCode = good ? 0 : 1
