/** What piscina's threads run. */
import { parentPort } from 'node:worker_threads'
import { SharedToken } from 'calloff/threads'

/** @param {'finish' | 'hang' | { handle: import('calloff/threads').SharedTokenHandle }} task */
export default function run(task) {
  if (task === 'finish') return 1
  const token = task === 'hang' ? undefined : SharedToken.from(task.handle)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort.postMessage('running')
  for (;;) token?.check()
}
