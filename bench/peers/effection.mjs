// No tokens: a task is halted. What compares is a sleep that is called off, and works that end together.
import { run, sleep, spawn, suspend, until } from 'effection'

const minute = function* () {
  yield* sleep(60_000)
  return 'slept'
}

const work = (value) =>
  function* () {
    return yield* until(Promise.resolve(value))
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
  together: (values) =>
    run(function* () {
      const tasks = []
      for (const value of values) tasks.push(yield* spawn(work(value)))
      let sum = 0
      for (const task of tasks) sum += yield* task
      return sum
    }),
  async oneFails(others) {
    let stopped = 0
    const whole = run(function* () {
      for (let i = 0; i < others; i++) {
        void (yield* spawn(function* () {
          try {
            yield* suspend()
          } finally {
            stopped++
          }
        }))
      }
      void (yield* spawn(function* () {
        yield* until(Promise.reject(new Error('work')))
      }))
      yield* suspend()
    })
    try {
      await whole
    } catch {
      return stopped
    }
    throw new Error('it has not failed')
  },
}

export const peers = [effection]
