// Runs one suite of compiled tests: node scripts/suite.mjs <suite> [part of a file name …]
// One line for each file that failed, what was skipped and why, then the counts. With CALLOFF_TIMES=1, how long each file took.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.mjs'
import { ensureFolder, ensureInstalled, root } from './installed.mjs'
import {
  complaintOf,
  countsOf,
  inLanes,
  isAmiss,
  isFull,
  isStrict,
  LIMIT,
  missingOf,
  runNodeFile,
  textOf,
} from './runner.mjs'

const apart = new Set(['docs', 'leaks', 'package', 'browser', 'site'])
/** What needs no server, no other program and no terminal. */
const unit = /^(behaviour|core|lifetime|model|property|testing|two-copies)\/|^node\/(ambient|async-context)\./
const isUnit = (file) => unit.test(file)
/** Servers, processes and terminals. */
const isIntegration = (file) => !isUnit(file) && !apart.has(file.split('/')[0])
/** What takes long even with little effort. Of the servers of others, Redis alone is left to try. */
const long = /\/soak\/|^cluster\/|^remote\/(runtimes\.|nats\/(?!keys)|postgres\/|redis\/(engine|adapter)\.)/
/** It is run with full effort, or where it is named. */
const isLong = (file) => long.test(file)
const cores = Math.max(2, availableParallelism())
const soak = Number(process.env.CALLOFF_SOAK ?? 60)
const suites = {
  unit: { pick: isUnit },
  // The core has a part for hubs, too.
  coverage: {
    pick: (file) => isUnit(file) || (file.startsWith('remote/') && file.endsWith('/hub.test.js')),
    isMeasured: true,
  },
  // These wait more than they work. With more files at a time, leases run out for want of time.
  integration: { pick: isIntegration, lanes: cores + 1 },
  docs: { pick: (file) => file.startsWith('docs/'), limit: 3 * LIMIT },
  // Mapped stack traces are kept in memory, which is no good where memory is measured.
  leaks: { pick: (file) => file.startsWith('leaks/'), flags: ['--expose-gc'], limit: 3 * LIMIT },
  // A compiler for each of many settings, and a program for each block, in few files.
  package: { pick: (file) => file.startsWith('package/'), limit: 3 * LIMIT },
  clients: { prepare: prepareClients, flags: [] },
  site: { pick: (file) => file.startsWith('site/'), prepare: prepareSite, limit: 3 * LIMIT },
  soak: {
    pick: (file) => file.includes('/soak/') || file.startsWith('cluster/'),
    env: { CALLOFF_SOAK: String(soak) },
    limit: LIMIT + soak * 2_000,
  },
}

/**
 * The compiled test files of a suite whose path has one of the given parts in it; without parts all that are run with the effort
 * that is set. A part that fits no file of the suite is looked for among the unit and the integration tests.
 */
export function filesOf(suite, parts = []) {
  if (suite === 'clients') {
    const files = readdirSync(`${root}/test/clients`).filter((file) => file.endsWith('.test.mjs'))
    return files.map((file) => `test/clients/${file}`).filter((file) => isNamed(file, parts))
  }
  const all = existsSync(`${root}/build/test`) ? readdirSync(`${root}/build/test`, { recursive: true }) : []
  const files = all.map((file) => file.replaceAll('\\', '/')).filter((file) => file.endsWith('.test.js'))
  const own = files.filter(suites[suite].pick)
  const found =
    parts.length === 0
      ? own.filter((file) => suite === 'soak' || isFull || !isLong(file))
      : parts.flatMap((part) => {
          const named = own.filter((file) => isNamed(file, [part]))
          return named.length > 0 ? named : files.filter((file) => isTested(file) && isNamed(file, [part]))
        })
  return [...new Set(found)].map((file) => `build/test/${file}`).toSorted()
}

const isTested = (file) => isUnit(file) || isIntegration(file)
const isNamed = (file, parts) =>
  parts.length === 0 || parts.some((part) => file.includes(part.replace(/\.ts$/, '.js').replace(/^test\//, '')))

/** Puts the clients in a folder of their own, and calloff beside them, as it was built. */
function prepareClients() {
  const folder = `${root}/test/clients`
  ensureFolder(folder, 'the clients (200 MB)')
  const calloff = `${folder}/node_modules/calloff`
  mkdirSync(calloff, { recursive: true })
  copyFileSync(`${root}/package.json`, `${calloff}/package.json`)
  // Not a link to all of the project, in which a walk through the folders would go round in circles.
  if (!existsSync(`${calloff}/dist`)) symlinkSync(`${root}/dist`, `${calloff}/dist`, 'junction')
}

/** Builds the site as `npm run docs` does. */
function prepareSite() {
  const { status } = spawnSync(process.execPath, ['scripts/docs.mjs'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('the site could not be built')
}

/** Runs the suite on what is built. Resolves with its exit code. */
export async function runSuite(suite, parts = []) {
  const files = filesOf(suite, parts)
  if (files.length === 0) {
    console.error(`calloff: no test file of the suite "${suite}" matches ${parts.join(', ') || 'anything'}.`)
    return 1
  }
  const { lanes = cores, flags = ['--enable-source-maps'], env = {}, limit, isMeasured, prepare } = suites[suite]
  prepare?.()
  const coverage = isMeasured ? mkdtempSync(join(tmpdir(), 'calloff-coverage-')) : undefined
  const total = { passed: 0, failed: 0, skipped: 0 }
  const skips = []
  const complaints = []
  const times = []
  await inLanes(lanes, files, async (file) => {
    const start = performance.now()
    const outcome = await runNodeFile(process.execPath, flags, file, {
      limit,
      env: { ...env, ...(coverage === undefined ? {} : { NODE_V8_COVERAGE: coverage }) },
      // What one file prints is shown as it comes, what several print only where one of them fails.
      onText: files.length === 1 ? (text) => process.stdout.write(text) : undefined,
    })
    times.push([(performance.now() - start) / 1_000, file])
    const counts = countsOf(outcome)
    for (const key of Object.keys(total)) total[key] += counts[key]
    skips.push(...outcome.cases.filter(({ state }) => state === 'skipped'))
    if (!isAmiss(outcome)) return
    complaints.push(complaintOf(file, files.length === 1 ? { ...outcome, output: '' } : outcome))
    console.log(complaints.at(-1))
  })
  if (process.env.CALLOFF_TIMES) {
    const slowest = times.toSorted(([one], [other]) => other - one)
    console.log(slowest.map(([seconds, file]) => `${seconds.toFixed(1).padStart(8)} s  ${file}`).join('\n'))
  }
  const missing = missingOf(skips.map(({ detail }) => detail))
  for (const { title, detail } of skips) {
    if (missingOf([detail]) === undefined) console.log(`  skipped  ${title}${detail === '' ? '' : ` (${detail})`}`)
  }
  if (missing !== undefined) console.log(`  ${missing}`)
  if (missing !== undefined && isStrict) {
    console.log('  FAILED  in CI nothing may be missing')
    total.failed++
  }
  if (complaints.length > 1)
    console.log(`\nFiles that failed:\n${complaints.map((text) => text.split('\n', 1)).join('\n')}`)
  if (coverage !== undefined) {
    if (total.failed === 0 && parts.length === 0 && !report(coverage)) total.failed++
    rmSync(coverage, { recursive: true, force: true })
  }
  console.log(textOf(total))
  return total.failed === 0 ? 0 : 1
}

/** Reports what was covered. False where that is not enough. */
function report(coverage) {
  const c8 = ['node_modules/c8/bin/c8.js', 'report', '--temp-directory', coverage]
  return spawnSync(process.execPath, c8, { cwd: root, stdio: 'inherit' }).status === 0
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
  const code = await runSuite(suite, parts)
  process.exitCode = isSound ? code : 1
}
