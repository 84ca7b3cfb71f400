/**
 * Writes directly to the descriptors.
 *
 * `process.stdout` would make a pipe that is shared with the command under `run` non-blocking, which cat and many other
 * programs do not expect. So the command line does not use `process.stdin`, `process.stdout` or `process.stderr`.
 */
import { writeSync } from 'node:fs'
import process from 'node:process'
import { OK } from './exit-codes.js'

const STDOUT = 1
const STDERR = 2

/** Prints a message to standard error, for the user or the log. If standard error is closed, the message is dropped. */
export function printMessage(text: string, prefix = 'calloff: '): void {
  try {
    write(STDERR, `${prefix}${text}\n`)
  } catch {
    // The terminal is gone, or the pipe is closed.
  }
}

/**
 * Writes a result. If the reader has closed the pipe (`| head -1`), the process ends without a message, as SIGPIPE
 * would end it.
 */
export function printResult(text: string): number {
  try {
    write(STDOUT, text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    process.exit(CLOSED_PIPE)
  }
  return OK
}

/** The exit code that a shell shows for a program that SIGPIPE has killed: 128 plus the number of the signal. */
const CLOSED_PIPE = 141

function write(descriptor: number, text: string): void {
  let left = Buffer.from(text)
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(descriptor, left))
    } catch (error) {
      // Another process has made the descriptor non-blocking, and it is full.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
