import { readFileSync } from 'node:fs'
import { root } from '../installed.mjs'

/** The pictures of the pages: what they show is cancelled where it is orange, and still runs where it is green. */
export function diagrams() {
  const css = readFileSync(`${root}/docs/diagrams/diagram.css`, 'utf8')
  return Object.entries(pictures).map(([name, { title, width, height, shapes }]) => [
    `docs/diagrams/${name}.svg`,
    `<svg xmlns="http://www.w3.org/2000/svg" class="diagram" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">\n<style>\n${css}</style>\n${shapes.join('\n')}\n</svg>\n`,
  ])
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

/** A box around its middle, with a title and notes below it. */
function box(x, y, title, { kind = 'live', width = 120, notes = [], isCode = false } = {}) {
  const height = 36 + notes.length * 17
  const top = y - height / 2
  return [
    `<rect class="box ${kind}" x="${x - width / 2}" y="${top}" width="${width}" height="${height}" rx="8"/>`,
    text(x, top + 23, title, isCode ? 'code' : 'strong'),
    ...notes.map((note, at) => text(x, top + 41 + at * 17, note, 'note')),
  ].join('\n')
}

/** A bar on a line of time. */
function bar(from, to, y, title, kind = 'live') {
  return [
    `<rect class="box ${kind}" x="${from}" y="${y - 13}" width="${to - from}" height="26" rx="5"/>`,
    title === '' ? '' : text((from + to) / 2, y + 5, title),
  ].join('\n')
}

function text(x, y, content, classes = '') {
  return `<text${classes === '' ? '' : ` class="${classes}"`} x="${x}" y="${y}">${escaped(content)}</text>`
}

/** An arrow, which tells of a cancel if it is `cancelling`. The label lies beside its middle. */
function arrow(x1, y1, x2, y2, { cancelling = false, label, dx = 0, dy = -8 } = {}) {
  const kind = cancelling ? ' cancelling' : ''
  const angle = Math.atan2(y2 - y1, x2 - x1)
  const [backX, backY] = [x2 - 9 * Math.cos(angle), y2 - 9 * Math.sin(angle)]
  const [sideX, sideY] = [4.5 * Math.sin(angle), -4.5 * Math.cos(angle)]
  const points = [x2, y2, backX + sideX, backY + sideY, backX - sideX, backY - sideY].map(
    (n) => Math.round(n * 10) / 10,
  )
  const lines = [
    `<line class="arrow${kind}" x1="${x1}" y1="${y1}" x2="${points[0] === x2 ? Math.round(backX) : x2}" y2="${Math.round(backY)}"/>`,
    `<polygon class="head${kind}" points="${points.join(' ')}"/>`,
  ]
  if (label !== undefined)
    lines.push(text((x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy, label, `note${cancelling ? ' orange' : ''}`))
  return lines.join('\n')
}

/** A dashed line upright, for a moment. */
const moment = (x, y1, y2) => `<line class="frame" x1="${x}" y1="${y1}" x2="${x}" y2="${y2}"/>`

function frame(x, y, width, height, title) {
  return [
    `<rect class="frame" x="${x}" y="${y}" width="${width}" height="${height}" rx="12"/>`,
    text(x + 12, y + 20, title, 'note start'),
  ].join('\n')
}

const cancelled = { kind: 'cancelled' }
const cancelling = { cancelling: true }

/** Three traces of examples/observe, as `node scripts/record-trace.mjs` has written them down. */
function traces() {
  const rows = JSON.parse(readFileSync(`${root}/docs/diagrams/trace.json`, 'utf8'))
  const [left, right, height] = [170, 660, 24]
  const shapes = []
  let y = 14
  for (const { spans } of rows) {
    const total = Math.max(...spans.map(({ end }) => end))
    const at = (ms) => Math.round(left + (ms / total) * (right - left))
    for (const { name, depth, start, end, status, outcome, event } of spans) {
      const kind = status === 'error' ? 'failed' : outcome === 'succeeded' ? 'live' : 'cancelled'
      shapes.push(
        text(12 + depth * 16, y + 16, name, 'code start'),
        `<rect class="box ${kind}" x="${at(start)}" y="${y + 3}" width="${Math.max(3, at(end) - at(start))}" height="${height - 6}" rx="4"/>`,
      )
      if (event !== undefined && depth === 0) {
        const x = at(event.time)
        shapes.push(moment(x, y, y + spans.length * height))
        const label = `${event.kind}: ${event.by}`
        shapes.push(text(left + 8, y + 16, label, `note start ${kind === 'failed' ? 'red' : 'orange'}`))
      }
      y += height
    }
    shapes.push(text(right, y + 12, `${Math.round(total)} ms`, 'note'))
    y += 30
  }
  return {
    title:
      'Three traces: a client that has left, a deadline that has passed, Ctrl+C. Only the deadline has the status ERROR',
    width: 700,
    height: y,
    shapes,
  }
}

const pictures = {
  trace: traces(),
  'token-tree': {
    title:
      'A tree of tokens: a cancel of one request reaches its children, and neither the server nor the other request',
    width: 640,
    height: 262,
    shapes: [
      arrow(320, 54, 176, 104),
      arrow(320, 54, 464, 104),
      arrow(160, 144, 160, 200),
      arrow(464, 144, 384, 200, cancelling),
      arrow(464, 144, 544, 200, cancelling),
      arrow(560, 64, 500, 104, cancelling),
      text(540, 54, `cancel('the user left')`, 'code orange'),
      box(320, 36, 'server', { width: 130 }),
      box(160, 124, 'request A', { width: 130 }),
      box(464, 124, 'request B', { ...cancelled, width: 130 }),
      box(160, 220, 'query'),
      box(384, 220, 'query', cancelled),
      box(544, 220, 'render', cancelled),
    ],
  },
  scope: {
    title:
      'The lifetime of a scope: one task fails, the other tasks are cancelled, and the scope ends when all have settled',
    width: 680,
    height: 244,
    shapes: [
      frame(20, 12, 540, 186, 'scope(async (s) => { … })'),
      bar(40, 250, 62, 's.run(readFile)'),
      bar(80, 400, 102, 's.run(fetchPage) fails', 'cancelled'),
      bar(120, 400, 142, 's.run(index)'),
      bar(400, 560, 142, 'cleans up', 'cancelled'),
      moment(400, 40, 206),
      moment(560, 156, 222),
      arrow(400, 116, 400, 129, cancelling),
      text(400, 222, 'the first failure cancels the siblings', 'note orange'),
      text(560, 240, 'all have settled: the scope throws', 'note'),
      text(40, 222, 'time →', 'note start'),
    ],
  },
  grace: {
    title: 'Grace: a token is cancelled, and its grace token the given time later, so that there is time to clean up',
    width: 640,
    height: 214,
    shapes: [
      text(20, 55, 'job', 'code start'),
      bar(150, 330, 50, ''),
      bar(330, 620, 50, 'cancelled', 'cancelled'),
      text(20, 105, 'job.grace(5_000)', 'code start'),
      bar(150, 500, 100, ''),
      bar(500, 620, 100, 'cancelled', 'cancelled'),
      text(20, 155, 'the task', 'start'),
      bar(150, 330, 150, 'works'),
      bar(330, 470, 150, 'cleans up', 'memory'),
      moment(330, 24, 180),
      moment(500, 24, 180),
      text(330, 200, `job.cancel('shutting down')`, 'code orange'),
      text(540, 200, '5 s later', 'note'),
    ],
  },
  hub: {
    title:
      'A hub: a cancel is stored by the server, reaches every process that holds the name, and comes back as a receipt',
    width: 680,
    height: 266,
    shapes: [
      arrow(186, 110, 272, 110, { cancelling: true, label: 'cancel' }),
      arrow(272, 150, 186, 150, { label: 'receipt: 2/2', dy: 18 }),
      arrow(408, 105, 512, 66, { cancelling: true, label: 'cancel', dx: -8 }),
      arrow(408, 158, 512, 196, { cancelling: true, label: 'cancel', dx: -16, dy: 18 }),
      arrow(512, 84, 408, 122, { label: 'seen', dx: 22, dy: 16 }),
      arrow(512, 180, 408, 142, { label: 'seen', dx: 22, dy: -8 }),
      box(110, 130, 'process A', { width: 152, notes: [`hub.cancel('job-42')`], kind: 'cancelled' }),
      box(340, 130, 'hub', { width: 136, kind: 'memory', notes: ['stores the mark', 'before it tells'] }),
      box(590, 62, 'process B', { ...cancelled, width: 156, notes: [`hub.open('job-42')`] }),
      box(590, 200, 'process C', { ...cancelled, width: 156, notes: [`hub.open('job-42')`] }),
    ],
  },
  'shared-memory': {
    title: 'Shared memory: one thread writes the state of a token, and a worker in a loop that never yields reads it',
    width: 680,
    height: 190,
    shapes: [
      arrow(190, 84, 254, 84, { cancelling: true, label: 'writes' }),
      arrow(426, 84, 490, 84, { label: 'reads' }),
      box(105, 84, 'main thread', { width: 170, notes: [`token.cancel('stop')`] }),
      box(340, 84, 'SharedArrayBuffer', { width: 172, kind: 'memory', notes: ['state, reason, deadline'] }),
      box(575, 84, 'worker', { ...cancelled, width: 170, notes: ['while (token.keepOn())', 'never yields'] }),
      text(340, 164, 'No message, no event loop: a poll of the worker is a read of memory.', 'note'),
    ],
  },
  'cancel-path': {
    title: 'A cancel goes from a browser through a server to a worker thread and a child process',
    width: 700,
    height: 330,
    shapes: [
      frame(196, 14, 490, 302, 'one machine, or many with a hub between them'),
      arrow(140, 165, 214, 165, { cancelling: true, label: 'closes' }),
      arrow(376, 140, 512, 84, { cancelling: true, label: 'AbortSignal', dx: -26 }),
      arrow(376, 165, 506, 165, { cancelling: true, label: 'shared memory' }),
      arrow(376, 190, 512, 246, { cancelling: true, label: 'signal', dx: -20, dy: 18 }),
      box(74, 165, 'browser', { ...cancelled, width: 132, notes: ['Stop is pressed'] }),
      box(296, 165, 'server', { ...cancelled, width: 160, notes: ['token of the request'] }),
      box(592, 78, 'query', { ...cancelled, width: 160, notes: ['fetch, database'] }),
      box(592, 165, 'worker thread', { ...cancelled, width: 172, notes: ['for (;;) never yields'] }),
      box(592, 252, 'child process', { ...cancelled, width: 160, notes: ['and all below it'] }),
    ],
  },
}
