import exported from 'cancellationtoken'

// A CommonJS package: its default export is where the runtime puts it.
const CancellationToken = exported.default ?? exported

/** @type {import('./index.mjs').Peer} */
const cancellationtoken = {
  name: 'cancellationtoken',
  create: () => CancellationToken.create(),
  token: (source) => source.token,
  cancel: (source) => source.cancel(),
  polls(tokens, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (tokens[i & 7].isCancelled) over++
    return over
  },
  pollsOne(token, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (token.isCancelled) over++
    return over
  },
  derive1: (parent) => CancellationToken.race(parent),
  derive2: (a, b) => CancellationToken.race(a, b),
  child(parent) {
    const own = CancellationToken.create()
    return { token: CancellationToken.race(parent, own.token), cancel: own.cancel }
  },
  timeout: (ms) => CancellationToken.timeout(ms),
  timeoutToken: (source) => source.token,
  timeoutEnd: (source) => source.cancel(),
  listen: (token, listener) => token.onCancelled(listener),
  unlisten: (_token, stop) => stop(),
  race: (token, work) => token.racePromise(work),
}

export const peers = [cancellationtoken]
