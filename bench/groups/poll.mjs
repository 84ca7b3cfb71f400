import { fresh } from '../measure/fresh.mjs'

/** Eight live tokens, so that no compiler can lift the load out of the loop. */
const EIGHT = 8

/** Eight tokens that were derived `depth` times each: one long stem, eight leaves. */
function leaves(peer, root, depth) {
  let stem = root
  for (let level = 1; level < depth; level++) stem = peer.derive1(stem)
  return Array.from({ length: EIGHT }, () => (depth === 0 ? peer.token(peer.create()) : peer.derive1(stem)))
}

function polling(peer, depth) {
  const root = peer.create()
  const tokens = leaves(peer, peer.token(root), depth)
  // A loop of its own for each, however the peers are written.
  const polls = fresh(asFunction(peer.polls))
  return { peer: peer.name, run: (times) => polls(tokens, times), expected: 0, alive: [root, tokens] }
}

/** A method's text is no expression: give it the word that makes it one. */
function asFunction(method) {
  return { toString: () => `function ${method}` }
}

const bareField = 'floor: plain field'

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'check',
    title: 'poll a live token, 8 in rotation',
    references: ['native', bareField],
    needs: ['create', 'polls'],
    make: (peer) => polling(peer, 0),
  },
  {
    name: 'check-one',
    title: 'poll one live token (the load may leave the loop)',
    references: ['native', bareField],
    needs: ['create', 'pollsOne'],
    make(peer) {
      const source = peer.create()
      const token = peer.token(source)
      const polls = fresh(asFunction(peer.pollsOne))
      return { peer: peer.name, run: (times) => polls(token, times), expected: 0, alive: source }
    },
  },
  ...[1, 10, 1_000, 1_000_000].map((depth) => ({
    name: `check-deep-${depth}`,
    title: `poll a token derived ${depth.toLocaleString('en')} ${depth === 1 ? 'time' : 'times'}, 8 in rotation`,
    references: ['native', bareField],
    // A million native signals take seconds to make.
    quickReferences: depth > 1_000 ? [bareField] : undefined,
    needs: ['create', 'polls', ['derive1', 'atAnyDepth']],
    make: (peer) => polling(peer, peer.derive1 ? depth : 0),
  })),
]
