/** A loop in WebAssembly, which knows nothing of tokens, is cancelled: the token stands in the module's own memory. */
import { Worker } from 'node:worker_threads'
import { SharedToken } from 'calloff/threads'
import { TimeoutToken } from 'calloff'

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
const byteOffset = 1024 // a place that the module leaves alone, and that is zero
const token = SharedToken.at(memory.buffer as unknown as SharedArrayBuffer, byteOffset, new TimeoutToken(100))
token.onCancel((error) => console.log(error.message))

const worker = new Worker(new URL('worker.js', import.meta.url), { workerData: { memory, byteOffset } })
worker.on('message', ({ turns }: { turns: number }) =>
  console.log(turns > 0 ? 'the loop has stopped' : 'it did not run'),
)
