// Draws the results as SVG: for each topic one dot for each peer and runtime, on a logarithmic scale.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { folder } from './results.mjs'

/** One plot each; of every table a panel. */
const topics = [
  {
    file: 'poll',
    title: 'Polling a live token',
    tables: ['check', 'check-deep-1', 'check-deep-1000', 'timeout-check'],
  },
  { file: 'create', title: 'Making tokens', tables: ['create', 'derive1', 'derive2', 'timeout-create'] },
  { file: 'listen', title: 'Adding and removing a listener', tables: ['listen', 'listen-1000'] },
  {
    file: 'cancel',
    title: 'Cancelling 100,000 at once, per one',
    tables: ['fanout-listeners cancel', 'fanout-children cancel'],
  },
  { file: 'wait', title: 'Racing on a long-lived token, calling off a sleep', tables: ['race', 'delay-cancel'] },
  {
    file: 'leak',
    title: 'Bytes left behind on a parent that lives, per operation',
    tables: ['leak a: derived, dropped', 'leak b: listener added, removed', 'leak race, done'],
    least: 1,
  },
  {
    file: 'threads',
    title: 'Polling a token in shared memory, and reaching another thread',
    tables: ['threads-poll', 'threads-deadline', 'threads-busy', 'threads-wait', 'threads-wait-sync'],
  },
  {
    file: 'remote',
    title: 'Calling off in another process, storing it, telling a thousand',
    tables: [
      'remote-latency',
      'remote-latency-asleep',
      'remote-stored',
      'remote-cancel',
      'remote-fanout',
      'remote-fanout-hubs',
    ],
  },
  {
    file: 'memory',
    title: 'Bytes of one token',
    tables: ['memory bare', 'memory derived', 'memory token with a listener', 'memory timeout, live'],
  },
]

const order = ['node20', 'node22', 'node24', 'node26', 'bun', 'deno']
const colours = {
  node20: '#b7d99a',
  node22: '#8cc665',
  node24: '#44a340',
  node26: '#1e6823',
  bun: '#e0762f',
  deno: '#4a6fe3',
}
const nameOf = ({ key, version }) => `${key.replace(/\d+$/, '')} ${version}`
const svgNamespace = 'http://www.w3.org/2000/svg'

function read(place) {
  const path = `${folder}results/${place}`
  const files = existsSync(path) ? readdirSync(path).filter((file) => file.endsWith('.json')) : []
  return files
    .map((file) => JSON.parse(readFileSync(`${path}/${file}`, 'utf8')))
    .toSorted((a, b) => order.indexOf(a.runtime.key) - order.indexOf(b.runtime.key))
}

/** One dot for each row that has a value. */
function dotsOf(results, { tables, least = 0 }) {
  return results.flatMap(({ runtime, tables: measured }) =>
    tables.flatMap((table) =>
      (measured[table]?.rows ?? [])
        .filter((row) => row.value !== undefined)
        .map((row) => ({ table, runtime: runtime.key, peer: row.peer, value: Math.max(least, row.value) })),
    ),
  )
}

function panel(document, dots, table, { x, unit, isLast, title }) {
  const own = dots.filter((dot) => dot.table === table)
  return Plot.plot({
    document,
    width: 860,
    height: 64 + 20 * new Set(own.map((dot) => dot.peer)).size,
    marginLeft: 210,
    marginRight: 30,
    marginTop: 30,
    marginBottom: 34,
    style: { background: 'none', color: '#24292f', fontSize: '12px', fontFamily: 'system-ui, sans-serif' },
    x: { type: 'log', domain: x, grid: true, label: isLast ? `${unit}, fewer is better →` : null, tickFormat: '~s' },
    y: { label: null, domain: peersOf(own) },
    marks: [
      Plot.text([title], { frameAnchor: 'top-left', dy: -22, dx: 0, text: (it) => it, fontWeight: 'bold' }),
      Plot.ruleY(own.filter(isOurs), { y: 'peer', stroke: '#fff3c4', strokeWidth: 18 }),
      Plot.dot(own, {
        x: 'value',
        y: 'peer',
        fill: (dot) => colours[dot.runtime],
        r: 5,
        stroke: '#24292f',
        strokeWidth: 0.5,
      }),
    ],
  })
}

/** What was done; the name of the part, where a group has several. */
function titleOf(results, table) {
  const { group, title } = results.map(({ tables }) => tables[table]).find(Boolean)
  return table === group ? title : table
}

const isOurs = ({ peer }) => peer.startsWith('calloff')

/** calloff first, then by how they did on the whole. */
function peersOf(dots) {
  const sums = new Map()
  for (const { peer, value } of dots) {
    const [sum, count] = sums.get(peer) ?? [0, 0]
    sums.set(peer, [sum + Math.log(value), count + 1])
  }
  const mean = (peer) => sums.get(peer)[0] / sums.get(peer)[1]
  return [...sums.keys()].toSorted((a, b) => mean(a) - mean(b))
}

function element(document, name, attributes, text) {
  const made = document.createElementNS(svgNamespace, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value))
  if (text !== undefined) made.textContent = text
  return made
}

/** A title, the runtimes by colour, the panels below each other, and what they were measured on. */
function compose(document, topic, results, unit) {
  const dots = dotsOf(results, topic)
  const tables = topic.tables.filter((table) => dots.some((dot) => dot.table === table))
  const values = dots.map((dot) => dot.value)
  const x = [Math.min(...values) / 1.5, Math.max(...values) * 1.5]
  const svg = element(document, 'svg', { xmlns: svgNamespace, width: 860, 'font-family': 'system-ui, sans-serif' })
  svg.append(element(document, 'rect', { width: '100%', height: '100%', fill: '#ffffff' }))
  svg.append(element(document, 'text', { x: 16, y: 28, 'font-size': 18, 'font-weight': 'bold' }, topic.title))
  let left = 20
  for (const { runtime } of results) {
    svg.append(element(document, 'circle', { cx: left, cy: 48, r: 5, fill: colours[runtime.key], stroke: '#24292f' }))
    svg.append(element(document, 'text', { x: left + 10, y: 52, 'font-size': 12 }, nameOf(runtime)))
    left += 130
  }
  let top = 64
  for (const table of tables) {
    const drawn = panel(document, dots, table, {
      x,
      unit,
      isLast: table === tables.at(-1),
      title: titleOf(results, table),
    })
    drawn.setAttribute('y', String(top))
    svg.append(drawn)
    top += Number(drawn.getAttribute('height'))
  }
  svg.append(element(document, 'text', { x: 16, y: top + 14, 'font-size': 11, fill: '#57606a' }, captionOf(results)))
  const height = top + 28
  svg.setAttribute('height', String(height))
  svg.setAttribute('viewBox', `0 0 860 ${height}`)
  return svg
}

function captionOf(results) {
  const [{ machine }] = results
  const dates = [...new Set(results.map(({ date }) => date))].toSorted((a, b) => a.localeCompare(b))
  const when = dates.length > 1 ? `${dates[0]} to ${dates.at(-1)}` : dates[0]
  const quick = results.some(({ mode }) => mode === 'quick') ? ' · a quick run, too short to quote' : ''
  return `${machine.cpu}, ${machine.cores} cores, ${machine.memory}, ${machine.system} · ${when} · logarithmic scale${quick}`
}

/**
 * Draws whatever results there are, into plots/[place/]; gives the paths.
 *
 * @param {string} place
 * @returns {string[]}
 */
export function drawAll(place) {
  const results = read(place)
  const drawn = []
  for (const topic of topics) {
    if (dotsOf(results, topic).length === 0) continue
    const { document } = parseHTML('<!doctype html><html><body></body></html>')
    const unit = /leak|memory/.test(topic.file) ? 'bytes' : 'ns'
    const path = ['plots', place, `${topic.file}.svg`].filter(Boolean).join('/')
    mkdirSync(`${folder}${path}`.replace(/[^/]+$/, ''), { recursive: true })
    writeFileSync(`${folder}${path}`, `${compose(document, topic, results, unit)}\n`)
    drawn.push(`bench/${path}`)
  }
  return drawn
}
