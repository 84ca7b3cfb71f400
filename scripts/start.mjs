// `npm start -- …` runs examples/checksum, building first where needed. It works on a fresh clone.
import { spawn } from 'node:child_process'
import { build } from './build.mjs'
import { announce, ensureInstalled, root } from './installed.mjs'

ensureInstalled()
if (!build({ ifStale: true })) {
  console.error('calloff: the build failed (see above), so the example was not started.')
  process.exit(1)
}

announce('running examples/checksum')
// npm passes a Ctrl+C on to its script, which a terminal has told already: the example would take the same keystroke for
// the impatient second one. So it gets a process group of its own, and each signal once.
const example = spawn(process.execPath, [`${root}/build/examples/checksum/main.js`, ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: process.env['INIT_CWD'] ?? process.cwd(),
  detached: process.platform !== 'win32',
})
const sameKeystroke = 200
let last = -Infinity
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    const now = performance.now()
    if (now - last > sameKeystroke) example.kill(signal)
    last = now
  })
}
example.on('error', (error) => {
  console.error(`calloff: the example could not be started: ${error.message}`)
  process.exitCode = 1
})
example.on('exit', (code, signal) => {
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }
  process.exitCode = code ?? 128 + (numbers[signal] ?? 0)
})
