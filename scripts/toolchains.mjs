// Tries the bundlers, test runners and compilers of `toolchains/` on the packed package: node scripts/toolchains.mjs
//   --quick           only those that are fit for CI: they take two minutes
//   --only esbuild,…  only those whose name has one of these in it
//   --record          writes what came out into docs/reference/toolchains.md
// CALLOFF_KEEP=1 leaves the projects where they are.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'
import { runTree } from './tree.mjs'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, record: { type: 'boolean' }, only: { type: 'string' } },
})
ensureInstalled()
if (!build({ ifStale: true, only: ['library'] })) process.exit(1)

if (!existsSync(`${root}/toolchains/node_modules/.package-lock.json`)) {
  console.log('calloff: installing the tools of toolchains/ …')
  const { code, output } = await runTree('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: `${root}/toolchains`,
    shell: process.platform === 'win32',
  })
  if (code !== 0) console.log(`calloff: they could not be installed, and are skipped:\n${output.slice(-2_000)}`)
}

// Only now: it needs what may have been installed just before.
const { bundlers } = await import('../test/toolchains/bundlers.mjs')
const { compilers } = await import('../test/toolchains/compilers.mjs')
const { runners } = await import('../test/toolchains/runners.mjs')
const { closeBrowser, pack, place, Skip, versionOf } = await import('../test/toolchains/kit.mjs')

const wanted = values.only?.toLowerCase().split(',')
const chosen = [...bundlers, ...runners, ...compilers].filter(
  ({ name, quick }) =>
    (!values.quick || quick) && (wanted === undefined || wanted.some((part) => name.toLowerCase().includes(part))),
)
if (chosen.length === 0) {
  console.error(`calloff: there is no tool chain "${values.only}".`)
  process.exit(1)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const rows = []
const begin = performance.now()

async function tryOne({ name, package: what, checks }) {
  let version = ''
  let reason
  try {
    version = typeof what === 'function' ? what() : versionOf(what)
  } catch (error) {
    if (!(error instanceof Skip)) throw error
    reason = error
  }
  const results = []
  for (const [title, check] of Object.entries(checks)) {
    const start = performance.now()
    let state = 'passed'
    let note
    try {
      if (reason !== undefined) throw reason
      note = await check()
    } catch (error) {
      state = error instanceof Skip ? 'skipped' : 'failed'
      note = error instanceof Skip ? error.message : undefined
      if (state === 'failed') console.log(error?.stack ?? error)
    }
    total[state]++
    results.push({ title, state, note })
    const time = `${((performance.now() - start) / 1000).toFixed(1)} s`
    console.log(
      `${state.padEnd(8)}${`${name} ${version}`.trim()}: ${title}${note === undefined ? '' : ` (${note})`}  ${time}`,
    )
  }
  rows.push({ name, version, results })
}

console.log(`calloff: packing, and trying ${chosen.length} tool chains in ${place} …`)
pack()
// Two at a time: a tool waits as much as it works.
const waiting = [...chosen]
const lane = async () => {
  while (waiting.length > 0) await tryOne(waiting.shift())
}
try {
  await Promise.all([lane(), lane()])
} finally {
  await closeBrowser()
}

const line = `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`
if (values.record) record()
if (process.env.CALLOFF_COUNTS) appendFileSync(process.env.CALLOFF_COUNTS, `${line}\n`)
console.log(`\n${((performance.now() - begin) / 1000).toFixed(0)} s\n${line}`)
process.exitCode = total.failed > 0 ? 1 : 0

function cell({ title, state, note }) {
  return `${state === 'passed' ? title : `**${state}**: ${title}`}${note === undefined ? '' : ` (${note})`}`
}

/** The table of docs/reference/toolchains.md, between its two marks. */
function record() {
  const path = `${root}/docs/reference/toolchains.md`
  const page = readFileSync(path, 'utf8')
  const tried = chosen.map(({ name }) => rows.find((row) => row.name === name))
  const table = [
    '| tool | version | what was built and run |',
    '| --- | --- | --- |',
    ...tried.map(({ name, version, results }) => `| ${name} | ${version} | ${results.map(cell).join('; ')} |`),
    '',
    `Tried on ${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${process.platform}: ${line}.`,
  ]
  const [start, end] = ['<!-- results -->\n', '<!-- end of results -->']
  const head = page.slice(0, page.indexOf(start) + start.length)
  writeFileSync(path, `${head}${table.join('\n')}\n${page.slice(page.indexOf(end))}`)
}
