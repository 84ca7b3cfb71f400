/** The inspector: what the main thread does for it. The socket belongs to a thread of its own, worker.ts. */
import { basename, relative } from 'node:path'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers'
import { isMainThread, Worker } from 'node:worker_threads'
import { wrongType, type NamesOf, optional, optionsOf } from '../core/arguments.js'
import type { CancellationToken } from '../core/token.js'
import { emitWarning } from '../core/scope/unfinished.js'
import { collect, stopCollecting } from './collect.js'
import { wanted } from './environment.js'
import type { Knowledge } from './knowledge.js'
import type { ThreadData, ToMain, ToThread } from './messages.js'
import { nodesAt, pathTo } from './paths.js'
import { newPlace, type Place, removePlace } from './place.js'
import { type CancelAnswer, cut, MOST_EVENTS, type NodeReport } from './report.js'
import { SharedState } from './shared-state.js'

/** The options of `startInspector`. */
export interface InspectorOptions {
  /**
   * Returns the text that is shown instead of a reason, or instead of a failure that no caller could get. If it throws, a
   * text that says so is shown. Default: the reason as text; for an error, its message.
   */
  readonly redact?: ((value: unknown) => string) | undefined
  /** Whether `calloff tree --cancel` may cancel tokens. Default: whether `CALLOFF_INSPECT` is `cancel`. */
  readonly allowCancel?: boolean | undefined
}

const OPTIONS: NamesOf<InspectorOptions> = ['redact', 'allowCancel']

/** Milliseconds between two signs of life in the shared memory. */
const BEAT = 500
/** The most milliseconds that the end of the process waits for the answer to a cancel. */
const DELIVERY_TIME = 1_000
/** The least milliseconds between two snapshots that the main thread sends unasked, and the most nodes of such a snapshot. */
const JOURNAL_PACE = 250
const JOURNAL_NODES = 200

/** Also where a program replaces `Date` later. */
const wallClock = Date.now

let inspector: Inspector | undefined

/**
 * Lets `calloff tree` ask this process for its tokens, scopes and tasks. Importing `calloff/inspector` does the same
 * without options. A further call changes the options.
 *
 * Only the main thread can be asked. In another thread this does nothing.
 *
 * Memory: a thread, and a socket in the user's own folder, by which no other user can ask. They do not keep the process
 * alive. Scopes and tasks are held until they end, and the last cancellations and late failures for a minute. No other token
 * is kept alive. Scopes and tasks that started before this call are not shown.
 * Disposing what it returns stops the inspector.
 *
 * Errors: if the thread or its socket cannot be made, the process goes on, with a warning (`InspectorWarning`).
 *
 * @throws TypeError if an option has the wrong type
 *
 * @example
 * ```ts no-run
 * // inspect.mjs, for: node --import ./inspect.mjs app.js
 * import { startInspector } from 'calloff/inspector'
 *
 * startInspector({ redact: (reason) => (reason instanceof Error ? reason.name : 'hidden') })
 * ```
 */
export function startInspector(options?: InspectorOptions): Disposable {
  const { redact, allowCancel } = optionsOf(options, OPTIONS)
  if (redact !== undefined && typeof redact !== 'function') throw wrongType('redact', 'a function', redact)
  const mayCancel = optional('allowCancel', 'boolean', allowCancel) ?? wanted() === 'cancel'
  if (!isMainThread) return { [Symbol.dispose]() {} }
  const knowledge = collect()
  knowledge.redact = redact // before the thread can ask
  if (inspector?.mayCancel !== mayCancel) {
    inspector?.stop()
    inspector = Inspector.start(knowledge, mayCancel)
  }
  const started = inspector
  return {
    [Symbol.dispose]() {
      if (inspector === started) stopInspector()
    },
  }
}

function stopInspector(): void {
  inspector?.stop()
  inspector = undefined
  stopCollecting()
}

class Inspector {
  readonly #knowledge: Knowledge
  readonly #state = SharedState.make()
  readonly #beats: NodeJS.Timeout
  #journal: NodeJS.Timeout | undefined
  #lastJournal = 0
  #place: Place | undefined
  #worker: Worker | undefined
  /** The last cancel that this thread has carried out. 0 if there was none. */
  #lastCancel = 0
  /** The answer to it, if the process ends while the listeners are called. */
  #ahead: CancelAnswer | undefined

  private constructor(
    knowledge: Knowledge,
    readonly mayCancel: boolean,
  ) {
    this.#knowledge = knowledge
    this.#beats = setInterval(() => this.#beat(), BEAT).unref()
    this.#beat()
  }

  static start(knowledge: Knowledge, mayCancel: boolean): Inspector {
    const inspector = new Inspector(knowledge, mayCancel)
    try {
      inspector.#open()
    } catch (error) {
      inspector.#fail(error)
    }
    return inspector
  }

  #open(): void {
    const place = (this.#place = newPlace())
    const workerData: ThreadData = {
      path: place.path,
      isPipe: process.platform === 'win32',
      memory: this.#state.memory,
      self: {
        pid: process.pid,
        command: cut(commandLine()),
        since: performance.timeOrigin,
        runtime: runtimeName(),
        mayCancel: this.mayCancel,
      },
    }
    // Exactly this expression: webpack, Parcel and Vite recognise it and make a file of the worker.
    const worker = (this.#worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    }))
    worker.on('error', (error) => this.#fail(error))
    worker.on('message', (message: ToMain) => this.#answer(message))
    worker.unref() // called here, because adding a listener refs the worker again
    process.on('exit', this.#leave)
    this.#knowledge.state = this.#state
    this.#knowledge.onChange = () => this.#noteChange()
    this.#noteChange() // what was collected before
  }

  stop(): void {
    process.off('exit', this.#leave)
    this.#leave()
    clearInterval(this.#beats)
    clearTimeout(this.#journal)
    this.#knowledge.state = this.#knowledge.onChange = undefined
    void this.#worker?.terminate()
    this.#worker = undefined
  }

  readonly #leave = (): void => {
    if (this.#ahead) this.#conclude(this.#ahead)
    this.#state.waitForDelivery(this.#lastCancel, DELIVERY_TIME)
    if (this.#place) removePlace(this.#place)
  }

  #fail(error: unknown): void {
    this.stop()
    stopCollecting()
    const why = error instanceof Error ? error.message : String(error)
    emitWarning(`calloff tree cannot ask this process: ${why}`, 'InspectorWarning', 'CALLOFF_INSPECTOR')
  }

  #beat(): void {
    this.#state.beat(wallClock())
    this.#knowledge.restoreBudget()
    this.#knowledge.forgetOld()
  }

  /** Sends a snapshot soon. It is sent from the event loop, so that many changes in a row take one. */
  #noteChange(): void {
    if (this.#journal) return
    const wait = Math.max(0, this.#lastJournal + JOURNAL_PACE - performance.now())
    this.#journal = setTimeout(() => {
      this.#journal = undefined
      this.#lastJournal = performance.now()
      this.#beat()
      this.#send({ type: 'journal', snapshot: this.#knowledge.snapshot(JOURNAL_NODES) })
    }, wait).unref()
  }

  #send(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker?.postMessage(message)
  }

  #answer(message: ToMain): void {
    this.#beat()
    if (message.type === 'failed') return this.#fail(message.why)
    const { type, id } = message
    if (type === 'ping') this.#send({ type: 'pong', id })
    else if (type === 'tree') this.#send({ type, id, snapshot: this.#knowledge.snapshot() })
    else if (this.#state.claim(id)) {
      // The cancel may end the process, by a listener that calls `process.exit` or because nothing else keeps it alive.
      this.#lastCancel = id
      this.#conclude(this.#cancel(message.path, message.reason))
    }
  }

  #conclude(answer: CancelAnswer): void {
    this.#send({ type: 'cancel', id: this.#lastCancel, answer })
    this.#ahead = undefined
  }

  #cancel(path: string, reason: string | undefined): CancelAnswer {
    if (!this.mayCancel) {
      return {
        refused:
          'it does not allow that; start it with CALLOFF_INSPECT=cancel, or startInspector({ allowCancel: true })',
      }
    }
    const { nodes, omitted } = this.#knowledge.snapshot()
    const found = nodesAt(path, nodes)
    const [node] = found
    const pathsOf = (all: readonly NodeReport[]) =>
      all.slice(0, MOST_EVENTS).map((one) => cut(`@${one.id} ${pathTo(one, nodes)}`))
    if (!node) {
      const among = omitted > 0 ? ` among the ${nodes.length} that it shows` : ''
      return { refused: `it has no token with this path${among}`, paths: pathsOf(nodes) }
    }
    if (found.length > 1) return { refused: 'it has several tokens with this path', paths: pathsOf(found) }
    const token = this.#knowledge.tokenWith(node.id)
    if (!token)
      return { refused: node.state === 'waiting' ? 'a task that waits has no token yet' : 'the token is gone' }
    const before = node.state === 'cancelled'
    const done: CancelAnswer = (this.#ahead = { cancelled: cut(pathTo(node, nodes)), before })
    const problem = problemOf(token, reason)
    return problem === undefined ? done : { refused: cut(problem) }
  }
}

/** Cancels. Returns what was thrown, if anything was: by a listener, or by a token that cannot be cancelled by hand. */
function problemOf(token: CancellationToken, reason: string | undefined): string | undefined {
  try {
    token.cancel(...(reason === undefined ? [] : [reason]))
    return undefined
  } catch (error) {
    return `the call of cancel() has thrown: ${error instanceof Error ? error.message : String(error)}`
  }
}

function runtimeName(): string {
  const { bun, deno, node } = process.versions
  const [name, version] = bun ? ['bun', bun] : deno ? ['deno', deno] : ['node', node]
  return `${name} ${version}`
}

/** The command, with the path of the program as short as it was written. */
function commandLine(): string {
  const [program = '', script, ...rest] = process.argv
  const near = script === undefined ? undefined : relative(process.cwd(), script)
  const shown = near === undefined || near.startsWith('..') ? script : near
  return [basename(program), shown, ...rest].filter(Boolean).join(' ')
}
