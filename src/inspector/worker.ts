/**
 * The thread of the inspector: it owns the socket, so that it answers even while the main thread is busy.
 *
 * A question is passed on to the main thread. If that does not answer in time, the thread reports what it knows itself:
 * since when, in which task, and the last snapshot.
 */
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { ThreadData, ToMain, ToThread } from './messages.js'
import {
  type BusyReport,
  type CancelAnswer,
  LONGEST_QUESTION,
  type ProcessReport,
  questionFrom,
  type Snapshot,
} from './report.js'
import { SharedState } from './shared-state.js'
import { framesOfMainThread } from './frames.js'

/** Milliseconds between two checks of the signs of life, while the main thread has not answered. */
const LOOK = 500
/** Milliseconds without a sign of life, after which it counts as busy. It gives one every 500 ms. */
const STALE = 1_500
/** After so many checks it counts as busy in spite of its signs of life. */
const MOST_LOOKS = 20
/** Milliseconds after which a connection is closed, whatever it waits for. */
const CONNECTION_TIME = 60_000
const MOST_CONNECTIONS = 16

class Thread {
  readonly #port: MessagePort
  readonly #data: ThreadData
  readonly #state: SharedState
  readonly #waiting = new Map<number, (message: ToThread) => void>()
  #last: Snapshot | undefined
  #lastId = 0
  /** One cancel at a time, because the shared memory has room for one. */
  #cancels: Promise<unknown> = Promise.resolve()

  static run(port: MessagePort, data: ThreadData): void {
    const thread = new Thread(port, data)
    port.on('message', (message: ToThread) => thread.#hear(message))
    thread.#listen()
  }

  private constructor(port: MessagePort, data: ThreadData) {
    this.#port = port
    this.#data = data
    this.#state = new SharedState(data.memory)
  }

  #listen(): void {
    const { path, isPipe } = this.#data
    const server = createServer((socket) => this.#greet(socket))
    server.maxConnections = MOST_CONNECTIONS
    server.once('error', ({ message }) => this.#say({ type: 'failed', why: message }))
    server.listen(path, () => {
      server.on('error', () => {}) // errors of accepting a connection
      try {
        if (!isPipe) chmodSync(path, 0o600)
      } catch (error) {
        server.close()
        this.#say({ type: 'failed', why: (error as Error).message })
      }
    })
  }

  #say(message: ToMain): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage(message)
  }

  #hear(message: ToThread): void {
    if ('snapshot' in message) this.#last = message.snapshot
    if (message.type !== 'journal') this.#waiting.get(message.id)?.(message)
  }

  #greet(socket: Socket): void {
    let text = ''
    let isAsked = false
    const limit = setTimeout(() => socket.destroy(), CONNECTION_TIME)
    socket.setEncoding('utf8')
    socket.on('error', () => void socket.destroy())
    socket.on('close', () => clearTimeout(limit))
    socket.on('data', (part: string) => {
      if (isAsked) return // one question for each connection
      text += part
      isAsked = text.includes('\n')
      if (isAsked) this.#reply(socket, text.split('\n', 1)[0] as string)
      else if (text.length > LONGEST_QUESTION) socket.destroy()
    })
  }

  #reply(socket: Socket, text: string): void {
    const question = questionFrom(text)
    if (!question) {
      socket.destroy()
      return
    }
    const failed = () => void socket.destroy()
    if (question.ask === 'cancel') {
      // The main thread waits for the delivery when its process ends.
      const deliver = ({ id, answer }: { readonly id: number; readonly answer: CancelAnswer }) => {
        const delivered = () => this.#state.deliver(id)
        socket.once('finish', delivered).once('close', delivered).end(JSON.stringify(answer))
        if (socket.destroyed) delivered()
      }
      void this.#cancel(question.path, question.reason).then(deliver, failed)
    } else this.#report(question.ask === 'tree').then((report) => socket.end(JSON.stringify(report)), failed)
  }

  /** Resolves with undefined if the main thread does not answer in time. */
  #ask(message: ToMain & { readonly id: number }): Promise<ToThread | undefined> {
    return new Promise((resolve) => {
      let looks = 0
      const done = (answer: ToThread | undefined) => {
        clearInterval(looking)
        this.#waiting.delete(message.id)
        resolve(answer)
      }
      const looking = setInterval(() => {
        if (++looks >= MOST_LOOKS || Date.now() - this.#state.lastBeat > STALE) done(undefined)
      }, LOOK)
      this.#waiting.set(message.id, done)
      this.#say(message)
    })
  }

  async #report(isWhole: boolean): Promise<ProcessReport> {
    const { self } = this.#data
    const answer = await this.#ask({ type: isWhole ? 'tree' : 'ping', id: ++this.#lastId })
    if (answer?.type === 'pong') return self
    if (answer?.type === 'tree') return { ...self, snapshot: answer.snapshot }
    const busy = await this.#busy(isWhole)
    return { ...self, busy, snapshot: isWhole ? this.#last : undefined }
  }

  async #busy(isWhole: boolean): Promise<BusyReport> {
    const { lastBeat, running } = this.#state
    const [what = '', startedAt] = running?.text.split('\n') ?? []
    return {
      since: lastBeat,
      within: running && { what, since: running.since, startedAt },
      frames: isWhole ? await framesOfMainThread() : [],
    }
  }

  #cancel(path: string, reason: string | undefined): Promise<{ readonly id: number; readonly answer: CancelAnswer }> {
    const next = this.#cancels.then(async () => {
      const id = ++this.#lastId
      return { id, answer: await this.#askForCancel(id, path, reason) }
    })
    this.#cancels = next
    return next
  }

  async #askForCancel(id: number, path: string, reason: string | undefined): Promise<CancelAnswer> {
    this.#state.offer(id)
    const question = { type: 'cancel', id, path, reason } as const
    let answer = await this.#ask(question)
    if (!answer) {
      if (this.#state.claim(id))
        return { refused: 'its main thread is busy and does not answer; nothing was cancelled' }
      // It has begun with it. The listeners of the token may take long.
      answer = await new Promise((resolve) => this.#waiting.set(id, resolve))
      this.#waiting.delete(id)
    }
    return answer?.type === 'cancel' ? answer.answer : { refused: 'its main thread has not understood the question' }
  }
}

if (parentPort) Thread.run(parentPort, workerData as ThreadData)
