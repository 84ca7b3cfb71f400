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
  shared: () => new Flag(),
  deadline: () => new Flag(),
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
  deadline: () => ({ at: performance.now() + 3_600_000 }),
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

/** A word in shared memory, and the atomic operations. @type {import('./index.mjs').Peer} */
const atomic = {
  name: 'floor: Atomics.load',
  reaches: 'floor',
  shared: () => new Int32Array(new SharedArrayBuffer(4)),
  handle: (word) => word,
  opened: (word) => word,
  sharedCancel(word) {
    Atomics.store(word, 0, 1)
    Atomics.notify(word, 0)
  },
  polls(words, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (Atomics.load(words[i & 7], 0) !== 0) over++
    return over
  },
  pollsOne(word, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (Atomics.load(word, 0) !== 0) over++
    return over
  },
  spin(word) {
    while (Atomics.load(word, 0) === 0);
  },
  sleep: (word) => Atomics.wait(word, 0, 0),
  async hear(word) {
    // It does not keep a thread alive by itself.
    const hold = setInterval(() => {}, 1e9)
    await Atomics.waitAsync(word, 0, 0).value
    clearInterval(hold)
  },
}

/** What no token may do: a compiler may lift it out of the loop. @type {import('./index.mjs').Peer} */
const plainShared = {
  name: 'floor: plain shared read',
  shared: atomic.shared,
  polls(words, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (words[i & 7][0] !== 0) over++
    return over
  },
  pollsOne(word, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (word[0] !== 0) over++
    return over
  },
}

export const peers = [plainField, clock, clockAndObject, byHand, atomic, plainShared]
