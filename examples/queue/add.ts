/** Puts a job into the queue of worker.ts. `node build/examples/queue/add.js redis://localhost:6379 [pages]` */
import process from 'node:process'
import { Queue } from 'bullmq'

const [url = 'redis://localhost:6379', pages = '1000'] = process.argv.slice(2)
const queue = new Queue('reports', { connection: { url } })
const job = await queue.add('render', { pages: Number(pages) }, { attempts: 3 })
console.log(`${job.queueName}/${job.id}`)
await queue.close()
