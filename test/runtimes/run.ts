/**
 * Runs the compiled behaviour suite, unchanged, on every runtime: the running Node, Node 22, 24 and 26, Bun and Deno.
 *
 * Each test file gets a process of its own, so that none disturbs another and one that hangs is named. What a runtime
 * ran is read from its JUnit report, which all of them write. One line per runtime, then the counts of all.
 *
 * `npm run test:runtimes -- [--only bun,deno] [part of a file name …]`
 */
import { execFile, execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

interface Runtime {
  readonly name: string
  readonly command: string
  /** The arguments that run one test file and write the report. */
  readonly run: (file: string, report: string) => string[]
  readonly environment?: NodeJS.ProcessEnv
  /** Its report also lists each `describe` as a test; the titles of its parts begin with its own. */
  readonly listsParents?: true
}

interface Counts {
  passed: number
  failed: number
  skipped: number
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = join(root, 'runtimes')
const suite = join('build', 'test', 'behaviour')
const timeout = 120_000
const lanes = 2
const isStrict = Boolean(process.env.CI) && process.env.CI !== 'false'

const runNode = (file: string, report: string): string[] => [
  '--enable-source-maps',
  '--test-reporter=junit',
  `--test-reporter-destination=${report}`,
  file,
]
const platform = `${process.platform}-${process.arch}`
const binary = (...path: string[]): string => join(folder, 'node_modules', ...path)
const executable = process.platform === 'win32' ? '.exe' : ''
const libc = process.platform === 'linux' ? '-glibc' : ''

const runtimes: readonly Runtime[] = [
  { name: 'this node', command: process.execPath, run: runNode },
  ...['22', '24', '26'].map((major) => ({
    name: `node ${major}`,
    command: binary(`node-${major}-${platform}`, 'bin', `node${executable}`),
    run: runNode,
  })),
  {
    name: 'bun',
    command: binary(
      '@oven',
      `bun-${platform.replace('arm64', 'aarch64').replace('win32', 'windows')}`,
      'bin',
      `bun${executable}`,
    ),
    run: (file, report) => [
      'test',
      `--timeout=${timeout}`,
      '--reporter=junit',
      `--reporter-outfile=${report}`,
      `./${file}`,
    ],
  },
  {
    name: 'deno',
    command: binary('@deno', `${platform}${libc}`, `deno${executable}`),
    run: (file, report) => [
      'test',
      '--allow-all',
      '--no-check',
      '--no-lock',
      '--quiet',
      `--junit-path=${report}`,
      file,
    ],
    environment: { DENO_NO_UPDATE_CHECK: '1', DENO_NO_PROMPT: '1' },
    listsParents: true,
  },
]

const { values, positionals } = parseArgs({ options: { only: { type: 'string' } }, allowPositionals: true })
const only = values.only?.split(',')
const wanted = runtimes.filter(({ name }) => only === undefined || only.some((part) => name.includes(part)))
const files = (
  existsSync(join(root, suite)) ? readdirSync(join(root, suite), { recursive: true, encoding: 'utf8' }) : []
)
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part.replace(/\.ts$/, '.js'))))
  .map((file) => join(suite, file).replaceAll('\\', '/'))
  .toSorted()

if (files.length === 0 || wanted.length === 0) {
  console.error('calloff: no behaviour test or no runtime matches.')
  process.exit(1)
}

if (wanted.some(({ command }) => !existsSync(command))) install()
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
let first: Counts | undefined
for (const runtime of wanted) {
  const counts = await runAll(runtime, first)
  first ??= counts
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}
const line = `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`
if (process.env.CALLOFF_COUNTS !== undefined) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
console.log(line)
process.exitCode = total.failed === 0 ? 0 : 1

/** Puts the runtimes where they belong. What cannot be installed shows up as missing. */
function install(): void {
  console.log('installing the runtimes (about 800 MB, in a folder of their own) …')
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      shell: process.platform === 'win32',
    })
  } catch (error) {
    const { stderr = String(error) } = error as { stderr?: string }
    console.error(`the runtimes could not be installed:\n${indent(stderr.split('\n').slice(0, 8).join('\n'))}`)
  }
}

async function runAll(runtime: Runtime, reference: Counts | undefined): Promise<Counts> {
  const start = performance.now()
  const name = runtime.name.padEnd(10)
  if (!existsSync(runtime.command)) {
    console.log(
      `${isStrict ? 'FAILED ' : 'skipped'}  ${name} is not installed (no package for ${platform}, or no network)`,
    )
    return { passed: 0, failed: isStrict ? 1 : 0, skipped: isStrict ? 0 : 1 }
  }
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 }
  const skips: Case[] = []
  const complaints: string[] = []
  const reports = mkdtempSync(join(tmpdir(), 'calloff-runtimes-'))
  mkdirSync(reports, { recursive: true })
  const waiting = [...files]
  const lane = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const report = join(reports, `${basename(file)}-${waiting.length}.xml`)
      const { problem, output } = await execute(runtime, file, report)
      const cases = existsSync(report) ? casesIn(readFileSync(report, 'utf8'), runtime) : []
      const skipped = cases.filter(({ state }) => state === 'skipped')
      const failed = cases.filter(({ state }) => state === 'failed')
      counts.passed += cases.filter(({ state }) => state === 'passed').length
      counts.skipped += skipped.length
      skips.push(...skipped)
      // A file may fail outside of its tests: it does not load, it never ends, something is thrown later.
      const amiss = failed.length === 0 ? (problem ?? (cases.length === 0 ? 'ran no test' : undefined)) : undefined
      counts.failed += failed.length + (amiss === undefined ? 0 : 1)
      if (failed.length === 0 && amiss === undefined) continue
      const titles = failed.map(({ title, detail }) => `    ${title}\n${indent(detail)}`)
      complaints.push([`  ${file}: ${amiss ?? `${failed.length} failed`}`, ...titles, indent(output)].join('\n'))
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  rmSync(reports, { recursive: true, force: true })
  // A runtime that silently leaves tests out would look fine.
  const ran = counts.passed + counts.failed + counts.skipped
  const due = reference === undefined ? ran : reference.passed + reference.failed + reference.skipped
  if (ran !== due && complaints.length === 0) {
    counts.failed++
    complaints.push(`  it counted ${ran} tests where the first runtime counted ${due}`)
  }
  const took = `${((performance.now() - start) / 1000).toFixed(1)} s`
  const summary = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
  console.log(
    `${counts.failed === 0 ? 'ok     ' : 'FAILED '}  ${name} ${versionOf(runtime).padEnd(9)} ${summary}  (${took})`,
  )
  for (const { title, detail } of skips)
    console.log(`           skipped: ${title}${detail === '' ? '' : ` (${detail})`}`)
  for (const complaint of complaints) console.log(complaint)
  return counts
}

function execute(
  runtime: Runtime,
  file: string,
  report: string,
): Promise<{ problem: string | undefined; output: string }> {
  return new Promise((done) => {
    const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, FORCE_COLOR: _color, ...inherited } = process.env
    const env = { ...inherited, ...runtime.environment, NO_COLOR: '1' }
    const settings = { cwd: root, env, timeout, killSignal: 'SIGKILL', maxBuffer: 2 ** 26 } as const
    execFile(runtime.command, runtime.run(file, report), settings, (error, stdout, stderr) => {
      let problem: string | undefined
      if (error !== null) {
        problem = error.killed === true ? `did not end within ${timeout} ms` : `ended with code ${String(error.code)}`
      }
      done({ problem, output: `${stdout}\n${stderr}` })
    })
  })
}

interface Case {
  readonly title: string
  readonly state: 'passed' | 'failed' | 'skipped'
  readonly detail: string
}

/** Reads a JUnit report, as much of it as all runtimes have in common. */
function casesIn(report: string, runtime: Runtime): Case[] {
  const found: Case[] = []
  for (const [, attributes = '', inner = ''] of report.matchAll(
    /<testcase\b((?:[^>"]|"[^"]*")*?)(?:\/>|>([^]*?)<\/testcase>)/g,
  )) {
    const title = unescape(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? '?')
    let state: Case['state'] = 'passed'
    if (/<(failure|error)\b/.test(inner)) state = 'failed'
    else if (/<skipped\b/.test(inner)) state = 'skipped'
    const detail =
      /<failure\b[^>]*>([^]*?)<\/failure>/.exec(inner)?.[1] ?? /<skipped\b[^>]*message="([^"]*)"/.exec(inner)?.[1] ?? ''
    found.push({ title, state, detail: unescape(detail) })
  }
  if (runtime.listsParents !== true) return found
  const parents = new Set(found.map(({ title }) => title).flatMap(prefixes))
  return found.filter(({ title }) => !parents.has(title))
}

/** `a > b > c` lies in `a` and in `a > b`. */
function prefixes(title: string): string[] {
  const steps = title.split(' > ')
  return steps.slice(1).map((_, at) => steps.slice(0, at + 1).join(' > '))
}

function unescape(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&', '#10': '\n' }
  return text.replaceAll(/&(lt|gt|quot|apos|amp|#10);/g, (_, name: string) => entities[name] ?? '')
}

function versionOf(runtime: Runtime): string {
  const text = execFileSync(runtime.command, ['--version'], { encoding: 'utf8' })
  return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '?'
}

function indent(text: string): string {
  const rows = text.trim().split('\n')
  const shown =
    rows.length > 80 ? [...rows.slice(0, 40), `… ${rows.length - 80} lines left out …`, ...rows.slice(-40)] : rows
  return shown.map((row) => `      ${row}`).join('\n')
}
