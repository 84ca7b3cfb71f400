import { CancelToken } from '@esfx/async-canceltoken'

/** @type {import('./index.mjs').Peer} */
const esfx = {
  name: '@esfx/async-canceltoken',
  create() {
    const source = CancelToken.source()
    void source.token
    return source
  },
  token: (source) => source.token,
  cancel: (source) => source.cancel(),
  polls(tokens, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (tokens[i & 7].signaled) over++
    return over
  },
  pollsOne(token, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (token.signaled) over++
    return over
  },
  derive1: (parent) => CancelToken.race([parent]),
  derive2: (a, b) => CancelToken.race([a, b]),
  child: (parent) => CancelToken.source([parent]),
  release: (source) => source.close(),
  timeout(ms) {
    const source = CancelToken.source()
    source.cancelAfter(ms)
    return source
  },
  timeoutToken: (source) => source.token,
  timeoutEnd: (source) => source.close(),
  listen: (token, listener) => token.subscribe(listener),
  unlisten: (_token, handle) => handle.unsubscribe(),
}

export const peers = [esfx]
