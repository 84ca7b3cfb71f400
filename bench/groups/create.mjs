import { fresh } from '../measure/fresh.mjs'

// What is made is stored where anybody could find it, else the compiler would not make it.

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'create',
    title: 'create a bare token that can be polled',
    references: ['native', 'floor: plain field'],
    needs: ['create'],
    collecting: true,
    make(peer) {
      const kept = Array.from({ length: 8 })
      const loop = fresh((create, kept) => (times) => {
        for (let i = 0; i < times; i++) kept[i & 7] = create()
      })
      return { peer: peer.name, run: loop(peer.create, kept), most: 2_000_000 }
    },
  },
  {
    name: 'derive1',
    title: 'derive from one parent',
    references: ['native'],
    needs: ['create', 'derive1'],
    collecting: true,
    make: (peer) =>
      underAParent(peer, peer.derive1, (derive, kept) => (times, a) => {
        for (let i = 0; i < times; i++) kept[i & 7] = derive(a)
      }),
  },
  {
    name: 'derive2',
    title: 'derive from two parents',
    references: ['native'],
    needs: ['create', 'derive2'],
    collecting: true,
    make: (peer) =>
      underAParent(peer, peer.derive2, (derive, kept) => (times, a, b) => {
        for (let i = 0; i < times; i++) kept[i & 7] = derive(a, b)
      }),
  },
  {
    name: 'child',
    title: 'derive a token that can be cancelled itself',
    references: ['native'],
    needs: ['create', 'child'],
    collecting: true,
    make: (peer) =>
      underAParent(peer, peer.child, (derive, kept) => (times, a) => {
        for (let i = 0; i < times; i++) kept[i & 7] = derive(a)
      }),
  },
]

/** New parents for each sample: with many peers, whatever was derived before still hangs on the old ones. */
function underAParent(peer, derive, template) {
  const kept = Array.from({ length: 8 })
  const loop = fresh(template)(derive, kept)
  let a
  let b
  return {
    peer: peer.name,
    setup() {
      a = peer.create()
      b = peer.create()
    },
    run: (times) => loop(times, peer.token(a), peer.token(b)),
    teardown: () => kept.fill(undefined),
    most: 100_000,
  }
}
