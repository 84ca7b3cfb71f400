/**
 * Writing, with the descriptors themselves.
 *
 * `process.stdout` and its like would make a pipe that is shared with the command under `run` non-blocking, which cat and many
 * others do not expect; so nobody here touches them.
 */
import { writeSync } from 'node:fs'
import process from 'node:process'
import { OK } from './exit-codes.js'

const STDOUT = 1
const STDERR = 2

/** Says something to whoever sits there, or keeps the log. Where nobody listens any more it is not said. */
export function say(text: string, prefix = 'calloff: '): void {
  try {
    write(STDERR, `${prefix}${text}\n`)
  } catch {
    // A terminal that is gone, a pipe that is closed.
  }
}

/** Writes a result. Whoever has read enough (`| head -1`) ends the command without a word, as a pipe does. */
export function show(text: string): number {
  try {
    write(STDOUT, text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    process.exit(CLOSED_PIPE)
  }
  return OK
}

/** What a shell shows of a program that a closed pipe has ended: 128 and SIGPIPE. */
const CLOSED_PIPE = 141

function write(descriptor: number, text: string): void {
  let left = Buffer.from(text)
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(descriptor, left))
    } catch (error) {
      // Somebody else has made it non-blocking, and it is full.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
