// `npm test`: every check and suite, one line each. Stops at the first that fails. Works on a fresh clone: installs and builds by
// itself. `npm test -- <name> …` runs only the steps with these names. What takes long is run in CI, or with `npm test -- --all`.
import { appendFileSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { announce, ensureInstalled, root } from './installed.mjs'
import { inLanes, isFull, missingOf, reasonsIn, textOf } from './runner.mjs'
import { runTree } from './tree.mjs'

const args = process.argv.slice(2)
const isAll = isFull || args.includes('--all')

// The build is the first; the others run two at a time, in this order. What waits more than it works comes first, and has what
// works beside it.
const steps = {
  build: 'the library, the command line, the tests and examples',
  'test:integration': 'servers, processes, terminals',
  'test:docs': 'every code block compiles, runs and prints what it says',
  ...(isAll
    ? { 'test:coverage': 'the unit tests, and what they cover of the core' }
    : { 'test:unit': 'what needs no server, process or terminal' }),
  'check:format': 'oxfmt',
  lint: 'oxlint with type information',
  'check:prose': 'no more banned phrases than are still allowed',
  'check:spelling': 'cspell, with the words of scripts/prose/words.txt',
  'check:imports': 'imports run downwards, no cycles',
  'check:generated': 'what `npm run generate` writes is up to date',
  'check:dead': 'no unused file, export or dependency',
  'check:size': 'size limits',
  'test:types': 'what must and must not compile',
  'test:vitest': 'under the fake timers of vitest',
  ...(isAll
    ? {
        'test:package': 'the packed package in an empty project',
        'check:package': 'publint and are-the-types-wrong',
        'check:types:ts7': 'TypeScript 7: the core without types of Node, and all of it as an editor sees it',
        'check:api': 'the reports of the public surface, api/*.api.md, are up to date',
        'test:site': 'the site: built, and each page of it in Chromium',
        'test:leaks': 'memory and lost aborts under forced collection',
        // The compiler before the native one.
        'check:types:ts6': 'TypeScript 6',
      }
    : {}),
}
const lanes = 2
/** What is left to CI, in one line. */
const LEFT_OUT =
  'Only in CI, or here with `npm test -- --all`: test:package, check:package, check:api, test:site, test:leaks, test:coverage, check:types:ts6 and ts7, the tests over NATS and PostgreSQL, of clusters and soaks, and nine tenths of the random runs.'

ensureInstalled()
const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
const asked = args.filter((arg) => arg !== '--all')
const unknown = asked.find((name) => scripts[name] === undefined)
if (unknown !== undefined) {
  console.error(`calloff: there is no step "${unknown}"; there are ${Object.keys(steps).join(', ')}.`)
  process.exit(1)
}

/** Why tests were skipped for something that is not installed. */
const reasons = []
const total = { passed: 0, failed: 0, skipped: 0 }
const wanted = asked.length > 0 ? asked : Object.keys(steps)
let finished = 0
let good = true
const running = new Set()
const begin = performance.now()
/** Milliseconds that a step may take. */
const limit = 1_800_000
const env = {
  ...process.env,
  PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  ...(isAll && !isFull ? { CALLOFF_EFFORT: '1' } : {}),
  FORCE_COLOR: process.stdout.isTTY ? '1' : '0',
}
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

function status() {
  if (!process.stdout.isTTY) return
  const names = [...running].join(', ')
  process.stdout.write(`\r\u001B[K${names === '' ? '' : `  …  ${finished}/${wanted.length}  ${names}`}`)
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
  if (!good) return
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
  running.delete(name)
  finished++
  // The others were ended, with all of this, by the first that failed.
  if (!good) return
  const ok = code === 0 && !isLate && left.length === 0
  const counts = countsIn(stripVTControlCharacters(output), ok)
  for (const key of Object.keys(total)) total[key] += counts[key]
  const tests = counts.passed + counts.failed + counts.skipped
  const detail = tests > 1 ? `${counts.passed} passed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}` : ''
  const line = `${ok ? '  ok  ' : 'FAILED'}  ${name.padEnd(16)} ${seconds(start).padStart(8)}  ${detail.padEnd(24)} ${steps[name] ?? ''}`
  say(line.trimEnd())
  // What was skipped, and why, is always worth a line.
  for (const [line] of ok ? output.matchAll(/^ +skipped .*$/gm) : []) say(`      ${line}`)
  for (const [line] of output.matchAll(/^ +not installed: .*$/gm)) reasons.push(...reasonsIn(line))
  if (!ok) {
    good = false
    say('')
    process.stdout.write(output.endsWith('\n') ? output : `${output}\n`)
    if (isLate) say(`It did not end within ${limit / 60_000} minutes, and was ended.`)
    for (const one of left) say(`It left a process behind, which was ended: ${one}`)
    say(`\nFAILED: ${name}. Run it alone with \`npm run ${name}\`.`)
    close()
    // With it ends what runs beside it.
    process.exit(1)
  }
  status()
}

function close() {
  const missing = missingOf(reasons)
  say(good ? `\nAll ${wanted.length} steps passed in ${seconds(begin)}.` : `\nStopped after ${seconds(begin)}.`)
  if (good && !isAll && asked.length === 0) say(LEFT_OUT)
  if (missing !== undefined) say(`Some tests were skipped; ${missing}`)
  const line = textOf(total)
  if (process.env.CALLOFF_COUNTS) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
  say(line)
}

if (!asked.length) announce(`running ${wanted.length} steps, each with a line of its own`)
// With full effort the servers and processes have the machine for themselves: they take long, and hold leases by the clock.
const alone = isAll ? ['build', 'test:integration'] : ['build']
await inLanes(
  1,
  wanted.filter((name) => alone.includes(name)),
  run,
)
await inLanes(
  lanes,
  wanted.filter((name) => !alone.includes(name)),
  run,
)
close()
