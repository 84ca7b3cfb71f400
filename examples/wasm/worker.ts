/** Runs the module's loop: the thread does nothing else until the word that the token stands on is not 0 any more. */
import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'

const { memory, byteOffset } = workerData as { memory: WebAssembly.Memory; byteOffset: number }
const source = new URL('../../../examples/wasm/count.wasm', import.meta.url)
const { instance } = await WebAssembly.instantiate(readFileSync(source), { env: { memory } })
const count = instance.exports['count'] as (token: number) => number

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage({ turns: count(byteOffset) >>> 0 })
