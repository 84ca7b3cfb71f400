/** A borrowed token whose connection lives in a thread of its own, and whose state is in shared memory. */
import { Worker } from 'node:worker_threads'
import { after, keepAlive } from '../../core/clock.js'
import type { Form } from '../../core/describe.js'
import type { CancellationKind } from '../../core/errors.js'
import { end } from '../../core/graph.js'
import { type CancellationToken, SimpleToken } from '../../core/token.js'
import type { SharedHandle } from '../../threads/index.js'
import { wrongProgram } from './errors.js'
import type { ParentLink } from './borrowed-token.js'
import type { Place } from './protocol.js'

/** Messages of the thread: the token, or that the token is at least as new as the last question. */
export type FromThread = { readonly handle: SharedHandle; readonly name: string | undefined } | 'answered'

/**
 * Milliseconds to wait for an answer of the thread. The thread itself waits for the lender as long as borrowed-token.ts
 * says.
 */
const PATIENCE = 1_000

/**
 * Does the same as `openLink`. Rejects only if the thread cannot be started or ends before it has sent the token, with
 * a `ParentThreadError`.
 */
export async function openInBackground(place: Place, program: string | URL | undefined): Promise<ParentLink> {
  const { SharedToken } = await import('../../threads/index.js')
  const worker = launch(place, program)
  const letGo = keepAlive()
  return new Promise((resolve, reject) => {
    let token: CancellationToken | undefined
    const waiting = new Set<() => void>()
    worker.on('message', (said: FromThread) => {
      if (said === 'answered') {
        for (const done of waiting) done()
        return
      }
      letGo()
      const shared = SharedToken.from(said.handle)
      token = new BackgroundParent(said.name, shared)
      token.onCancel(() => void worker.terminate())
      resolve({ token, ask: () => ask(worker, waiting) })
    })
    let failure: unknown
    worker.on('error', (error) => (failure = error))
    worker.once('exit', () => {
      letGo()
      for (const done of waiting) done()
      // Without the thread, no one would hear from the lender any more.
      if (token) end(token, 'disconnect')
      else reject(wrongProgram(failure))
    })
    worker.unref() // called here, because adding a listener refs the worker again
  })
}

function launch(workerData: Place, program: string | URL | undefined): Worker {
  if (program !== undefined) return new Worker(program, { workerData, execArgv: [] })
  try {
    // Exactly this expression: webpack, Parcel and Vite recognise it and make a file of the worker.
    return new Worker(new URL('./worker.js', import.meta.url), { workerData, execArgv: [] })
  } catch (cause) {
    throw wrongProgram(cause) // a CommonJS bundle has no URL
  }
}

function ask(worker: Worker, waiting: Set<() => void>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stop()
      waiting.delete(done)
      resolve()
    }
    const stop = after(PATIENCE, done, false)
    waiting.add(done)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage('ask')
  })
}

class BackgroundParent extends SimpleToken {
  constructor(name: string | undefined, shared: CancellationToken) {
    super({ name }, shared)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'disconnect'
      ? 'was cancelled because the thread that watches its lender has ended'
      : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return { call: 'fromParent' }
  }
}
