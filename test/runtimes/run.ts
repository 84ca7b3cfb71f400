/**
 * Runs the compiled suites that are for every runtime, unchanged, on each of them: the running Node, Node 22, 24 and 26,
 * Bun, Deno and Chromium; those with servers on all but Chromium; then those that open pages of a browser. One line per
 * suite and runtime, then the counts of all.
 *
 * Each test file runs in a process of its own, with a time limit, so that none disturbs another and one that hangs is named.
 *
 * `npm run test:runtimes -- [--only bun,chromium] [--suite leaks] [part of a file name …]`
 */
import { appendFileSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from './chromium.js'
import { install, processes } from './processes.js'
import { complaintOf, countsOf, indent, inLanes, isAmiss, isStrict, LIMIT, missingOf, textOf } from './runner.js'
import type { Case, Counts, Runtime, Settings } from './runtime.js'

interface Suite extends Settings {
  readonly name: string
  readonly files: readonly string[]
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const lanes = 2

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
  suite('leaks', { collects: true, timeout: 3 * LIMIT }),
  suite('processes', { needsPrograms: true }, 'node/processes'),
  suite('channels', { needsPrograms: true }, 'node/diagnostics'),
  suite('streams', { needsPrograms: true }, 'node/streams'),
  suite('lifetime', { needsPrograms: true }, 'lifetime/everywhere'),
  suite('requests', { needsPrograms: true }, 'node/requests'),
  suite('browser', { opensPages: true }),
].filter(({ name, files }) => files.length > 0 && (values.suite === undefined || values.suite === name))

if (suites.length === 0 || wanted.length === 0) {
  console.error('calloff: no test or no runtime matches.')
  process.exit(1)
}

const none: Readonly<Counts> = { passed: 0, failed: 0, skipped: 0 }
const total: { -readonly [key in keyof Counts]: Counts[key] } = { ...none }
/** Why tests, or whole runtimes, were skipped. */
const reasons: string[] = []
const versions = await ask()
for (const suite of suites) {
  let first: Counts | undefined
  for (const runtime of wanted.filter((one) => isFor(suite, one))) {
    const counts = await runAll(runtime, suite, first)
    first ??= counts
    total.passed += counts.passed
    total.failed += counts.failed
    total.skipped += counts.skipped
  }
}
for (const runtime of wanted) await runtime.close?.()
const missing = missingOf(reasons)
if (missing !== undefined) console.log(missing)
if (missing !== undefined && isStrict) {
  console.log('FAILED   in CI nothing may be missing')
  total.failed++
}
const line = textOf(total)
if (process.env.CALLOFF_COUNTS !== undefined) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
console.log(line)
process.exitCode = total.failed === 0 ? 0 : 1

function suite(name: string, settings: Partial<Settings> = {}, folder = name): Suite {
  return { name, collects: false, timeout: LIMIT, ...settings, files: filesOf(join('build', 'test', folder)) }
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
    reasons.push(`${runtime.name} is not installed: ${runtime.missing}`)
    console.log(`skipped  ${name} is not installed`)
    return { ...none, skipped: 1 }
  }
  const counts = { ...none }
  const skips: Case[] = []
  const complaints: string[] = []
  await inLanes(lanes, suite.files, async (file) => {
    const outcome = await runtime.run(file, suite)
    const { passed, failed, skipped } = countsOf(outcome)
    counts.passed += passed
    counts.failed += failed
    counts.skipped += skipped
    skips.push(...outcome.cases.filter(({ state }) => state === 'skipped'))
    if (isAmiss(outcome)) complaints.push(complaintOf(file, outcome))
  })
  // A runtime that silently leaves tests out would look fine.
  const ran = counts.passed + counts.failed + counts.skipped
  const due = reference === undefined ? ran : reference.passed + reference.failed + reference.skipped
  if (ran !== due && counts.failed === 0) {
    counts.failed++
    complaints.push(`  it counted ${ran} tests where the first runtime counted ${due}`)
  }
  const took = `${((performance.now() - start) / 1000).toFixed(1)} s`
  const verdict = counts.failed > 0 ? 'FAILED' : 'ok'
  console.log(`${verdict.padEnd(7)}  ${name} ${version.padEnd(10)} ${textOf(counts)}  (${took})`)
  for (const { title, detail } of skips) {
    if (missingOf([detail]) !== undefined) reasons.push(detail)
    else console.log(`           skipped: ${title}${detail === '' ? '' : ` (${detail})`}`)
  }
  for (const complaint of complaints) console.log(complaint)
  return counts
}
