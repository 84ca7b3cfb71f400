/** The child process: it takes its time, and knows nothing of tokens. */
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'

await pause(Number(process.argv[2]))
console.log('a picture')
