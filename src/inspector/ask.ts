/** Asks a process, over its socket. report.ts checks the answer. */
import { connect } from 'node:net'
import {
  cancelAnswerFrom,
  type CancelAnswer,
  LONGEST_ANSWER,
  type ProcessReport,
  type Question,
  reportFrom,
} from './report.js'
import type { Place } from './place.js'

/** The most milliseconds that an answer may take. A process that is stopped (SIGSTOP) accepts connections and does not answer. */
const TIMEOUT = 20_000

const SILENT = 'has ended the connection without an answer'

/** The process gave no answer, or one that is too long. */
export class NoAnswerError extends Error {}

/** Asks for the state of a process. Errors: {@link NoAnswerError}, `BadReportError`. */
export async function askProcess(place: Place, ask: 'process' | 'tree'): Promise<ProcessReport> {
  return reportFrom(await answerOf(place, { ask }))
}

/** Asks a process to cancel one of its tokens. Errors: {@link NoAnswerError}, `BadReportError`. */
export async function askToCancel(place: Place, path: string, reason: string | undefined): Promise<CancelAnswer> {
  return cancelAnswerFrom(await answerOf(place, { ask: 'cancel', path, reason }))
}

function answerOf({ path }: Place, question: Question): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const parts: Buffer[] = []
    let bytes = 0
    const fail = (why: string) => {
      clearTimeout(limit)
      socket.destroy()
      reject(new NoAnswerError(why))
    }
    const limit = setTimeout(fail, TIMEOUT, `did not answer within ${TIMEOUT / 1_000}s`)
    socket.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') fail('has ended')
      else if (code === 'ECONNRESET' || code === 'EPIPE') fail(SILENT)
      else fail(`cannot be asked: ${message}`)
    })
    socket.on('data', (part: Buffer) => {
      parts.push(part)
      bytes += part.length
      if (bytes > LONGEST_ANSWER) fail('has sent an answer that is too long')
    })
    socket.once('end', () => {
      clearTimeout(limit)
      socket.destroy()
      if (bytes === 0) reject(new NoAnswerError(SILENT))
      else resolve(Buffer.concat(parts).toString())
    })
    // Not ended: some runtimes answer nothing on a connection whose other half is closed.
    socket.write(`${JSON.stringify(question)}\n`)
  })
}
