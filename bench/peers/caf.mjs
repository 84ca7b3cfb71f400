// Cancellable generators over platform signals. Its children hear of a cancellation through promises.
import { CAF } from 'caf'

const racing = CAF(function* (_signal, work) {
  return yield work
})

/** @type {import('./index.mjs').Peer} */
const caf = {
  name: 'caf',
  // Polling and listening are the platform's.
  only: ['create', 'derive1', 'derive2', 'timeout-create', 'fanout-children', 'race', 'delay-cancel', 'leak', 'memory'],
  later: true,
  create: () => new CAF.cancelToken(),
  token: (source) => source.signal,
  cancel: (source) => source.abort(),
  polls(signals, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (signals[i & 7].aborted) over++
    return over
  },
  derive1: (parent) => CAF.signalRace([parent]),
  derive2: (a, b) => CAF.signalRace([a, b]),
  timeout: (ms) => CAF.timeout(ms),
  timeoutToken: (source) => source.signal,
  timeoutEnd: (source) => source.abort(),
  listen(signal, listener) {
    signal.addEventListener('abort', listener)
    return listener
  },
  unlisten: (signal, listener) => signal.removeEventListener('abort', listener),
  race: (signal, work) => racing(signal, work),
  async calledOff() {
    const source = new CAF.cancelToken()
    const slept = CAF.delay(source.signal, 60_000)
    source.abort()
    try {
      await slept
      return false
    } catch {
      return true
    }
  },
}

export const peers = [caf]
