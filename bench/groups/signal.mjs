import { fresh } from '../measure/fresh.mjs'

function firstUses(peer, parentOf, use) {
  let bearers = []
  const kept = Array.from({ length: 8 })
  const loop = fresh((use) => (times, bearers, kept) => {
    for (let i = 0; i < times; i++) kept[i & 7] = use(bearers[i])
  })(use)
  return {
    peer: peer.name,
    setup(times) {
      const parent = parentOf()
      bearers = Array.from({ length: times }, () => peer.signalBearer(parent))
    },
    run: (times) => loop(times, bearers, kept),
    most: 4_000,
  }
}

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'signal-root',
    title: 'first use of the signal of a root, beside new AbortController().signal',
    references: ['native signal'],
    needs: ['signalBearer', 'signalOfRoot'],
    collecting: true,
    make: (peer) => firstUses(peer, () => undefined, peer.signalOfRoot),
  },
  {
    name: 'signal-derived',
    title: 'first use of the signal of a derived token, beside AbortSignal.any([root, own])',
    references: ['native signal'],
    needs: ['signalBearer', 'signalParent', 'signalOfDerived'],
    collecting: true,
    make: (peer) => firstUses(peer, peer.signalParent, peer.signalOfDerived),
  },
]
