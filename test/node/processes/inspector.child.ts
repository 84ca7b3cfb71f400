/** A program that lets itself be asked: `inspector.child.js hangs | is-busy FILE`. */
import 'calloff/inspector'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { scope, SimpleToken } from 'calloff'

const [how, file = ''] = process.argv.slice(2)
const server = new SimpleToken({ name: 'server' })

function crunch(): void {
  console.log('ready')
  while (!existsSync(file));
}

const running = scope(
  server,
  (s) => {
    void s.run(() => (how === 'hangs' ? new Promise(() => {}) : crunch()), { name: 'numbers' })
  },
  { name: 'import' },
)
if (how === 'hangs') {
  server.cancel('enough')
  setInterval(() => {}, 1_000)
  console.log('ready')
}
await running
console.log('done')
