import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it } from 'node:test'
import { redisServer, skip } from '../remote/redis/server.js'
import { type Outcome, run, start } from './run.js'

const isWindows = process.platform === 'win32' && 'Windows has no signals to send'

function hasPrinted({ lines, stderr, code }: Outcome, ...expected: string[]): void {
  assert.deepEqual({ lines, stderr, code }, { lines: expected, stderr: '', code: 0 })
}

describe('the jobs of a queue are stopped from another process', { skip: skip || isWindows }, () => {
  it('one that runs, and one that waits; the others are done, and none is tried again', async () => {
    const server = await redisServer()
    try {
      const url = `redis://127.0.0.1:${server.port}`
      const worker = start('queue/worker', [url])
      let heard = ''
      const says = (line: string): Promise<void> =>
        new Promise((resolve, reject) => {
          const look = () => heard.split('\n').includes(line) && resolve()
          worker.child.stdout.on('data', look)
          void worker.outcome.then(() => reject(new Error(`it has never said ${line}, but\n${heard}`)), reject)
          look()
        })
      worker.child.stdout.on('data', (text: string) => (heard += text))
      await says('waits for jobs')

      // Two have room.
      for (const id of [1, 2, 3]) hasPrinted(await run('queue/add', [url, '100000']), `reports/${id}`)
      await Promise.all([says('reports/1 has begun'), says('reports/2 has begun')])
      hasPrinted(await run('hub/stop', [url, 'reports/3', 'not needed']), '0 held it, 0 finished')
      hasPrinted(await run('hub/stop', [url, 'reports/1', 'too slow']), '1 held it, 1 finished')
      await Promise.all([
        says('reports/1 has failed, stopped: too slow'),
        says('reports/3 has failed, stopped: not needed'),
      ])
      hasPrinted(await run('queue/add', [url, '2']), 'reports/4')
      await says('reports/4 is done')
      hasPrinted(await run('hub/stop', [url, 'reports/2', 'closing time']), '1 held it, 1 finished')
      await says('reports/2 has failed, stopped: closing time')

      worker.child.kill('SIGINT')
      const { lines, stderr, code } = await worker.outcome
      assert.deepEqual([stderr, code], ['', 0])
      // Nothing ran twice, and the one that had waited never.
      assert.deepEqual(lines.toSorted(), [
        'reports/1 has begun',
        'reports/1 has failed, stopped: too slow',
        'reports/2 has begun',
        'reports/2 has failed, stopped: closing time',
        'reports/3 has failed, stopped: not needed',
        'reports/4 has begun',
        'reports/4 is done',
        'waits for jobs',
      ])
    } finally {
      await server.end()
    }
  })
})
