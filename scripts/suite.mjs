// Runs one suite of compiled tests: node scripts/suite.mjs <suite> [part of a file name …]
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'

const apart = new Set(['docs', 'leaks', 'package', 'pages'])
// The core, and of what is around it that which the core has a part for: measured for coverage.
const core = /^(behaviour|copies|core|process|property|testing)\/|^node\/(ambient|async-context)\.|^remote\/hub\./
const isUnit = (file) => !apart.has(file.split('/')[0])
const suites = {
  unit: { pick: isUnit },
  coverage: { pick: (file) => core.test(file), command: ['node_modules/c8/bin/c8.js', process.execPath] },
  // Real servers, processes and terminals wait more than they work, and are at the mercy of the machine.
  around: { pick: (file) => isUnit(file) && !core.test(file), flags: ['--test-concurrency=3'], again: true },
  docs: { pick: (file) => file.startsWith('docs/') },
  leaks: { pick: (file) => file.startsWith('leaks/'), flags: ['--expose-gc'], again: true },
  package: { pick: (file) => file.startsWith('package/') },
  soak: { pick: (file) => file.includes('/soak/'), env: { CALLOFF_SOAK: '60' } },
}

/** The compiled test files of a suite whose path has one of the given parts in it (all of them if none is given). */
function filesOf(suite, parts) {
  const found = existsSync(`${root}/build/test`) ? readdirSync(`${root}/build/test`, { recursive: true }) : []
  return found
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.test.js') && suites[suite].pick(file))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part.replace(/\.ts$/, '.js'))))
    .map((file) => `build/test/${file}`)
    .toSorted()
}

/** Runs the suite on what is built. Returns its exit code. */
export function runSuite(suite, parts = []) {
  const files = filesOf(suite, parts)
  if (files.length === 0) {
    console.error(`calloff: no test file of the suite "${suite}" matches ${parts.join(', ') || 'anything'}.`)
    return 1
  }
  const { command = [], flags = [], env, again } = suites[suite]
  // Mapped stack traces are kept in memory, which is no good where memory is measured.
  const maps = suite === 'leaks' ? [] : ['--enable-source-maps']
  const folder = mkdtempSync(join(tmpdir(), 'calloff-suite-'))
  const list = join(folder, 'failures')
  const reporters = [
    ['./scripts/report.mjs', 'stdout'],
    ['./scripts/failures.mjs', list],
  ].flatMap(([reporter, destination]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${destination}`])
  const start = (files, options, ...more) => {
    const args = [...command, ...flags, ...maps, ...more, '--test', ...options, ...files]
    return (
      spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...env, ...process.env } }).status ?? 1
    )
  }
  try {
    const code = start(files, reporters)
    if (code === 0 || !again || !existsSync(list)) return code
    const failures = readFileSync(list, 'utf8')
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    return runAgain(failures, (file) => start([file], reporters.slice(0, 2), '--test-concurrency=1')) ? 0 : code
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The file that was run, where the failure names its source. */
function compiled({ file = '' }) {
  return relative(root, file)
    .replaceAll('\\', '/')
    .replace(/^(test\/.*)\.ts$/, 'build/$1.js')
}

/** More files than this are no accident. */
const FEW = 3

/**
 * Runs each file that has failed once more, by itself. True if all pass then, which is told: each of these is a bug of a test
 * or of ours, to be mended.
 */
function runAgain(failures, start) {
  const files = [...new Set(failures.map(compiled))]
  if (files.length === 0 || files.length > FEW || !files.every((file) => existsSync(join(root, file)))) return false
  const said = []
  for (const file of files) {
    console.log(`\nonce more, by itself: ${file}`)
    if (start(file) !== 0) return false
    const texts = failures
      .filter((one) => compiled(one) === file)
      .map(({ text }) => text.replaceAll(/^/gm, ' '.repeat(11)))
    said.push(`  FLAKY    ${file} has failed, and passes by itself:\n${texts.join('\n')}`)
  }
  console.log(`\n${said.join('\n')}`)
  return true
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [suite, ...parts] = process.argv.slice(2)
  if (!Object.hasOwn(suites, suite)) {
    console.error(`calloff: there is no suite "${suite}"; there are ${Object.keys(suites).join(', ')}.`)
    process.exit(1)
  }
  ensureInstalled()
  // A type error elsewhere does not keep a test from telling its own story, only from passing.
  const isSound = build({ ifStale: true })
  const code = runSuite(suite, parts)
  process.exitCode = isSound ? code : 1
}
