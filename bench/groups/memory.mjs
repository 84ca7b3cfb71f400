// What one live token of each kind takes: bytes each, after forced collections.
import { heap } from '../measure/runtime.mjs'
import { median } from '../measure/statistics.mjs'

const counts = { quick: 5_000, full: 100_000 }
const rounds = { quick: 1, full: 3 }
const HOUR = 3_600_000

const uses = {
  bare: (peer) => peer.create && { make: () => peer.create() },
  derived: (peer) => {
    if (!peer.derive1) return undefined
    const parent = peer.create()
    return { make: () => peer.derive1(peer.token(parent)), alive: parent }
  },
  'token with a listener': (peer) =>
    peer.listen && {
      make() {
        const source = peer.create()
        return [source, peer.listen(peer.token(source), () => source)]
      },
      // The pair and the function are ours, not the peer's.
      without: () => {
        const source = {}
        return [source, () => source]
      },
    },
  'timeout, live': (peer) => peer.timeout && { make: () => peer.timeout(HOUR), end: peer.timeoutEnd },
  'timeout, abandoned': (peer) => peer.timeout && { make: () => void peer.timeout(HOUR) },
}

async function bytesEach(make, end, count) {
  const kept = Array.from({ length: count }, () => undefined)
  const before = await heap()
  for (let i = 0; i < count; i++) kept[i] = make(i)
  const after = await heap()
  if (kept.length !== count) throw new Error('they have to live until here')
  if (end) for (const one of kept) end(one)
  return (after - before) / count
}

async function weigh(use, mode) {
  const samples = []
  await bytesEach(use.make, use.end, 1_000)
  for (let round = 0; round < rounds[mode]; round++) {
    const own = use.without ? (await bytesEach(use.without, undefined, counts[mode])) - emptyObject() : 0
    samples.push((await bytesEach(use.make, use.end, counts[mode])) - own)
  }
  return samples
}

let empty = 0
const emptyObject = () => empty

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'memory',
    title: 'memory of one token',
    unit: 'bytes',
    references: [],
    needs: [['create', 'timeout']],
    tables: Object.keys(uses),
    async measure(_group, peers, mode) {
      const tables = []
      empty = median(await weigh({ make: () => ({}) }, mode))
      for (const peer of peers) {
        const kinds = Object.entries(peer.kinds ?? {}).map(([kind, make]) => [kind, () => ({ make })])
        for (const [kind, prepare] of [...Object.entries(uses), ...kinds]) {
          const use = prepare(peer)
          if (!use) continue
          tables.push({ table: `memory ${kind}`, rows: [{ peer: peer.name, samples: await weigh(use, mode) }] })
        }
      }
      return tables
    },
  },
]
