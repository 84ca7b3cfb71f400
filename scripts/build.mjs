// Builds the library (src -> dist) and the command line (dist/cli -> dist/bin), then the tests and examples (-> build).
// With --if-stale it does nothing where no source has changed since the last build, with --library only the first.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { announce, ensureInstalled, root } from './installed.mjs'

/** The two parts that are built, one upon the other. */
const parts = {
  library: {
    name: 'the library',
    project: 'tsconfig.build.json',
    sources: ['src'],
    results: ['dist'],
    stamp: 'build/library.stamp',
    finish: () => declareGlobals() && bundleCommandLine(),
  },
  tests: {
    name: 'the tests and examples',
    project: 'tsconfig.test.json',
    sources: ['src', 'test', 'examples'],
    results: ['build/test', 'build/examples', 'build/docs'],
    stamp: 'build/tests.stamp',
  },
}

function fingerprint({ project, sources }) {
  const hash = createHash('sha1')
  const add = (path) => {
    const { mtimeMs, size } = statSync(`${root}/${path}`, { throwIfNoEntry: false }) ?? { mtimeMs: 0, size: 0 }
    hash.update(`${path}:${mtimeMs}:${size}\n`)
  }
  for (const config of ['package.json', 'tsconfig.base.json', project]) add(config)
  for (const folder of sources) {
    for (const path of filesIn(folder).toSorted()) {
      if (/\.[cm]?ts$/.test(path)) add(path)
    }
  }
  return hash.digest('hex')
}

/** All files of a folder, without what is installed in it, which may be much, and link back to here. */
function filesIn(folder) {
  if (!existsSync(`${root}/${folder}`)) return []
  return readdirSync(`${root}/${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (!entry.isDirectory()) return [path]
    return entry.name === 'node_modules' ? [] : filesIn(path)
  })
}

/** A stamp is written only by a build without errors, and taken away first by the next one. */
function isFresh(part) {
  const { stamp, results } = part
  if (!existsSync(`${root}/${stamp}`) || !existsSync(`${root}/${results[0]}`)) return false
  return readFileSync(`${root}/${stamp}`, 'utf8') === fingerprint(part)
}

/**
 * The command line as few files: 50 modules, read one by one, would take longer than all the rest of its start. What a command
 * does is in files of its own, read when it is called. See docs/internals/decisions/cli-libraries.md.
 */
export function bundleCommandLine(dist = `${root}/dist`) {
  // Not at the head of this file, which also runs where nothing is installed yet.
  const { buildSync } = createRequire(import.meta.url)('esbuild')
  const { errors } = buildSync({
    absWorkingDir: root,
    entryPoints: { calloff: `${dist}/cli/bin.js`, guard: `${dist}/cli/child/guard.js` },
    outdir: `${dist}/bin`,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    chunkNames: '[name]-[hash]',
    legalComments: 'none',
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: 'warning',
    // Async contexts are for the programs of others.
    logOverride: { 'ignored-bare-import': 'silent' },
  })
  chmodSync(`${dist}/bin/calloff.js`, 0o755)
  return errors.length === 0
}

/**
 * Adds empty declarations to the built ones, so that these compile where neither the types of the DOM nor those of Node are loaded.
 * They merge with the real ones where these are loaded. They are not in the sources, since JSR refuses sources that declare globals.
 */
function declareGlobals(file = `${root}/dist/core/graph.d.ts`) {
  const names = ['AbortSignal', 'AbortController', 'URL']
  appendFileSync(file, `\ndeclare global {\n${names.map((name) => `    interface ${name} {\n    }\n`).join('')}}\n`)
  return true
}

/**
 * Runs a compiler of node_modules on one project file. Returns true if it reports no error. The native compiler writes the same
 * files as the other one, in a fifth of the time.
 */
export function compile(project, { compiler = 'typescript-7', noEmit = false } = {}) {
  const flags = process.stdout.isTTY ? ['--pretty'] : []
  if (noEmit) flags.push('--noEmit')
  const tsc = `${root}/node_modules/${compiler}/bin/tsc`
  const { status } = spawnSync(process.execPath, [tsc, '-p', project, ...flags], { cwd: root, stdio: 'inherit' })
  return status === 0
}

function buildPart(part, ifStale) {
  if (ifStale && isFresh(part)) return true
  announce(`building ${part.name}`)
  // Taken before compiling: a file saved meanwhile makes the build stale again.
  const now = fingerprint(part)
  for (const old of [part.stamp, ...part.results]) rmSync(`${root}/${old}`, { recursive: true, force: true })
  if (!compile(part.project)) return false
  if (part.finish && !part.finish()) return false
  mkdirSync(`${root}/build`, { recursive: true })
  writeFileSync(`${root}/${part.stamp}`, now)
  return true
}

/**
 * A folder for each sub-path that package.json exports, with where to go on from there: for what does not read `exports`, such as
 * Parcel, and TypeScript with `moduleResolution: node10`. They are published, and not checked in.
 */
function writeFallbacks() {
  const { exports } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  for (const [path, { types, default: main }] of Object.entries(exports)) {
    if (path === '.' || main === undefined) continue
    const up = path.slice(2).replaceAll(/[^/]+/g, '..')
    const stub = { main: main.replace('.', up), module: main.replace('.', up), types: types.replace('.', up) }
    mkdirSync(`${root}/${path}`, { recursive: true })
    writeFileSync(`${root}/${path}/package.json`, `${JSON.stringify(stub, null, 2)}\n`)
  }
}

/** Builds what is asked for. Returns true if nothing was wrong; with type errors the JavaScript is there all the same. */
export function build({ ifStale = false, only = Object.keys(parts) } = {}) {
  let ok = true
  for (const name of only) ok = buildPart(parts[name], ifStale) && ok
  writeFallbacks()
  return ok
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  ensureInstalled()
  const only = process.argv.includes('--library') ? ['library'] : undefined
  if (!build({ ifStale: process.argv.includes('--if-stale'), only })) process.exitCode = 1
}
