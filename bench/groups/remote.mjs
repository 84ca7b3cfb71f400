// The token hub between processes: how long a cancel takes to another one, how many a second, to how many, and what one token weighs.
import { connectHub } from 'calloff/remote'
import { Helper } from '../remote/lines.mjs'

const floors = ['floor: echo, Unix socket', 'floor: relay, Unix socket', 'floor: echo, TCP', 'floor: relay, TCP']

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const rounds = { quick: 60, full: 2_000 }
/** Prepared at a time. */
const SERIES = 100
/** The first ones are for the compilers. */
const EARLY = { quick: 20, full: 500 }
/** Milliseconds after which what there is has to do. */
const budgets = { quick: 2_500, full: 40_000 }
/** Milliseconds between two, where all processes are to be asleep: what is called off is called off once. */
const QUIET = 1

/** @type {(name: string, title: string, quiet: number) => import('./index.mjs').Group} */
const latency = (name, title, quiet) => ({
  name,
  title: `from cancel() in one process to cancelled in another, through the server, ${title} (floors: 80 bytes there and back; through a process in between)`,
  references: floors,
  tail: true,
  needs: ['across'],
  async measure(group, peers, mode) {
    const ways = []
    try {
      for (const peer of peers) ways.push({ peer: peer.name, samples: [], way: await peer.across() })
      const end = performance.now() + budgets[mode]
      for (let round = -EARLY[mode]; round < rounds[mode] && (round < 20 || performance.now() < end); round++) {
        if ((round + EARLY[mode]) % SERIES === 0) for (const { way } of ways) await way.prepare(SERIES)
        for (const { way, samples } of ways) {
          const sample = await way.round()
          if (round >= 0) samples.push(sample)
          if (quiet > 0) await pause(quiet)
        }
      }
      return [{ table: group.name, rows: ways.map(({ peer, samples }) => ({ peer, samples })) }]
    } finally {
      for (const { way } of ways) await way.end()
    }
  },
})

const awake = latency('remote-latency', 'in turns without a pause', 0)
const asleep = latency('remote-latency-asleep', 'after a pause of 1 ms, in which all processes fall asleep', QUIET)

let serial = 0
/** A name that was never used. */
const next = (what) => `${what}-${++serial}`

const counts = { quick: 1_000, full: 10_000 }
const repeats = { quick: 3, full: 9 }

/** Runs `work` on a hub of this process beside others, as often as it takes; its samples are nanoseconds each. */
async function onHub(peer, mode, { helpers = 0, hubs = 1 }, work) {
  const ended = []
  try {
    const place = await peer.hub()
    ended.push(() => place.end())
    const others = Array.from({ length: helpers }, () => Helper.start('hubs.mjs'))
    ended.push(() => Promise.all(others.map((other) => other.end())))
    await Promise.all(others.map((other) => other.ask({ do: 'connect', url: place.url, count: hubs })))
    const hub = await connectHub(place.url)
    ended.push(() => hub.close())
    const samples = []
    const end = performance.now() + budgets[mode]
    for (let repeat = -1; repeat < repeats[mode] && (repeat < 3 || performance.now() < end); repeat++) {
      const sample = await work(hub, others)
      if (repeat >= 0) samples.push(sample)
    }
    return samples
  } finally {
    for (const one of ended.toReversed()) await one()
  }
}

async function timed(count, work) {
  const begin = performance.now()
  await work()
  return ((performance.now() - begin) * 1e6) / count
}

const named = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

/** One row for each peer. */
async function table(group, peers, sample) {
  const rows = []
  for (const peer of peers) rows.push({ peer: peer.name, ...(await sample(peer)) })
  return [{ table: group.name, rows }]
}

/** @type {import('./index.mjs').Group} */
const opens = {
  name: 'remote-open',
  title: 'open a token and have its state read, 10,000 at a time',
  references: [],
  needs: ['hub'],
  measure: (group, peers, mode) =>
    table(group, peers, async (peer) => ({
      samples: await onHub(peer, mode, {}, async (hub) => {
        const names = named(next('open'), counts[mode])
        let tokens
        const took = await timed(names.length, () => {
          tokens = names.map((name) => hub.open(name))
          return Promise.all(tokens.map(({ ready }) => ready))
        })
        for (const token of tokens) token.close()
        return took
      }),
    })),
}

/** @type {import('./index.mjs').Group} */
const cancels = {
  name: 'remote-cancel',
  title: 'cancel a token, until it is stored and another process has heard of it, 10,000 under way',
  references: [],
  needs: ['hub'],
  measure: (group, peers, mode) =>
    table(group, peers, async (peer) => ({
      samples: await onHub(peer, mode, { helpers: 1 }, async (hub, [other]) => {
        const prefix = next('cancel')
        const tokens = named(prefix, counts[mode]).map((name) => hub.open(name))
        await other.ask({ do: 'hold', names: prefix, count: counts[mode] })
        await Promise.all(tokens.map(({ ready }) => ready))
        const heard = other.ask({ do: 'heard' })
        const took = await timed(tokens.length, () => {
          for (const token of tokens) token.cancel('stop pressed')
          return Promise.all([...tokens.map(({ delivered }) => delivered), heard])
        })
        await other.ask({ do: 'letGo' })
        for (const token of tokens) token.close()
        return took
      }),
    })),
}

const ONE_BY_ONE = { quick: 50, full: 500 }

/** @type {import('./index.mjs').Group} */
const stored = {
  name: 'remote-stored',
  title: 'cancel a token, until it is stored, one after the other',
  references: [],
  needs: ['hub'],
  measure: (group, peers, mode) =>
    table(group, peers, async (peer) => ({
      samples: await onHub(peer, mode, {}, async (hub) => {
        const tokens = named(next('stored'), ONE_BY_ONE[mode]).map((name) => hub.open(name))
        await Promise.all(tokens.map(({ ready }) => ready))
        const took = await timed(tokens.length, async () => {
          for (const token of tokens) await token.cancel('stop pressed').delivered
        })
        for (const token of tokens) token.close()
        return took
      }),
    })),
}

/** One cancel to that many: processes × hubs × tokens of each. */
function fanout(name, title, needs, processes, hubs, holders) {
  /** Nanoseconds for each holder, until the last has heard. */
  const reach = (count) => async (hub, others) => {
    const one = next('fan')
    const token = hub.open(one)
    await Promise.all([token.ready, ...others.map((other) => other.ask({ do: 'hold', name: one, count }))])
    const heard = Promise.all(others.map((other) => other.ask({ do: 'heard' })))
    // What was said when they were opened is through.
    await pause(20)
    const took = await timed(count * hubs * processes, () => {
      token.cancel('stop pressed')
      return heard
    })
    await Promise.all(others.map((other) => other.ask({ do: 'letGo' })))
    token.close()
    return took
  }
  /** @type {import('./index.mjs').Group} */
  const group = {
    name,
    title,
    references: [],
    needs,
    measure: (self, peers, mode) =>
      table(self, peers, async (peer) => {
        const each = holders / processes / hubs / (mode === 'quick' && holders > hubs * processes ? 10 : 1)
        const crew = { helpers: processes, hubs }
        const samples = await onHub(peer, mode, crew, reach(each))
        const smaller = each >= 10 ? await onHub(peer, mode, crew, reach(each / 10)) : undefined
        return { samples, smaller, count: each * hubs * processes }
      }),
  }
  return group
}

const wide = fanout(
  'remote-fanout',
  'one cancel to 10,000 holders in 4 processes with 2 hubs each, until the last has heard, each',
  ['hub'],
  4,
  2,
  10_000,
)

const connections = fanout(
  'remote-fanout-hubs',
  'one cancel to 1,000 holders with a hub each, in 4 processes, until the last has heard, each',
  ['hub', 'manyHubs'],
  4,
  250,
  1_000,
)

const HUBS = { quick: 200, full: 1_000 }
const TOKENS = 10

/** @type {import('./index.mjs').Group} */
const reconnect = {
  name: 'remote-reconnect',
  title:
    'the server is gone and back: until 1,000 hubs are connected again, and have entered 10 tokens each, for each hub',
  references: [],
  needs: ['restarts'],
  measure: (group, peers, mode) =>
    table(group, peers, async (peer) => {
      const samples = []
      for (let repeat = 0; repeat < (mode === 'quick' ? 1 : 3); repeat++) {
        const place = await peer.hub()
        const others = Array.from({ length: 2 }, () => Helper.start('hubs.mjs'))
        try {
          const all = (order) => Promise.all(others.map((other) => other.ask(order)))
          await all({ do: 'connect', url: place.url, count: HUBS[mode] / 2 })
          await all({ do: 'hold', names: 'kept', count: TOKENS })
          const back = all({ do: 'back' })
          await place.restart()
          samples.push(await timed(HUBS[mode], () => back))
        } finally {
          await Promise.all(others.map((other) => other.end()))
          await place.end()
        }
      }
      return { samples, count: HUBS[mode] }
    }),
}

const weights = { quick: 5_000, full: 50_000 }

/** @type {import('./index.mjs').Group} */
const memory = {
  name: 'remote-memory',
  title: 'on the heap, for one of many',
  unit: 'bytes',
  references: [],
  needs: ['weigh'],
  tables: [
    'open token, in its process',
    'open token, in the server',
    'mark, in the server',
    'connection, in the server',
  ],
  async measure(group, peers, mode) {
    const count = weights[mode]
    const tables = group.tables.map((part) => ({ table: `${group.name} ${part}`, rows: [] }))
    for (const peer of peers) {
      const place = await peer.hub()
      const other = Helper.start('hubs.mjs')
      const client = async () => (await other.ask({ do: 'weigh' })).bytes
      try {
        await other.ask({ do: 'connect', url: place.url })
        // Tables and code have grown to what they will be.
        await other.ask({ do: 'hold', names: 'early', count: 1_000 })
        await other.ask({ do: 'letGo' })
        const [here, there] = [await client(), await place.weigh()]
        await other.ask({ do: 'hold', names: 'kept', count })
        const open = [(await client()) - here, (await place.weigh()) - there]
        await other.ask({ do: 'letGo' })
        const before = await place.weigh()
        await other.ask({ do: 'mark', names: 'marked', count })
        const marks = (await place.weigh()) - before
        const few = await place.weigh()
        await other.ask({ do: 'connect', url: place.url, count: 200 })
        const links = (await place.weigh()) - few
        const samples = [open[0] / count, open[1] / count, marks / count, links / 200]
        for (const [at, sample] of samples.entries()) tables[at].rows.push({ peer: peer.name, samples: [sample] })
      } finally {
        await other.end()
        await place.end()
      }
    }
    return tables
  },
}

export const groups = [awake, asleep, opens, cancels, stored, wide, connections, reconnect, memory]
