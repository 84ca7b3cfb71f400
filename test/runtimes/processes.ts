/** The runtimes that are programs: each test file gets a process of its own. Bun and Deno write a JUnit report. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runFile, runNodeFile } from './runner.js'
import type { Case, Runtime, Settings } from './runtime.js'

interface Program {
  readonly name: string
  readonly command: string
  /** The arguments that run one test file and write the report; none for Node, which the runner of all suites runs. */
  readonly arguments?: (file: string, report: string, settings: Settings) => string[]
  readonly environment?: NodeJS.ProcessEnv
  /** Its report also lists each `describe` as a test; the titles of its parts begin with its own. */
  readonly listsParents?: true
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = join(root, 'runtimes')
const platform = `${process.platform}-${process.arch}`
const binary = (...path: string[]): string => join(folder, 'node_modules', ...path)
const executable = process.platform === 'win32' ? '.exe' : ''
const libc = process.platform === 'linux' ? '-glibc' : ''

const programs: readonly Program[] = [
  { name: 'this node', command: process.execPath },
  ...['22', '24', '26'].map((major) => ({
    name: `node ${major}`,
    command: binary(`node-${major}-${platform}`, 'bin', `node${executable}`),
  })),
  {
    name: 'bun',
    command: binary(
      '@oven',
      `bun-${platform.replace('arm64', 'aarch64').replace('win32', 'windows')}`,
      'bin',
      `bun${executable}`,
    ),
    arguments: (file, report, { timeout }) => [
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
    arguments: (file, report, { collects }) => [
      'test',
      '--allow-all',
      '--no-check',
      '--no-lock',
      '--quiet',
      ...(collects ? ['--v8-flags=--expose-gc'] : []),
      `--junit-path=${report}`,
      file,
    ],
    environment: { DENO_NO_UPDATE_CHECK: '1', DENO_NO_PROMPT: '1' },
    listsParents: true,
  },
]

export const processes: readonly Runtime[] = programs.map((program) => ({
  name: program.name,
  missing: 'npm ci --prefix runtimes',
  async version() {
    if (!existsSync(program.command)) return undefined
    const text = execFileSync(program.command, ['--version'], { encoding: 'utf8' })
    return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '?'
  },
  async run(file, settings) {
    const { collects, timeout: limit } = settings
    if (program.arguments === undefined) {
      // Mapped stack traces are kept in memory, which is no good where memory is measured.
      return runNodeFile(program.command, [collects ? '--expose-gc' : '--enable-source-maps'], file, { limit })
    }
    const reports = mkdtempSync(join(tmpdir(), 'calloff-runtimes-'))
    try {
      const report = join(reports, 'report.xml')
      const { arguments: argumentsOf, command, environment } = program
      const { problem, output } = await runFile(command, argumentsOf(file, report, settings), {
        limit,
        env: { NO_COLOR: '1', ...environment },
      })
      const cases = existsSync(report) ? casesIn(readFileSync(report, 'utf8'), program) : []
      return { cases, problem, output }
    } finally {
      rmSync(reports, { recursive: true, force: true })
    }
  },
}))

/** Puts these runtimes where they belong. What cannot be installed shows up as missing; returns why. */
export function install(): string | undefined {
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      shell: process.platform === 'win32',
    })
    return undefined
  } catch (error) {
    const { stderr = String(error) } = error as { stderr?: string }
    return stderr.split('\n').slice(0, 8).join('\n')
  }
}

/** Reads a JUnit report, as much of it as all runtimes have in common. */
function casesIn(report: string, program: Program): Case[] {
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
  if (program.listsParents !== true) return found
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
