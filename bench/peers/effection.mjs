// No tokens: a task is halted. What compares is a sleep that is called off.
import { run, sleep } from 'effection'

const minute = function* () {
  yield* sleep(60_000)
  return 'slept'
}

/** @type {import('./index.mjs').Peer} */
const effection = {
  name: 'effection (task)',
  async calledOff() {
    const task = run(minute)
    await task.halt()
    try {
      await task
      return false
    } catch {
      return true
    }
  },
}

export const peers = [effection]
