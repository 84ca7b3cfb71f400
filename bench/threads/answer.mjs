// The thread of responder.mjs: one order after the other, each told by a message, answered through shared memory.
import { parentPort, workerData } from 'node:worker_threads'
import { load } from '../peers/index.mjs'
import { ANSWER, PING, PONG, READY, WORDS } from './words.mjs'

const words = new Int32Array(workerData, 0, WORDS)
const moment = new Float64Array(workerData, WORDS * 4, 1)
const known = new Map()

async function find(file, name) {
  if (!known.has(name)) for (const peer of await load(file)) known.set(peer.name, peer)
  return known.get(name)
}

function tell(word) {
  Atomics.add(words, word, 1)
  Atomics.notify(words, word)
}

function answer() {
  moment[0] = performance.now()
  tell(ANSWER)
}

function compareClocks() {
  for (let last = 0; last >= 0;) {
    const turn = Atomics.load(words, PING)
    if (turn === last) continue
    moment[0] = performance.now()
    Atomics.store(words, PONG, (last = turn))
  }
}

async function obey({ file, peer: name, way, handle }) {
  const peer = await find(file, name)
  if (peer.told) return tell(READY)
  const token = peer.opened(handle)
  tell(READY)
  const heard = peer[way](token)
  // A promise or none, and no turn of promises more than it takes.
  if (heard instanceof Promise) await heard
  answer()
}

parentPort.on('message', (order) => {
  if (order === 'now') answer()
  else if (order === 'clock') compareClocks()
  else void obey(order)
})
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort.postMessage('here')
