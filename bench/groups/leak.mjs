// What one operation leaves behind on a parent that lives: bytes each, after forced collections.
import { heap, turn } from '../measure/runtime.mjs'

const counts = { quick: 10_000, full: 100_000 }
const budgets = { quick: 120, full: 2_000 }
const BATCH = 500

const listener = () => {}

/** Each gets a parent and gives what is done again and again; undefined where the peer cannot. */
const uses = {
  'a: derived, dropped': (peer) => peer.derive1 && ((parent) => void peer.derive1(parent)),
  'b: listener added, removed': (peer) =>
    peer.derive1 &&
    ((parent) => {
      const derived = peer.derive1(parent)
      peer.unlisten(derived, peer.listen(derived, listener))
    }),
  'c: listener left on': (peer) =>
    peer.derive1 && ((parent) => void peer.listen(peer.derive1(parent), () => listener())),
  'd: listener left on, disposed': (peer) =>
    peer.release &&
    ((parent) => {
      const child = peer.child(parent)
      peer.listen(peer.token(child), () => listener())
      peer.release(child)
    }),
  'race, done': (peer) => peer.race && ((parent) => peer.race(parent, Promise.resolve(1))),
  'signal of a derived token, dropped': (peer) =>
    peer.signalOfDerived && ((parent) => void peer.signalOfDerived(peer.signalBearer(parent))),
}

async function growth(peer, use, mode) {
  const source = peer.create()
  const parent = peer.token(source)
  const run = async (count, budget) => {
    const begin = performance.now()
    let done = 0
    while (done < count && performance.now() - begin < budget) {
      for (let i = 0; i < BATCH; i++) {
        const result = use(parent)
        if (result instanceof Promise) await result
      }
      done += BATCH
      // What weak references point at can only go between two jobs.
      await turn()
    }
    return done
  }
  await run(2 * BATCH, Infinity)
  const before = await heap()
  const done = await run(counts[mode], budgets[mode])
  const after = await heap()
  if (!source) throw new Error('the parent has to live until here')
  return { bytes: (after - before) / done, count: done }
}

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'leak',
    title: 'left behind on a parent that lives, per operation',
    unit: 'bytes',
    references: [],
    needs: ['create', ['derive1', 'race']],
    tables: Object.keys(uses),
    async measure(_group, peers, mode) {
      const tables = []
      for (const [what, make] of Object.entries(uses)) {
        for (const peer of peers) {
          const use = make(peer)
          if (!use) continue
          const { bytes, count } = await growth(peer, use, mode)
          tables.push({ table: `leak ${what}`, rows: [{ peer: peer.name, samples: [bytes], count }] })
        }
      }
      return tables
    },
  },
]
