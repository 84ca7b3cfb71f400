// 100,000 below one root: build them, then cancel the root. Each is one long sample, so it has a way of its own.
import { collect, turn } from '../measure/runtime.mjs'

const wholes = { quick: 10_000, full: 100_000 }
/** Milliseconds for all the samples of one process; whoever is slow gets fewer. */
const budgets = { quick: 300, full: 3_000 }
/** Milliseconds for a tenth, beyond which a reference is too slow to be measured as a whole again and again. */
const slow = { quick: 100, full: 150 }
const rounds = { quick: 2, full: 3 }
/** Samples of a thousand, until the compilers are done. */
const warmUps = { quick: 3, full: 30 }
const SMALL = 1_000

async function sample(peer, count, build) {
  let heard = 0
  const listeners = Array.from({ length: count }, () => () => {
    heard++
  })
  const root = peer.create()
  const token = peer.token(root)
  collect()
  const begin = performance.now()
  const kept = build(peer, token, listeners)
  const built = performance.now()
  peer.cancel(root)
  while (heard < count && peer.later && performance.now() - built < 60_000) await turn()
  const ended = performance.now()
  if (heard !== count) throw new Error(`${peer.name}: ${heard} of ${count} listeners were called`)
  if (kept.length !== count) throw new Error(`${peer.name}: lost some`)
  return { build: ((built - begin) * 1e6) / count, cancel: ((ended - built) * 1e6) / count }
}

/** Warms up; gives what the last sample took, in milliseconds. */
async function warmUp(peer, group, mode) {
  let took = 0
  for (let i = 0; i < warmUps[mode]; i++) {
    const begin = performance.now()
    await sample(peer, SMALL, group.build)
    took = performance.now() - begin
  }
  return took
}

/**
 * All peers in turns, at a tenth of the number and at the whole of it: the same time for each one means linear.
 * A reference for which that takes most of a minute (the platform takes the square) is measured in its own process alone.
 */
async function measure(group, everybody, mode) {
  const [tenth, whole] = [wholes[mode] / 10, wholes[mode]]
  const peers = []
  for (const peer of everybody) {
    const small = await warmUp(peer, group, mode)
    const isTooSlow = everybody.length > 1 && small * (tenth / SMALL) ** 2 > slow[mode]
    if (!isTooSlow || !group.references.includes(peer.name)) peers.push(peer)
  }
  const results = peers.map(({ name }) => ({ peer: name, build: [[], []], cancel: [[], []] }))
  const spent = peers.map(() => 0)
  for (let round = 0; round < rounds[mode]; round++) {
    for (const [at, peer] of peers.entries()) {
      if (round > 0 && spent[at] > budgets[mode] / peers.length) continue
      const begin = performance.now()
      for (const [which, size] of [tenth, whole].entries()) {
        const isTooSlow = which === 1 && peers.length > 1 && performance.now() - begin > slow[mode]
        if (isTooSlow && group.references.includes(peer.name)) continue
        const { build, cancel } = await sample(peer, size, group.build)
        results[at].build[which].push(build)
        results[at].cancel[which].push(cancel)
      }
      spent[at] += performance.now() - begin
    }
  }
  const done = results.filter(({ build }) => build[1].length > 0)
  return ['build', 'cancel'].map((what) => ({
    table: `${group.name} ${what}`,
    rows: done.map((one) => ({ peer: one.peer, samples: one[what][1], smaller: one[what][0] })),
  }))
}

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'fanout-listeners',
    title: '100,000 listeners on one token (10,000 in a quick run), for each',
    references: ['native'],
    alone: true,
    needs: ['create', 'cancel', 'listen'],
    tables: ['build', 'cancel'],
    measure,
    build(peer, token, listeners) {
      return listeners.map((listener) => peer.listen(token, listener))
    },
  },
  {
    name: 'fanout-children',
    title: '100,000 derived tokens with a listener (10,000 in a quick run), for each',
    references: ['native'],
    alone: true,
    needs: ['create', 'cancel', 'listen', 'derive1'],
    tables: ['build', 'cancel'],
    measure,
    build(peer, token, listeners) {
      return listeners.map((listener) => {
        const derived = peer.derive1(token)
        return [derived, peer.listen(derived, listener)]
      })
    },
  },
]
