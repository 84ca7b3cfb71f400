/**
 * A worker of a BullMQ queue, whose jobs anybody can stop from another process by their names: one that runs, one that still
 * waits in the queue, one that will be tried again. `node build/examples/queue/worker.js redis://localhost:6379`, and to stop a
 * job `node build/examples/hub/stop.js redis://localhost:6379 reports/1`. Ctrl+C ends the worker when its jobs are done.
 */
import process from 'node:process'
import { type Job, UnrecoverableError, Worker } from 'bullmq'
import { isCancellation } from 'calloff'
import { ProcessSignalToken } from 'calloff/node'
import { connectHub, type RemoteToken } from 'calloff/remote'

const [url = 'redis://localhost:6379'] = process.argv.slice(2)
using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')
await using hub = await connectHub(url)

async function render(job: Job<{ pages: number }>, token: RemoteToken): Promise<void> {
  for (let page = 1; page <= job.data.pages; page++) {
    await token.sleep(20)
    await job.updateProgress(page)
    if (page === 1) console.log(`${token.name} has begun`)
  }
}

async function work(job: Job<{ pages: number }>): Promise<void> {
  using token = hub.open(`${job.queueName}/${job.id}`)
  await token.ready
  try {
    token.check() // it may have been stopped while it waited in the queue
    await token.finished(render(job, token))
  } catch (error) {
    if (!isCancellation(error, token)) throw error
    // A job that fails is tried again, as often as its `attempts` say; this one shall not be.
    throw new UnrecoverableError(`stopped: ${String(token.reason)}`)
  }
}

const worker = new Worker('reports', work, { connection: { url }, concurrency: 2 })
worker.on('completed', (job) => console.log(`${job.queueName}/${job.id} is done`))
worker.on('failed', (job, { message }) => console.log(`${job?.queueName}/${job?.id} has failed, ${message}`))
worker.on('error', ({ message }) => console.error(message))
console.log('waits for jobs')
await interrupted.wait()
await worker.close()
