/**
 * The end of a child process, as the system tells of it.
 *
 * Node tells of signals by name, and knows no names for real-time signals: it makes exit code 0 of them. The system tells more, but only until
 * Node has asked it for the exit code. A process closes its descriptors when it is ending already and its status is set, and Node hears of
 * that before it asks. So at the end of each output we look at whether the process is ending.
 */
import type { ChildProcess } from 'node:child_process'
import { readEndingNow } from '../../system/process-table.js'

/**
 * Whether a signal without a name has ended it, as far as that can be told: on Linux, where it has an output that is read here, and that no other
 * process holds open any longer than it does.
 */
export function watchForUnnamed(child: ChildProcess): () => boolean {
  let isUnnamed = false
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue
    const push = stream.push.bind(stream)
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      // The lowest seven bits are the signal.
      if (chunk === null) isUnnamed ||= ((readEndingNow(Number(child.pid)) ?? 0) & 0x7f) >= FIRST_UNNAMED
      return push(chunk, encoding)
    }
  }
  // What has a name, or a code, was not ended by such a signal: the number may have been another process's by then.
  return () => isUnnamed && child.exitCode === 0 && child.signalCode === null
}

/** Of the numbers of signals. */
const FIRST_UNNAMED = 32
