/** Measures calloff beside its peers, on the same work: HELP says how it is used. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { root } from '../scripts/installed.mjs'
import { installCalloff, installPeers, installRuntimes } from './install.mjs'
import { Progress } from './progress.mjs'
import { writePages } from './report/page.mjs'
import { collectRows, describe, renewed, save } from './report/results.mjs'
import { print } from './report/tables.mjs'
import { targets } from './report/targets.mjs'
import { choose, isMissing, start, versionOf } from './runtimes.mjs'

const HELP = `\
Measures calloff beside its peers, on the same work.

  npm run bench                         everything, on the running Node: some minutes
  npm run bench -- --quick              the same in two or three minutes, too short to quote
  npm run bench -- --runtime all        node20, node24, node26, bun, deno; or some: --runtime bun,deno
  npm run bench -- --group listen,race --peer calloff,caf     parts of names
  npm run bench -- --group signal --update    those groups again, into the results of the same machine, runtime and day
  npm run bench -- --plots              only draws the plots again, from the results that are there

A full run writes results/<runtime>.json and plots/; a quick or a partial one writes beside them, into quick/ or part/.`

const options = readOptions()
const mode = options.quick ? 'quick' : 'full'
const isPart = !options.update && (options.group !== undefined || options.peer !== undefined)
const place = isPart ? 'part' : options.quick ? 'quick' : ''
/** Milliseconds until a process has given up; the platform takes the square of 100,000 listeners. */
function patience({ group, peers = [], verify }) {
  // Servers have to be started, and folders made for them.
  if ([verify, ...peers].some((peer) => isFar(peer))) return options.quick ? 60_000 : 300_000
  return options.quick ? 3_000 : group?.startsWith('fanout') ? 120_000 : 20_000
}
const isFar = (peer) => ['sockets', 'hub', 'engines'].includes(peer?.file)
/** Side by side, processes disturb each other; a quick run is too short to quote anyway. */
const lanes = options.quick ? Math.min(2, availableParallelism()) : 1
const MARK = 'calloff-bench:'

/** What was asked for; wrong usage and `--help` end here. */
function readOptions() {
  const end = (code, print, text) => {
    print(text)
    process.exit(code)
  }
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        plots: { type: 'boolean', default: false },
        update: { type: 'boolean', default: false },
        runtime: { type: 'string' },
        group: { type: 'string' },
        peer: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) end(0, console.log, HELP)
    if (values.update && (values.quick || values.peer)) throw new Error('--update takes whole groups, measured in full')
    return values
  } catch (error) {
    return end(2, console.error, `calloff: ${error.message}\n\n${HELP}`)
  }
}

/** One task, one process; gives what came of it. */
async function execute(runtime, task) {
  const { output, complaint, isLate } = await start(runtime, 'worker.mjs', JSON.stringify(task), patience(task))
  const at = output.lastIndexOf(MARK)
  if (at !== -1) return JSON.parse(output.slice(at + MARK.length))
  return isLate ? { late: true } : { error: complaint.trim() || 'the process ended without a word' }
}

/** @typedef {{ tried?: string[], firesInLoop?: boolean, absent?: string }} Verified */

/** What went wrong, for the results: nothing in it of where this folder stands. */
const firstLine = (text) =>
  text
    .replaceAll(root, '')
    .split('\n', 1)[0]
    .replace(/^Error: /, '')

/** Does all of them, as many at a time as there are lanes; gives what came of each, in order. */
async function inLanes(items, work) {
  const results = Array.from({ length: items.length })
  const waiting = items.entries()
  const lane = async () => {
    for (const [at, item] of waiting) results[at] = await work(item)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return results
}

/** Tries everything that will be timed. @returns {Promise<Record<string, Verified>>} */
async function verify(runtime, those, progress) {
  const found = await inLanes(those, async (one) => {
    progress.show('verify', one.name)
    const { result, error, late } = await execute(runtime, { mode, verify: one })
    progress.step()
    // What is wrong with calloff or the references makes every figure worthless; a peer that does not work is left out.
    if (!result && !isForeign(one)) throw new Error(`verify on ${runtime.key}: ${error ?? 'gave up'}`)
    return [one.name, result ?? { absent: late ? 'gave up' : firstLine(error) }]
  })
  return Object.fromEntries(found)
}

async function measure(runtime, { steps, verify: those }) {
  const begin = performance.now()
  const progress = new Progress(steps.length + those.length)
  try {
    const verified = await verify(runtime, those, progress)
    const outcomes = await inLanes(steps, async ({ group, subject, peers }) => {
      progress.show(group.name, subject)
      const { absent } = verified[subject] ?? {}
      const done = absent ? { error: absent } : await execute(runtime, { mode, group: group.name, peers })
      progress.step()
      return { group, subject, tables: done.result, note: done.late ? 'gave up' : done.error && firstLine(done.error) }
    })
    return { verified, tables: collectRows(outcomes), seconds: Math.round((performance.now() - begin) / 1_000) }
  } finally {
    progress.end()
  }
}

const isForeign = ({ file }) => !['floor', 'native', 'calloff', 'sockets', 'hub'].includes(file)

async function main() {
  const runtimes = choose(options.runtime)
  installPeers()
  const { drawAll } = await import('./report/plots.mjs')
  if (!options.plots) {
    if (runtimes.some(isMissing)) installRuntimes()
    installCalloff()
    // It loads the peers, so it cannot stand at the top.
    const { plan } = await import('./plan.mjs')
    const todo = await plan({ group: options.group, peer: options.peer, mode })
    if (todo.steps.length === 0) throw new Error('no group and peer match')
    for (const runtime of runtimes) {
      if (isMissing(runtime)) {
        console.log(`${runtime.key} is not installed (no package for this platform, or no network): left out`)
        continue
      }
      const version = versionOf(runtime)
      console.log(`${runtime.key} ${version}: ${todo.steps.length} processes`)
      const measured = await measure(runtime, todo)
      const fresh = describe(runtime.key, version, mode, measured)
      const results = options.update ? renewed(fresh) : fresh
      results.targets = targets(results)
      print(results)
      console.log(`written: ${save(results, place)}`)
    }
  }
  for (const file of drawAll(place)) console.log(`drawn: ${file}`)
  if (!place) for (const file of writePages()) console.log(`written: ${file}`)
}

try {
  await main()
} catch (error) {
  console.error(`calloff: ${error.message}`)
  process.exitCode = 1
}
