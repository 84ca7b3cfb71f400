// No tokens: a fiber is interrupted. What compares is a sleep that is called off, and works that end together.
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
  async together(values) {
    const works = Effect.forEach(values, (value) => Effect.promise(() => Promise.resolve(value)), {
      concurrency: 'unbounded',
    })
    return (await Effect.runPromise(works)).reduce((sum, value) => sum + value, 0)
  },
  async oneFails(others) {
    let stopped = 0
    const endless = Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped++))
    const works = Array.from({ length: others }, () => endless)
    works.push(Effect.fail('work'))
    const exit = await Effect.runPromiseExit(Effect.all(works, { concurrency: 'unbounded' }))
    if (!Exit.isFailure(exit)) throw new Error('it has not failed')
    return stopped
  },
}

export const peers = [effect]
