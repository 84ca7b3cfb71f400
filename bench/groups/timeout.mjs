import { fresh } from '../measure/fresh.mjs'

const HOUR = 3_600_000

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'timeout-create',
    title: 'create a timeout',
    references: ['native', 'floor: performance.now'],
    needs: ['timeout'],
    collecting: true,
    make: (peer) => (peer.timeoutEnd ? withTimers(peer) : withoutTimers(peer)),
  },
  {
    name: 'timeout-check',
    title: 'poll a live timeout in a loop that never yields, 8 in rotation',
    references: ['native', 'floor: performance.now'],
    needs: ['timeout', ['polls', 'timeoutPolls']],
    make(peer) {
      const timeouts = Array.from({ length: 8 }, () => peer.timeout(HOUR))
      const tokens = timeouts.map(peer.timeoutToken)
      const polls = fresh({ toString: () => `function ${peer.timeoutPolls ?? peer.polls}` })
      return { peer: peer.name, run: (times) => polls(tokens, times), expected: 0, alive: timeouts }
    },
  },
]

function withoutTimers(peer) {
  const kept = Array.from({ length: 8 })
  const loop = fresh((timeout, ms, kept) => (times) => {
    for (let i = 0; i < times; i++) kept[i & 7] = timeout(ms)
  })
  return { peer: peer.name, run: loop(peer.timeout, HOUR, kept), most: 100_000 }
}

/** Every one is kept, as its timer does anyway, so that the timers can be taken back when the clock has stopped. */
function withTimers(peer) {
  let kept = []
  const loop = fresh((timeout, ms) => (times, kept) => {
    for (let i = 0; i < times; i++) kept[i] = timeout(ms)
  })(peer.timeout, HOUR)
  return {
    peer: peer.name,
    setup(times) {
      kept = Array.from({ length: times })
    },
    run: (times) => loop(times, kept),
    teardown() {
      for (const one of kept) peer.timeoutEnd(one)
      kept = []
    },
    most: 20_000,
  }
}
