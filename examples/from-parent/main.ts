/**
 * A program with a child that counts primes, in a loop that never yields, and cancels it: the child hands in what it has. It is
 * started through a shell, as an npm script would be. `node build/examples/from-parent/main.js [ms]`
 */
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { SimpleToken } from 'calloff'
import { spawn } from 'calloff/node'

const [ms = '300'] = process.argv.slice(2)
const token = new SimpleToken({ name: 'search' })
const counter = fileURLToPath(new URL('counter.js', import.meta.url))
const child = await spawn(`"${process.execPath}" "${counter}"; true`, [], {
  token,
  shell: true,
  lend: true,
  stdio: ['ignore', 'pipe', 'inherit'],
})
for await (const line of child.stdout ?? []) {
  process.stdout.write(String(line))
  if (String(line).includes('begun')) setTimeout(() => token.cancel('the user has left'), Number(ms))
}
const { forced } = await child.ended
console.log(`killed: ${forced}`)
