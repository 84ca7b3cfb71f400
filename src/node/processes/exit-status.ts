/**
 * How a child process ended, as the system reports it.
 *
 * Node reports signals by name, and has no names for real-time signals: it reports exit code 0 for them. The system
 * tells more, but only until Node has read the exit code. When a process closes its descriptors, it is already ending
 * and its status is set. Node learns that the descriptors are closed before it reads the exit code. So this module
 * checks at the end of each output whether the process is ending.
 */
import type { ChildProcess } from 'node:child_process'
import { readEndingNow } from '../../system/process-table.js'

/**
 * Returns a function that tells whether a signal without a name has ended the process. That can be told on Linux only.
 * The process must have an output that is read here, and no other process may hold that output open for longer.
 */
export function watchForUnnamed(child: ChildProcess): () => boolean {
  let isUnnamed = false
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue
    const push = stream.push.bind(stream)
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      // The lowest seven bits are the number of the signal.
      if (chunk === null) isUnnamed ||= ((readEndingNow(Number(child.pid)) ?? 0) & 0x7f) >= FIRST_UNNAMED
      return push(chunk, encoding)
    }
  }
  // A signal without a name gives exit code 0 and no signal name. Otherwise the process id may have belonged to another
  // process by then.
  return () => isUnnamed && child.exitCode === 0 && child.signalCode === null
}

/** The lowest number of a signal without a name. */
const FIRST_UNNAMED = 32
