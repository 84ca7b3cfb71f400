/** The program of the thread that background.ts starts. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { share } from '../../threads/index.js'
import type { FromThread } from './background.js'
import { openLink } from './borrowed-token.js'
import type { Place } from './protocol.js'

async function watch(port: MessagePort, place: Place): Promise<void> {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const say = (what: FromThread) => port.postMessage(what)
  const { token, ask } = await openLink(place)
  // Keeps the thread alive until it is terminated.
  port.on('message', () => void ask().then(() => say('answered')))
  const shared = share(token)
  say({ handle: shared.handle, name: token.name })
}

// An error ends the thread. The other side learns of it by the exit event.
if (parentPort) void watch(parentPort, workerData as Place)
