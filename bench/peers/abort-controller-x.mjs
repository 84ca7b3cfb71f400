// Waiting and racing with platform signals.
import { abortable, delay, race } from 'abort-controller-x'

/** @type {import('./index.mjs').Peer} */
const aroundAPromise = {
  name: 'abort-controller-x abortable',
  only: ['race', 'delay-cancel', 'leak'],
  create() {
    const controller = new AbortController()
    void controller.signal
    return controller
  },
  token: (controller) => controller.signal,
  cancel: (controller) => controller.abort(),
  race: (signal, work) => abortable(signal, work),
  async calledOff() {
    const controller = new AbortController()
    const slept = delay(controller.signal, 60_000)
    controller.abort()
    try {
      await slept
      return false
    } catch {
      return true
    }
  },
}

/** @type {import('./index.mjs').Peer} */
const cooperativeRace = {
  ...aroundAPromise,
  name: 'abort-controller-x race',
  only: ['race', 'leak'],
  cooperative: true,
  race: (signal, work) => race(signal, () => [work]),
}

export const peers = [aroundAPromise, cooperativeRace]
