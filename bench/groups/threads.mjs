// Tokens in shared memory: what a poll costs, how long another thread takes to notice, what a ticker saves.
import { fresh } from '../measure/fresh.mjs'
import { efforts, time } from '../measure/timing.mjs'
import { Responder } from '../threads/responder.mjs'

const plainField = 'floor: plain field'
const atomic = 'floor: Atomics.load'
const message = 'native postMessage'

const asFunction = (method) => fresh({ toString: () => `function ${method}` })

/** As the thread has it that polls. */
const there = (peer) => (peer.opened ? peer.opened(peer.handle(peer.shared())) : peer.shared())

/** @type {import('./index.mjs').Group[]} */
const polls = [
  {
    name: 'threads-poll',
    title: 'poll a live shared token, 8 in rotation',
    references: [atomic, 'floor: plain shared read', plainField],
    needs: ['shared', 'polls'],
    make(peer) {
      const tokens = Array.from({ length: 8 }, () => there(peer))
      const loop = asFunction(peer.polls)
      return { peer: peer.name, run: (times) => loop(tokens, times), expected: 0, alive: tokens }
    },
  },
  {
    name: 'threads-poll-one',
    title: 'poll one live shared token',
    references: [atomic, 'floor: plain shared read', plainField],
    needs: ['shared', 'pollsOne'],
    make(peer) {
      const token = there(peer)
      const loop = asFunction(peer.pollsOne)
      return { peer: peer.name, run: (times) => loop(token, times), expected: 0, alive: token }
    },
  },
]

const rounds = { quick: 30, full: 2_000 }
/** Milliseconds after which what there is has to do. */
const budgets = { quick: 200, full: 15_000 }

/** How a thread that has a token comes to know that it is over, and what stands beside it. */
const ways = [
  {
    name: 'threads-busy',
    title:
      'from cancel() to the first poll that sees it, in a busy loop on another thread; postMessage: to an idle one',
    references: [message, atomic],
    way: 'spin',
  },
  {
    name: 'threads-wait',
    title: 'from cancel() until an idle thread goes on after wait() (floor: Atomics.waitAsync)',
    references: [message, atomic],
    way: 'hear',
  },
  {
    name: 'threads-wait-sync',
    title: 'from cancel() until a blocked thread goes on after waitSync() (floor: Atomics.wait)',
    references: [message, atomic],
    way: 'sleep',
  },
]

/** @type {import('./index.mjs').Group[]} */
const latencies = ways.map(({ name, title, references, way }) => ({
  name,
  title,
  references,
  tail: true,
  needs: ['reaches', [way, 'told']],
  async measure(_group, peers, mode) {
    const responder = await Responder.start()
    const rows = peers.map((peer) => ({ peer: peer.name, samples: [] }))
    // The first ones are for the compilers.
    const early = Math.ceil(rounds[mode] / 5)
    const end = performance.now() + budgets[mode]
    for (let round = -early; round < rounds[mode] && (round < 5 || performance.now() < end); round++) {
      for (const [at, peer] of peers.entries()) {
        const sample = responder.reach(peer, way)
        if (round >= 0) rows[at].samples.push(sample)
      }
    }
    return [{ table: name, rows }]
  },
}))

/** @type {import('./index.mjs').Group} */
const deadlines = {
  name: 'threads-deadline',
  title: 'poll a live deadline, 8 in rotation, with and without a ticker',
  references: ['floor: performance.now', plainField],
  needs: ['deadline', ['polls', 'timeoutPolls']],
  async measure(group, peers, mode) {
    for (const peer of peers) await peer.prepare?.()
    const cases = peers.map((peer) => {
      const tokens = Array.from({ length: 8 }, () => peer.deadline())
      const loop = asFunction(peer.timeoutPolls ?? peer.polls)
      return { peer: peer.name, run: (times) => loop(tokens, times), expected: 0, alive: tokens }
    })
    return [{ table: group.name, rows: await time(cases, efforts[mode], false) }]
  },
}

export const groups = [...polls, ...latencies, deadlines]
