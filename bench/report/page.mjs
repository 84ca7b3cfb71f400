// The committed results as Markdown: docs/internals/benchmarks.md, and the table in README.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { short } from './tables.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const order = ['node20', 'node22', 'node24', 'node26', 'bun', 'deno']

/** The results of full runs, in the order of the runtimes. */
export function committed() {
  const folder = `${root}bench/results/`
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json')) : []
  return files
    .map((file) => JSON.parse(readFileSync(`${folder}${file}`, 'utf8')))
    .toSorted((a, b) => order.indexOf(a.runtime.key) - order.indexOf(b.runtime.key))
}

const nameOf = ({ runtime: { key, version } }) =>
  `${key.replace(/\d+$/, '').replace(/^./, (c) => c.toUpperCase())} ${version}`
const line = (cells) => `| ${cells.join(' | ')} |`
const tableOf = (head, rows) =>
  [line(head), line(head.map((_, at) => (at ? '---:' : '---'))), ...rows.map(line)].join('\n')

const where = ({ machine: { cpu, cores, memory, system }, date }) =>
  `${cpu}, ${cores} cores, ${memory}, ${system}, ${date}`

function targetsTable(all) {
  const works = all[0].targets.map(({ work, target }) => ({ work, target }))
  const cell = (results, { work, target }) => {
    const one = results.targets.find((each) => each.work === work && each.target === target)
    return one?.measured ? `${one.measured}${one.met ? '' : ' **✗**'}` : '–'
  }
  return tableOf(
    ['work', 'target', ...all.map(nameOf)],
    works.map((each) => [each.work, each.target].concat(all.map((results) => cell(results, each)))),
  )
}

/** One table of peers by runtimes; of each row the median, with the ratio to the last reference. */
function workTable(all, name) {
  const present = all.filter(({ tables }) => tables[name])
  const { title, unit } = present[0].tables[name]
  const peers = [...new Set(present.flatMap(({ tables }) => tables[name].rows.map(({ peer }) => peer)))]
  const rowOf = ({ tables }, peer) => tables[name]?.rows.find((row) => row.peer === peer)
  const middle = (peer) => {
    const values = present.map((one) => rowOf(one, peer)?.value).filter((value) => value !== undefined)
    return values.length
      ? values.reduce((sum, value) => sum + Math.log(Math.max(value, 0.01)), 0) / values.length
      : Infinity
  }
  const cell = (row) => {
    if (!row) return '–'
    return row.value === undefined ? (row.note ?? '–') : short(row.value)
  }
  const label = (peer) => (peer.startsWith('calloff') ? `**${peer}**` : peer)
  const rows = peers
    .toSorted((a, b) => middle(a) - middle(b))
    .map((peer) => [label(peer)].concat(all.map((results) => cell(rowOf(results, peer)))))
  return `### ${name}\n\n${title[0].toUpperCase()}${title.slice(1)}; ${unit === 'ns' ? 'nanoseconds' : unit} each.\n\n${tableOf(['', ...all.map(nameOf)], rows)}\n`
}

const plots = ['poll', 'create', 'listen', 'cancel', 'wait', 'leak', 'memory', 'remote']

const isDrawn = (file) => existsSync(`${root}bench/plots/${file}.svg`)

/** The table in short, slower rows included: at the top of the page. README shows those that are marked. */
const shown = [
  { what: 'poll a derived token', table: 'check-deep-1', isFirst: true },
  { what: 'poll a deadline (only calloff fires in a loop that never yields)', table: 'timeout-check', isFirst: true },
  { what: 'create a token', table: 'create' },
  { what: 'derive from one token', table: 'derive1', isFirst: true },
  { what: 'create a timeout', table: 'timeout-create' },
  { what: 'add and remove a listener', table: 'listen' },
  { what: 'the same, beside 1,000 others', table: 'listen-1000' },
  { what: 'cancel 100,000 listeners, each', table: 'fanout-listeners cancel' },
  { what: 'cancel 100,000 derived tokens with a listener, each', table: 'fanout-children cancel' },
  { what: 'race a promise on a long-lived token', table: 'race', isFirst: true },
  { what: 'first `signal` of a token', table: 'signal-root' },
  {
    what: 'memory that a dropped child leaves behind',
    table: 'leak a: derived, dropped',
    unit: 'bytes',
    isFirst: true,
  },
  { what: 'memory of a derived token', table: 'memory derived', unit: 'bytes' },
]

/** What is shown of the run that stands for all of them. */
const exampleOf = (all) => all.find(({ runtime }) => runtime.key === 'node24') ?? all[0]

function shortTable(results, rows) {
  const cells = rows.flatMap(({ what, table, unit = 'ns' }) => {
    const found = results.tables[table]?.rows.filter((row) => row.value !== undefined)
    if (!found) return []
    const figure = (row) =>
      row ? `${unit === 'bytes' ? Math.max(0, Math.round(row.value)) : short(row.value)} ${unit}` : '–'
    const others = found
      .filter(({ peer }) => !/^(native|calloff|floor)/.test(peer))
      .toSorted((a, b) => a.value - b.value)
    const best = others[0]
    return [
      [
        what,
        figure(found.find(({ peer }) => peer === 'native' || peer === 'native signal')),
        best ? `${figure(best)} (${best.peer})` : '–',
        `**${figure(found.find(({ peer }) => peer === 'calloff'))}**`,
      ],
    ]
  })
  return tableOf(['', 'AbortSignal', 'best other library', 'calloff'], cells)
}

/** docs/internals/benchmarks.md */
export function page(all = committed()) {
  const names = [...new Set(all.flatMap(({ tables }) => Object.keys(tables)))]
  const missed = all.map((one) => `${nameOf(one)}: ${one.targets.filter(({ met }) => met === false).length}`)
  return `# Benchmarks

Written by \`npm run bench\` from \`bench/results/\`. Each peer and group of cases ran in a process of its own, with the references
measured in turns in the same process; every figure is a median. The machine is shared with other work: trust ratios, not
nanoseconds, and nothing below 2 ns. What was done about these figures, and why some targets are missed: [performance](performance.md).

${all.map((one) => `- ${nameOf(one)}: ${where(one)}`).join('\n')}

## In short

${nameOf(exampleOf(all))}, lower is better; rows where calloff is slower are included.

${shortTable(exampleOf(all), shown)}

## Plots

${plots
  .filter(isDrawn)
  .map((file) => `![${file}](../../bench/plots/${file}.svg)`)
  .join('\n')}

## Targets

The targets of calloff, measured in the same run. ✗ is a target that was missed (${missed.join(', ')} of ${all[0].targets.length}).

${targetsTable(all)}

## All figures

${names.map((name) => workTable(all, name)).join('\n')}`
}

// ---- README ---------------------------------------------------------------------------------------------------------

/** The part of README between its marks. */
export function readmeTable(all = committed()) {
  const results = exampleOf(all)
  const rows = shown.filter(({ isFirst }) => isFirst)
  return `${shortTable(results, rows)}

${nameOf(results)}, ${where(results)}. On a shared machine: trust ratios. [All rows, runtimes and peers](docs/internals/benchmarks.md).`
}

const marks = /(<!-- bench: .*? -->\n\n)[^]*?(\n\n<!-- \/bench -->)/

/** README with its table brought up to date. */
export const withTable = (readme, all = committed()) =>
  readme.replace(marks, (_whole, before, after) => `${before}${readmeTable(all)}${after}`)

/** Writes both; gives their paths. */
export function writePages() {
  const all = committed()
  if (!all.length) return []
  writeFileSync(`${root}docs/internals/benchmarks.md`, page(all))
  const readme = readFileSync(`${root}README.md`, 'utf8')
  writeFileSync(`${root}README.md`, withTable(readme, all))
  return ['docs/internals/benchmarks.md', 'README.md']
}
