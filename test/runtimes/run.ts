/**
 * Runs the compiled suites that are for every runtime, unchanged, on each of them: the running Node, Node 22, 24 and 26,
 * Bun, Deno and Chromium; those with servers on all but Chromium; then those that open pages of a browser. One line per
 * suite and runtime, then the counts of all.
 *
 * Each test file runs in a process of its own, so that none disturbs another and one that hangs is named. One that fails is
 * run once more, with nothing beside it. If it passes then it is called flaky: that is said and counted, and stops nobody.
 *
 * `npm run test:runtimes -- [--only bun,chromium] [--suite leaks] [part of a file name …]`
 */
import { appendFileSync, existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from './chromium.js'
import { install, processes } from './processes.js'
import type { Case, Outcome, Runtime, Settings } from './runtime.js'

interface Suite extends Settings {
  readonly name: string
  readonly files: readonly string[]
}

interface Counts {
  passed: number
  failed: number
  skipped: number
  /** Files that failed, and passed when they were run alone. Their tests are counted as they came out then. */
  flaky: number
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const lanes = 2
/** Where more files fail it is no accident, and none is run again: if they hang, that would take long. */
const mostFlaky = 3
const isStrict = Boolean(process.env.CI) && process.env.CI !== 'false'

const { values, positionals } = parseArgs({
  options: { only: { type: 'string' }, suite: { type: 'string' } },
  allowPositionals: true,
})
const only = values.only?.split(',')
const wanted = [...processes, chromium].filter(
  ({ name }) => only === undefined || only.some((part) => name.includes(part)),
)
const suites = [
  suite('behaviour'),
  suite('leaks', { collects: true }),
  suite('processes', { needsPrograms: true }, 'node/processes'),
  suite('streams', { needsPrograms: true }, 'node/streams'),
  suite('process', { needsPrograms: true }, 'process/everywhere'),
  suite('servers', { needsPrograms: true }),
  suite('pages', { opensPages: true }),
].filter(({ name, files }) => files.length > 0 && (values.suite === undefined || values.suite === name))

if (suites.length === 0 || wanted.length === 0) {
  console.error('calloff: no test or no runtime matches.')
  process.exit(1)
}

const none: Readonly<Counts> = { passed: 0, failed: 0, skipped: 0, flaky: 0 }
const total: Counts = { ...none }
const versions = await ask()
for (const suite of suites) {
  let first: Counts | undefined
  for (const runtime of wanted.filter((one) => isFor(suite, one))) {
    const counts = await runAll(runtime, suite, first)
    first ??= counts
    total.passed += counts.passed
    total.failed += counts.failed
    total.skipped += counts.skipped
    total.flaky += counts.flaky
  }
}
for (const runtime of wanted) await runtime.close?.()
const line = textOf(total)
if (process.env.CALLOFF_COUNTS !== undefined) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
console.log(line)
process.exitCode = total.failed === 0 ? 0 : 1

function suite(name: string, settings: Partial<Settings> = {}, folder = name): Suite {
  return { name, collects: false, timeout: 120_000, ...settings, files: filesOf(join('build', 'test', folder)) }
}

function isFor({ opensPages = false, needsPrograms = false }: Suite, runtime: Runtime): boolean {
  return runtime === chromium ? !needsPrograms : !opensPages
}

function filesOf(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.js'))
    .filter(
      (file) => positionals.length === 0 || positionals.some((part) => file.includes(part.replace(/\.ts$/, '.js'))),
    )
    .map((file) => join(folder, file).replaceAll('\\', '/'))
    .toSorted()
}

/** The versions of the runtimes, after an attempt to install those that can be. */
async function ask(): Promise<ReadonlyMap<Runtime, string | undefined>> {
  const look = async () => new Map(await Promise.all(wanted.map(async (one) => [one, await one.version()] as const)))
  const found = await look()
  if (processes.every((one) => !found.has(one) || found.get(one) !== undefined)) return found
  console.log('installing the runtimes (about 800 MB, in a folder of their own) …')
  const failure = install()
  if (failure !== undefined) console.error(`the runtimes could not be installed:\n${indent(failure)}`)
  return look()
}

async function runAll(runtime: Runtime, suite: Suite, reference: Counts | undefined): Promise<Counts> {
  const start = performance.now()
  const name = `${suite.name.padEnd(9)}  ${runtime.name.padEnd(9)}`
  const version = versions.get(runtime)
  if (version === undefined) {
    console.log(`${isStrict ? 'FAILED ' : 'skipped'}  ${name} is not installed (${runtime.missing})`)
    return { ...none, failed: isStrict ? 1 : 0, skipped: isStrict ? 0 : 1 }
  }
  const counts: Counts = { ...none }
  const skips: Case[] = []
  const complaints: string[] = []
  const count = (outcome: Outcome): void => {
    const inState = (state: Case['state']) => outcome.cases.filter((one) => one.state === state)
    counts.passed += inState('passed').length
    counts.skipped += inState('skipped').length
    skips.push(...inState('skipped'))
    // A file may fail without any of its tests.
    if (isAmiss(outcome)) counts.failed += Math.max(1, inState('failed').length)
  }
  const waiting = [...suite.files]
  const again: (readonly [file: string, first: Outcome])[] = []
  const lane = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const outcome = await runtime.run(file, suite)
      if (isAmiss(outcome)) again.push([file, outcome])
      else count(outcome)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  for (const [file, first] of again) {
    const second = again.length > mostFlaky ? undefined : await runtime.run(file, suite)
    count(second ?? first)
    complaints.push(complaintOf(file, first))
    if (second === undefined) continue
    if (isAmiss(second)) complaints.push('  the same, alone:', complaintOf(file, second))
    else {
      counts.flaky++
      complaints.push(`  FLAKY: ${basename(file)} passed when it was run alone`)
    }
  }
  // A runtime that silently leaves tests out would look fine.
  const ran = counts.passed + counts.failed + counts.skipped
  const due = reference === undefined ? ran : reference.passed + reference.failed + reference.skipped
  if (ran !== due && counts.failed === 0) {
    counts.failed++
    complaints.push(`  it counted ${ran} tests where the first runtime counted ${due}`)
  }
  const took = `${((performance.now() - start) / 1000).toFixed(1)} s`
  const verdict = counts.failed > 0 ? 'FAILED' : counts.flaky > 0 ? 'FLAKY' : 'ok'
  console.log(`${verdict.padEnd(7)}  ${name} ${version.padEnd(10)} ${textOf(counts)}  (${took})`)
  for (const { title, detail } of skips)
    console.log(`           skipped: ${title}${detail === '' ? '' : ` (${detail})`}`)
  for (const complaint of complaints) console.log(complaint)
  return counts
}

function textOf({ passed, failed, skipped, flaky }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped${flaky === 0 ? '' : `, ${flaky} flaky`}`
}

/** Whether the file failed: in its tests, or outside of them. */
function isAmiss({ cases, problem }: Outcome): boolean {
  return problem !== undefined || cases.length === 0 || cases.some(({ state }) => state === 'failed')
}

/** What is to be said of a file that failed. */
function complaintOf(file: string, { cases, problem, output }: Outcome): string {
  const failed = cases.filter(({ state }) => state === 'failed')
  const amiss = failed.length > 0 ? `${failed.length} failed` : (problem ?? 'ran no test')
  const titles = failed.map(({ title, detail }) => `    ${title}\n${indent(detail)}`)
  return [`  ${basename(file)}: ${amiss}`, ...titles, indent(output)].join('\n')
}

function indent(text: string): string {
  const rows = text.trim().split('\n')
  const shown =
    rows.length > 80 ? [...rows.slice(0, 40), `… ${rows.length - 80} lines left out …`, ...rows.slice(-40)] : rows
  return shown.map((row) => `      ${row}`).join('\n')
}
