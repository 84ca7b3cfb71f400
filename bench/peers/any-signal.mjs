// Derives from platform signals, and can let go of them. Everything else is the platform's.
import { anySignal as any } from 'any-signal'

/** @type {import('./index.mjs').Peer} */
const anySignal = {
  name: 'any-signal',
  only: ['derive1', 'derive2', 'child', 'fanout-children', 'leak', 'memory'],
  create() {
    const controller = new AbortController()
    void controller.signal
    return controller
  },
  token: (source) => source.signal,
  cancel: (source) => source.abort(),
  derive1: (parent) => any([parent]),
  derive2: (a, b) => any([a, b]),
  child(parent) {
    const controller = new AbortController()
    return { signal: any([parent, controller.signal]), abort: () => controller.abort() }
  },
  release: (source) => source.signal.clear(),
  listen(signal, listener) {
    signal.addEventListener('abort', listener)
    return listener
  },
  unlisten: (signal, listener) => signal.removeEventListener('abort', listener),
}

export const peers = [anySignal]
