/** Many threads on many tokens at once; some of the threads are killed in the middle of it. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { SharedToken } from 'calloff/threads'
import { share } from '../../effort.js'
import { turn } from '../helpers.js'
import { random } from './random.js'

/** A page has none. */
const environment = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env ?? {}

const THREADS = 8
/** CALLOFF_EFFORT=5 makes it 100,000 tokens: a minute on two cores. */
const ROUNDS = share(10, 2)
const TOKENS = 2_000

interface Report {
  readonly messages: readonly string[]
  readonly lost: number
  readonly wrong: number
}

class Rower {
  readonly #worker: Worker
  stormed!: Promise<unknown>
  report!: Promise<Report>
  #told: ((message: unknown) => void)[] = []

  constructor(name: string, seed: number) {
    this.#worker = new Worker(new URL('storm.child.js', import.meta.url), { workerData: { name, seed } })
    this.#worker.on('message', (message) => this.#told.shift()?.(message))
  }

  row(handles: readonly unknown[]): void {
    const next = () => new Promise<unknown>((resolve) => this.#told.push(resolve))
    this.stormed = next()
    this.report = next() as Promise<Report>
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(handles)
  }

  async sink(): Promise<void> {
    await this.#worker.terminate()
  }
}

it(`nothing hangs and nothing is lost: ${THREADS} threads on ${ROUNDS * TOKENS} tokens, some threads killed`, async () => {
  const seed = Number(environment.CALLOFF_SEED ?? Math.floor(Math.random() * 2 ** 32))
  const chance = random(seed)
  let launched = 0
  const launch = () => new Rower(`thread ${launched}`, seed + launched++)
  const crew = Array.from({ length: THREADS }, launch)
  let counted = 0
  for (let round = 0; round < ROUNDS; round++) {
    const tokens = Array.from({ length: TOKENS }, () => new SharedToken())
    const handles = tokens.map(({ handle }) => handle)
    for (const rower of crew) rower.row(handles)
    let alive = crew
    if (round % 5 === 4 || round === ROUNDS - 1) {
      // Somewhere in the storm: a turn of the event loop, or several.
      for (let turns = Math.floor(chance() * 20); turns > 0; turns--) await turn()
      const victim = Math.floor(chance() * THREADS)
      alive = crew.filter((_, at) => at !== victim)
      await crew[victim]!.sink()
      crew[victim] = launch()
    }
    await Promise.all(alive.map(({ stormed }) => stormed))
    for (const token of tokens) token.cancel('by main')
    for (const report of await Promise.all(alive.map((rower) => rower.report))) {
      const { messages, lost, wrong } = report
      assert.ok(messages, `seed ${seed}: ${JSON.stringify(report)}`)
      assert.deepEqual([lost, wrong], [0, 0], `seed ${seed}, round ${round}`)
      assert.deepEqual(
        messages,
        tokens.map(({ error }) => error!.message),
        `seed ${seed}, round ${round}`,
      )
      counted += messages.length
    }
  }
  assert.ok(counted >= ROUNDS * TOKENS * (THREADS - 1))
  await Promise.all(crew.map((rower) => rower.sink()))
})
