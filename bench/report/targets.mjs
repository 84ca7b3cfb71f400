// What calloff is held to, each as a ratio of what was measured in this run.
import { short } from './tables.mjs'

/**
 * Beside a peer, calloff's time is compared through the reference that both were measured in turns with, so that a machine
 * that slows down between the two processes does not count.
 */
class Reader {
  constructor(results) {
    this.tables = results.tables
    this.verified = results.verified
  }

  rows(table) {
    return this.tables[table]?.rows ?? []
  }

  row(table, peer = 'calloff') {
    return this.rows(table).find((row) => row.peer === peer && row.value !== undefined)
  }

  ratio(table, reference, peer = 'calloff') {
    return this.row(table, peer)?.ratios?.[reference]
  }

  /** The fastest of the others, and how many times as long as calloff it takes. */
  fastest(table, isIn = () => true) {
    const own = this.row(table)
    if (!own) return undefined
    const others = this.rows(table)
      .filter((row) => row.value !== undefined && !/^(floor|calloff)/.test(row.peer) && isIn(row))
      .map((row) => ({ peer: row.peer, times: this.relative(table, row) / this.relative(table, own) }))
    return others.toSorted((a, b) => a.times - b.times)[0]
  }

  relative(table, row) {
    // A floor, where there is one: it varies less than the platform.
    const reference = this.tables[table].references.at(-1)
    if (row.peer === reference) return 1
    if (row.ratios?.[reference] !== undefined) return row.ratios[reference]
    // Another reference: through the row that both were measured in turns with.
    const floor = this.row(table, reference)
    return floor ? row.value / floor.value : row.value
  }
}

const times = (value) => `${short(value)} ×`

/** Not more than so many times a reference. */
function atMost(work, limit, what, value) {
  return judged(work, `≤ ${limit} × ${what}`, value, times, (it) => it <= limit)
}

/** At least so many times as fast as the fastest of the others. */
function ahead(work, limit, best, whom = 'the fastest peer') {
  const text = ({ peer, times: it }) => `${short(it)} × (${peer})`
  return judged(work, `≥ ${limit} × faster than ${whom}`, best, text, (it) => it.times >= limit)
}

/** Objects take whole bytes; what is measured beyond them is the noise of a heap. */
function bytes(work, limit, value) {
  return judged(
    work,
    `≤ ${limit} bytes`,
    value,
    (it) => `${short(it)} bytes`,
    (it) => Math.round(it) <= limit,
  )
}

/** What was not measured is neither met nor missed. */
function judged(work, target, value, text, isMet) {
  if (value === undefined) return { work, target, measured: '', met: undefined }
  return { work, target, measured: text(value), met: isMet(value) }
}

/** What a heap's own bookkeeping comes to, for each of many operations. */
const NOTHING = 8

function fanout(read, what) {
  const growth = ['build', 'cancel'].map((part) =>
    atMost(`${part} ${what}, each`, 2, 'at a tenth as many', read.row(`fanout-${what} ${part}`)?.growth),
  )
  return [ahead(`cancel 100,000 ${what}`, 1, read.fastest(`fanout-${what} cancel`), 'every peer')].concat(growth)
}

/** What a poll costs is what it adds to the loop around it, which a plain field takes too. */
function sharedPolls(read) {
  return ['threads-poll', 'threads-poll-one'].map((table) => {
    const [own, atomic, field] = ['calloff', 'floor: Atomics.load', 'floor: plain field'].map(
      (peer) => read.row(table, peer)?.value,
    )
    const part = own && atomic && field && (own - field) / (atomic - field)
    return judged(`poll: ${table}, above a plain field`, '≤ a third of Atomics.load', part, times, (it) => it <= 1 / 3)
  })
}

/** Of the hub: beside a bare socket, there and back, which are as many ways as a cancel takes through the server. */
function farAway(read) {
  const beside = (scheme, socket, table, when) =>
    atMost(
      `cancel in another process, ${scheme}${when}`,
      2,
      `an echo (${socket})`,
      read.ratio(table, `floor: echo, ${socket}`, `calloff ${scheme}`),
    )
  return [
    beside('unix:', 'Unix socket', 'remote-latency', ''),
    beside('tcp:', 'TCP', 'remote-latency', ''),
    beside('unix:', 'Unix socket', 'remote-latency-asleep', ', all asleep'),
    beside('tcp:', 'TCP', 'remote-latency-asleep', ', all asleep'),
    atMost('one cancel to 10,000 holders, each', 2, 'to a tenth', read.row('remote-fanout', 'calloff unix:')?.growth),
  ]
}

/** Whole processes; so many milliseconds are allowed for what is loaded. */
function startUps(read) {
  return ['calloff --help', 'calloff run -- true'].map((what) => {
    const [own, node] = [what, 'floor: node -e 0'].map((peer) => read.row('start-up', peer)?.value)
    const part = own && node && (own - 30e6) / node
    return judged(
      what,
      '≤ 1.5 × node -e 0, plus 30 ms',
      part,
      (it) => `${times(it)}, plus 30 ms`,
      (it) => it <= 1.5,
    )
  })
}

/**
 * @returns {{ work: string, target: string, measured: string, met: boolean | undefined }[]}
 */
export function targets(results) {
  const read = new Reader(results)
  const field = 'floor: plain field'
  const clock = 'floor: performance.now'
  const inverse = (value) => (value === undefined ? undefined : { peer: 'native', times: 1 / value })
  const polls = ['check', 'check-deep-1', 'check-deep-10', 'check-deep-1000', 'check-deep-1000000']
  const alone = read.row('listen')?.value
  const beside = read.row('listen-1000')?.value
  const leakFree = new Set(
    read
      .rows('leak race, done')
      .filter((row) => row.value <= NOTHING)
      .map((row) => row.peer),
  )
  const leaks = Object.keys(read.tables).filter((table) => /^leak (a|b|d|signal)/.test(table))
  const fires = read.verified.calloff?.firesInLoop
  return [
    ...polls.map((table) => atMost(`poll: ${table}`, 1.25, 'a plain field', read.ratio(table, field))),
    ahead(
      'create a bare token',
      1,
      read.fastest('create', (row) => !row.peer.includes('not asked for')),
    ),
    ...['derive1', 'derive2'].flatMap((table) => [
      ahead(table, 4, read.fastest(table)),
      ahead(table, 15, inverse(read.ratio(table, 'native')), 'AbortSignal.any'),
    ]),
    atMost('create a timeout', 1.4, 'reading the clock', read.ratio('timeout-create', clock)),
    ahead('create a timeout', 15, inverse(read.ratio('timeout-create', 'native')), 'AbortSignal.timeout'),
    judged('a timeout in a loop that never yields', 'fires', fires, (it) => (it ? 'fires' : 'does not fire'), Boolean),
    atMost('poll a timeout', 1.1, 'reading the clock', read.ratio('timeout-check', clock)),
    ahead('add and remove a listener', 5, read.fastest('listen')),
    ahead('the same beside 1,000 others', 5, read.fastest('listen-1000')),
    atMost('beside 1,000 others', 1.25, 'alone', alone && beside && beside / alone),
    ...['listeners', 'children'].flatMap((what) => fanout(read, what)),
    ahead(
      'race on one long-lived token',
      1,
      read.fastest('race', (row) => leakFree.has(row.peer)),
      'every leak-free peer',
    ),
    atMost('race on one long-lived token', 1.5, 'naive Promise.race', read.ratio('race', 'native naive Promise.race')),
    bytes('left behind by a race', NOTHING, read.row('leak race, done')?.value),
    ahead('sleep, called off', 1, read.fastest('delay-cancel'), 'every peer'),
    ...leaks.map((table) => bytes(`left behind: ${table.slice(5)}`, NOTHING, read.row(table)?.value)),
    bytes('memory: bare', 80, read.row('memory bare')?.value),
    bytes('memory: derived', 112, read.row('memory derived')?.value),
    bytes('memory: timeout', 112, read.row('memory timeout, live')?.value),
    atMost('signal of a root', 1.3, 'new AbortController().signal', read.ratio('signal-root', 'native signal')),
    atMost(
      'signal of a derived token',
      1.5,
      'AbortSignal.any([root, own])',
      read.ratio('signal-derived', 'native signal'),
    ),
    atMost('the quick-start loop', 1.3, 'by hand', read.ratio('quickstart', 'floor: by hand')),
    ...(results.runtime.key === 'bun' ? [] : sharedPolls(read)), // where an atomic read costs no more than a plain one
    ...(results.runtime.key.startsWith('node') ? startUps(read) : []),
    atMost(
      'poll a deadline with a ticker',
      2,
      'a plain field',
      read.ratio('threads-deadline', field, 'calloff with a ticker'),
    ),
    ...farAway(read),
  ]
}
