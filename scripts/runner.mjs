// Runs test files, each in a process of its own with a time limit, and says how they came out. What a file leaves behind is
// ended, and fails it.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './installed.mjs'
import { runTree } from './tree.mjs'

/** Milliseconds that a test file may take: far more than any does, even where the machine is busy with other things. */
export const LIMIT = Number(process.env.CALLOFF_TEST_LIMIT ?? 300_000)

/** Where everything has to be installed. */
export const isStrict = Boolean(process.env.CI) && process.env.CI !== 'false'

/** The share of what is long that is run, as test/effort.ts has it, and whether that is all of it. */
const effort = Number(process.env.CALLOFF_EFFORT || (isStrict ? 1 : 0.1))
export const isFull = effort >= 1

/** Runs a command that runs one test file. Resolves with what it printed, and what went wrong apart from the tests. */
export async function runFile(command, args, { limit = LIMIT, env, onText } = {}) {
  const tree = { cwd: root, env: { ...ownEnvironment(), ...env }, limit, onText }
  const { code, output, isLate, left } = await runTree(command, args, tree)
  const problems = []
  if (isLate) problems.push(`did not end within ${limit / 1_000} s, and was ended`)
  else if (code !== 0) problems.push(`ended with code ${code}`)
  if (left.length > 0) problems.push(`left processes behind, which were ended:`, ...left.map((one) => `  ${one}`))
  return { problem: problems.length > 0 ? problems.join('\n') : undefined, output, isLate }
}

/** The environment without what changes how Node runs tests, or how programs print. */
function ownEnvironment() {
  const env = { ...process.env }
  for (const name of ['NODE_OPTIONS', 'NODE_TEST_CONTEXT', 'FORCE_COLOR', 'NO_COLOR']) delete env[name]
  return env
}

/** Runs a file of node:test on a Node. Resolves with its cases, the problem if there was one, and its output. */
export async function runNodeFile(node, flags, file, options) {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-runner-'))
  const told = join(folder, 'told')
  try {
    const witness = pathToFileURL(`${root}/scripts/witness.mjs`)
    witness.search = String(new URLSearchParams({ to: told, file }))
    const reporter = [`--test-reporter=${witness.href}`, `--test-reporter-destination=${join(folder, 'nothing')}`]
    const outcome = await runFile(node, [...flags, `--import=${witness.href}`, ...reporter, file], options)
    const lines = existsSync(told) ? readFileSync(told, 'utf8').split('\n').filter(Boolean) : []
    const events = lines.map((line) => JSON.parse(line))
    const cases = events.filter(({ state }) => state !== undefined)
    return { cases, problem: problemOf(outcome, events), output: outcome.output }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** With the test that was running, where the file had to be ended. */
function problemOf({ problem, isLate }, events) {
  if (!isLate) return problem
  const running = new Map()
  for (const { begun, ended } of events) {
    if (begun !== undefined) running.set(begun, (running.get(begun) ?? 0) + 1)
    if (ended !== undefined) running.set(ended, running.get(ended) - 1)
  }
  const names = [...running].filter(([, times]) => times > 0).map(([name]) => name)
  if (names.length > 0) return `${problem}\nwhile this was running: ${names.join(', ')}`
  return `${problem}\nno test was running: something outside of them kept it alive`
}

/** Whether the file failed: in its tests, or outside of them. */
export function isAmiss({ cases, problem }) {
  return problem !== undefined || cases.length === 0 || cases.some(({ state }) => state === 'failed')
}

/** Counts of tests; a file may fail without any of its tests. */
export function countsOf(outcome) {
  const count = (state) => outcome.cases.filter((one) => one.state === state).length
  const failed = Math.max(count('failed'), isAmiss(outcome) ? 1 : 0)
  return { passed: count('passed'), failed, skipped: count('skipped') }
}

export function textOf({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** What is to be said of a file that failed. */
export function complaintOf(file, { cases, problem, output }) {
  const failed = cases.filter(({ state }) => state === 'failed')
  const amiss = problem ?? (failed.length > 0 ? `${failed.length} failed` : 'ran no test')
  const titles = failed.map(({ title, detail }) => `    ${title}\n${indent(detail)}`)
  return [`  FAILED  ${file}`, indent(amiss), ...titles, indent(output)].filter((text) => text.trim() !== '').join('\n')
}

export function indent(text) {
  const rows = text.trim().split('\n')
  const shown =
    rows.length > 80 ? [...rows.slice(0, 40), `… ${rows.length - 80} lines left out …`, ...rows.slice(-40)] : rows
  return shown.map((row) => `      ${row}`).join('\n')
}

/** Calls `work` with each item, `lanes` at a time. */
export async function inLanes(lanes, items, work) {
  const waiting = [...items]
  const lane = async () => {
    while (waiting.length > 0) await work(waiting.shift())
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/**
 * What is missing, by the reasons for which tests were skipped, "X is not installed: how to install it": as one line, or
 * undefined.
 */
export function missingOf(reasons) {
  const found = new Map()
  const packages = new Set()
  for (const reason of reasons) {
    const [, name, how] = /^(.+?) is not installed: (.*)$/.exec(reason) ?? []
    if (name === undefined) continue
    const [, names] = /^apt-get install ([-\w ]+)$/.exec(how) ?? []
    for (const one of names?.split(' ') ?? []) packages.add(one)
    const key = names === undefined ? how : ''
    found.set(key, new Set(found.get(key)).add(name))
  }
  if (found.size === 0) return undefined
  const parts = [...found].map(
    ([how, names]) => `${[...names].join(', ')} (${how === '' ? `apt-get install ${[...packages].join(' ')}` : how})`,
  )
  return `not installed: ${parts.join('; ')}`
}

/** The reasons that such a line is made of. */
export function reasonsIn(line) {
  return line
    .replace(/^\s*not installed: /, '')
    .split('; ')
    .flatMap((part) => {
      const [, names = '', how] = /^(.+) \((.+)\)$/.exec(part) ?? []
      return names.split(', ').map((name) => `${name} is not installed: ${how}`)
    })
}
