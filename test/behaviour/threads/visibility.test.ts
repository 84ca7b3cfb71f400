/**
 * A loop that never yields sees what another thread has written. JavaScriptCore lifts plain reads of shared memory out of
 * loops, so on Bun these are real tests; V8 has never done so, and there they prove little.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { SharedToken } from 'calloff/threads'
import { sample } from '../../effort.js'
import type { Task } from './loops.child.js'

const shapes: readonly Task['shape'][] = [
  'empty',
  'keepOn with float work',
  'latch',
  'check',
  'nested, polled outside',
  'unrolled',
  'allocating',
  'fresh for each poll',
  'fresh for 3 polls',
  'fresh for 8 polls',
  'fresh for 40 polls',
  'a token below',
]

/** Runs a loop until the compilers have had their chance, then cancels; whether it ends within `limit` ms. */
async function ends(shape: Task['shape'], warm: boolean, limit: number): Promise<boolean> {
  const token = new SharedToken()
  const workerData: Task = { shape, warm, handle: token.handle, over: new SharedToken().cancel().handle }
  const worker = new Worker(new URL('loops.child.js', import.meta.url), { workerData })
  const said = (what: string) =>
    new Promise<void>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('message', (message) => message === what && resolve())
    })
  const over = said('seen')
  await said('begun')
  await new Promise((resolve) => {
    setTimeout(resolve, 150)
  })
  token.cancel()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, limit, false)
  })
  const seen = await Promise.race([over.then(() => true), late])
  clearTimeout(timer)
  // A loop that does not end keeps its thread: the process is not to wait for it.
  if (seen) await worker.terminate()
  else worker.unref()
  return seen
}

describe('a loop that never yields sees the cancel', () => {
  for (const shape of sample(shapes)) {
    for (const warm of [false, true]) {
      it(`${shape}, ${warm ? 'compiled before' : 'compiled as it runs'}`, async () => {
        assert.ok(await ends(shape, warm, 120_000))
      })
    }
  }
})

// The control. The day this fails an engine has changed, and so may the way tokens poll.
const isLifted = 'Bun' in globalThis
it(`a loop over a plain read alone ${isLifted ? 'never ends on JavaScriptCore' : 'ends on V8'}`, async () => {
  assert.equal(await ends('plain', true, isLifted ? 1_000 : 120_000), !isLifted)
})
