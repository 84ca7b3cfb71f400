// No tokens: a fiber is interrupted. What compares is a sleep that is called off.
import { Effect, Exit, Fiber } from 'effect'

/** @type {import('./index.mjs').Peer} */
const effect = {
  name: 'effect (fiber)',
  async calledOff() {
    const fiber = Effect.runFork(Effect.sleep(60_000))
    await Effect.runPromise(Fiber.interrupt(fiber))
    const exit = fiber.pollUnsafe()
    return exit !== undefined && Exit.isFailure(exit)
  },
}

export const peers = [effect]
