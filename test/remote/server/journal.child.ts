/** Stores marks in a journal, one after the other, forgets those before, and says which was stored last: `journal.child.js <journal>`. */
import { writeSync } from 'node:fs'
import process from 'node:process'
import { Journal, Store } from '../inside.js'

const [path] = process.argv.slice(2)
const { journal, changes } = await Journal.open(path as string)
const store = new Store({ marks: 100_000, names: 10 }, journal, changes)
journal.of(() => store.changes())
const reason = JSON.stringify('x'.repeat(8_000))
const found = store.list({ prefix: 'n' }).map(({ topic }) => Number(topic.name.slice(1)))
for (let i = Math.max(0, ...found) + 1; ; i++) {
  const mark = { id: `${process.pid}-${i}`, kind: 'manual', reason, host: 'h', pid: 1, token: '', what: '', at: 0 }
  await store.mark({ name: `n${i}`, runId: '' }, mark, 1e9)
  writeSync(1, `${i}\n`)
  if (i > 10) await store.forget({ name: `n${i - 10}`, runId: '' })
}
