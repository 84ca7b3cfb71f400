/** The runtimes that are programs: each test file gets a process of its own, and writes a JUnit report, as all of them can. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Case, Outcome, Runtime, Settings } from './runtime.js'

interface Program {
  readonly name: string
  readonly command: string
  /** The arguments that run one test file and write the report. */
  readonly arguments: (file: string, report: string, settings: Settings) => string[]
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

const runNode: Program['arguments'] = (file, report, { collects }) => [
  // Mapped stack traces are kept in memory, which is no good where memory is measured.
  collects ? '--expose-gc' : '--enable-source-maps',
  '--test-reporter=junit',
  `--test-reporter-destination=${report}`,
  file,
]

const programs: readonly Program[] = [
  { name: 'this node', command: process.execPath, arguments: runNode },
  ...['22', '24', '26'].map((major) => ({
    name: `node ${major}`,
    command: binary(`node-${major}-${platform}`, 'bin', `node${executable}`),
    arguments: runNode,
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
  missing: `no package for ${platform}, or no network`,
  async version() {
    if (!existsSync(program.command)) return undefined
    const text = execFileSync(program.command, ['--version'], { encoding: 'utf8' })
    return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '?'
  },
  async run(file, settings) {
    const reports = mkdtempSync(join(tmpdir(), 'calloff-runtimes-'))
    const report = join(reports, 'report.xml')
    const { problem, output } = await execute(program, file, report, settings)
    const cases = existsSync(report) ? casesIn(readFileSync(report, 'utf8'), program) : []
    rmSync(reports, { recursive: true, force: true })
    return { cases, problem, output }
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

function execute(
  program: Program,
  file: string,
  report: string,
  settings: Settings,
): Promise<Pick<Outcome, 'problem' | 'output'>> {
  return new Promise((done) => {
    const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, FORCE_COLOR: _color, ...inherited } = process.env
    const env = { ...inherited, ...program.environment, NO_COLOR: '1' }
    const { timeout } = settings
    const options = { cwd: root, env, timeout, killSignal: 'SIGKILL', maxBuffer: 2 ** 26 } as const
    execFile(program.command, program.arguments(file, report, settings), options, (error, stdout, stderr) => {
      let problem: string | undefined
      if (error !== null) {
        problem = error.killed === true ? `did not end within ${timeout} ms` : `ended with code ${String(error.code)}`
      }
      done({ problem, output: `${stdout}\n${stderr}` })
    })
  })
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
