/**
 * Thousands of runs of the simulation, each with a seed of its own.
 *
 * CALLOFF_SEED and CALLOFF_RUNS say which: of a run that fails the message names both, with which it is the same again.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runs } from '../../property/runs.js'

const program = fileURLToPath(new URL('simulation.child.js', import.meta.url))
/** Processes at a time. */
const AT_ONCE = 2

async function play(first: number, count: number): Promise<void> {
  const child = spawn(process.execPath, [program, String(first), String(count)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text))
  await once(child, 'close')
  assert.equal(said, `${count} runs\n`, `CALLOFF_SEED=${first} CALLOFF_RUNS=${count}`)
}

test('whatever happens to connections, servers and clients, nothing acknowledged is lost, and nothing else happens', async () => {
  const { numRuns = 0, seed = Date.now() % 2 ** 31 } = runs(1_000)
  const share = Math.ceil(numRuns / AT_ONCE)
  const parts = Array.from({ length: AT_ONCE }, (_, i) => [seed + i * share, Math.min(share, numRuns - i * share)])
  await Promise.all(parts.map(([first = 0, count = 0]) => (count > 0 ? play(first, count) : Promise.resolve())))
})
