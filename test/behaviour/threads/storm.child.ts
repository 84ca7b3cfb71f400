/** Polls, cancels and waits for whatever tokens it is given, at random, until all of them are over. */
import { parentPort, workerData } from 'node:worker_threads'
import { isCancellation, type CancellationError } from 'calloff'
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { random } from './random.js'

const { name, seed } = workerData as { readonly name: string; readonly seed: number }
const chance = random(seed)
const port = parentPort!
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
const say = (message: unknown) => port.postMessage(message)

async function storm(handles: readonly SharedHandle[]): Promise<void> {
  const tokens = handles.map((handle) => SharedToken.from(handle))
  const heard: string[] = []
  const pending: Promise<void>[] = []
  const expected = tokens.map((token, at) => {
    const hear = (error: CancellationError) => {
      heard[at] = error.message
    }
    const what = chance()
    if (what < 0.4) token.onCancel(hear)
    else if (what < 0.6) pending.push(token.wait().then(hear))
    else return false
    return true
  })
  for (let turn = 0; turn < tokens.length; turn++) {
    const token = tokens[Math.floor(chance() * tokens.length)]!
    const what = chance()
    if (what < 0.2) token.cancel(`by ${name}`)
    else if (what < 0.9) for (let polls = Math.floor(chance() * 200); polls > 0 && token.keepOn(); polls--);
    else if (what < 0.91) {
      try {
        token.waitSync({ timeout: 1, step: 1 })
      } catch (error) {
        if (!isCancellation(error)) throw error
      }
    } else await token.checkpoint().catch(() => {})
  }
  say('stormed')
  await Promise.all(pending)
  await Promise.all(tokens.map((token) => token.wait()))
  // Listeners have been called by now, or whoever waited would not have been either.
  const messages = tokens.map(({ error }) => error!.message)
  const lost = expected.filter((wanted, at) => wanted !== (heard[at] !== undefined)).length
  const wrong = heard.filter((message, at) => message !== messages[at]).length
  say({ messages, lost, wrong })
}

port.on('message', (handles: readonly SharedHandle[]) => {
  storm(handles).catch((error: unknown) => say({ failed: String(error) }))
})
