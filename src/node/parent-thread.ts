/** The thread of parent-background.ts. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { share } from '../threads/index.js'
import type { FromThread } from './parent-background.js'
import { openLink } from './parent-link.js'
import type { Place } from './parent-protocol.js'

async function watch(port: MessagePort, place: Place): Promise<void> {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const say = (what: FromThread) => port.postMessage(what)
  const { token, ask } = await openLink(place)
  // Keeps the thread until it is ended.
  port.on('message', () => void ask().then(() => say('answered')))
  const shared = share(token)
  say({ handle: shared.handle, name: token.name })
}

// An error ends the thread, and is told by its end.
if (parentPort) void watch(parentPort, workerData as Place)
