/**
 * Ctrl+C asks the loop to stop; it finishes the turn it is in, and leaves with the exit code a shell expects. Who cannot wait
 * presses it again: by then the handler is gone, and the second one ends the process at once.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { ProcessSignalToken } from 'calloff/node'

const ms = Number(process.argv[2] ?? 500)

using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')
for await (const turn of interrupted.turns()) {
  console.log(`turn ${turn}: begins`)
  await pause(ms) // work that must not be cut in two
  console.log(`turn ${turn}: done`)
}

console.log(`stopped by ${String(interrupted.reason)}`)
process.exitCode = interrupted.exitCode
