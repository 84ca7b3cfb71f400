// Times several cases in turns, so that whatever slows the machine down slows them all.
import { collect } from './runtime.mjs'

/**
 * @typedef {object} Case
 * @property {string} peer
 * @property {(times: number) => void} [setup] Before each sample, off the clock.
 * @property {(times: number) => unknown} run What is timed; what it gives is looked at, so that it cannot be left out.
 * @property {number} [expected] What it has to give, if it is always the same.
 * @property {() => void} [teardown] After each sample, off the clock.
 * @property {number} [most] The largest number of times for one sample.
 */

/**
 * @typedef {object} Effort
 * @property {number} warmUp Milliseconds of running before anything counts: the compilers have to be done.
 * @property {number} sample Milliseconds of one sample.
 * @property {number} rounds Samples of each case.
 * @property {number} budget Milliseconds after which three samples of each are enough.
 */

/** @type {Record<'quick' | 'full', Effort>} */
export const efforts = {
  quick: { warmUp: 40, sample: 2, rounds: 3, budget: 250 },
  full: { warmUp: 150, sample: 8, rounds: 9, budget: 1_500 },
}

/** Somewhere for results to go that no compiler can see through. */
let sink = 0

async function sampleOf(one, times, collecting) {
  // In this order: what the setup makes is young, as it is in a program that has just made it, and so writes to it are cheap.
  if (collecting) collect()
  one.setup?.(times)
  const begin = performance.now()
  let result = one.run(times)
  if (result instanceof Promise) result = await result
  const took = performance.now() - begin
  one.teardown?.()
  if (one.expected !== undefined && result !== one.expected)
    throw new Error(`${one.peer}: gave ${result} where ${one.expected} was due`)
  sink += Number(result ?? 1)
  return took
}

/** How many times, so that one sample takes long enough for the clock to be exact. */
async function calibrate(one, effort) {
  const most = one.most ?? 2 ** 28
  for (let times = 16; ;) {
    if (times >= most) return most
    const took = await sampleOf(one, times, false)
    if (took >= effort.sample) return times
    const factor = took < effort.sample / 20 ? 8 : Math.min(8, Math.max(1.2, (1.1 * effort.sample) / took))
    times = Math.ceil(times * factor)
  }
}

/** Runs a case until it is compiled as well as it will be, then finds its number of times. */
async function warmUp(one, effort) {
  const times = await calibrate(one, effort)
  for (let spent = 0; spent < effort.warmUp;) spent += Math.max(0.1, await sampleOf(one, times, false))
  return calibrate(one, effort)
}

/**
 * Nanoseconds per operation: as many samples of each case, taken in turns.
 *
 * @param {readonly Case[]} cases
 * @param {Effort} effort
 * @param {boolean} collecting Whether the garbage of one sample is cleared away before the next.
 * @returns {Promise<{ peer: string, samples: number[] }[]>}
 */
export async function time(cases, effort, collecting) {
  const times = []
  for (const one of cases) times.push(await warmUp(one, effort))
  const results = cases.map(({ peer }) => ({ peer, samples: [] }))
  const begin = performance.now()
  for (let round = 0; round < effort.rounds; round++) {
    for (const [at, one] of cases.entries())
      results[at].samples.push(((await sampleOf(one, times[at], collecting)) * 1e6) / times[at])
    if (round >= 2 && performance.now() - begin > effort.budget) break
  }
  if (Number.isNaN(sink)) throw new Error('a case gave something that is no number')
  return results
}
