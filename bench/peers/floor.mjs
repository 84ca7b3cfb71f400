// What no library can beat: the bare field, the bare clock, and the README's loop written by hand.

class Flag {
  cancelled = false
}

/** @type {import('./index.mjs').Peer} */
const plainField = {
  name: 'floor: plain field',
  create: () => new Flag(),
  token: (flag) => flag,
  cancel: (flag) => {
    flag.cancelled = true
  },
  atAnyDepth: true,
  polls(flags, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (flags[i & 7].cancelled) over++
    return over
  },
  pollsOne(flag, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (flag.cancelled) over++
    return over
  },
}

/** @type {import('./index.mjs').Peer} */
const clock = {
  name: 'floor: performance.now',
  timeout: (ms) => performance.now() + ms,
  timeoutToken: (at) => ({ at }),
  timeoutPolls(deadlines, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (performance.now() >= deadlines[i & 7].at) over++
    return over
  },
}

/** @type {import('./index.mjs').Peer} */
const clockAndObject = {
  name: 'floor: clock and object',
  only: ['timeout-create'],
  timeout: (ms) => ({ at: performance.now() + ms }),
  timeoutToken: (deadline) => deadline,
  timeoutPolls: clock.timeoutPolls,
}

/** @type {import('./index.mjs').Peer} */
const byHand = {
  name: 'floor: by hand',
  quickstart(rounds) {
    const luck = -1
    const deadline = performance.now() + 3_600_000
    let left = rounds
    let turns = 0
    while (!(Math.random() < luck) && left-- > 0 && performance.now() < deadline) turns++
    return turns
  },
}

export const peers = [plainField, clock, clockAndObject, byHand]
