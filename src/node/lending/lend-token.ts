/** The lender's side of `fromParent()`: see protocol.ts. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import process from 'node:process'
import { type NamesOf, optional, optionsOf } from '../../core/arguments.js'
import { turn } from '../../core/clock.js'
import { type Cancellation, discover, READ, type Subscriber, subscribe } from '../../core/graph.js'
import { onDeadlineMoved } from '../../core/moves.js'
import { predictPublished } from '../../core/remaining.js'
import type { CancellationToken } from '../../core/token.js'
import type { TokenLike } from '../../core/tokens/from.js'
import { makeFolder, removeFolder } from './lent-folder.js'
import { lineOf, Lines, type Standing, reportOf, textOfPlace, VARIABLE } from './protocol.js'
import { signalsArgument, tokenArgument } from '../context/token-argument.js'

/** How a token is lent. */
export interface LendOptions {
  /** The name that the borrowers see. Default: the token's own name. */
  readonly name?: string | undefined
  /**
   * The signals by which the caller, or the program that cancels the token, ends the borrowers. A signal in this list
   * that comes with a cancel does not end a borrower at once. With an empty list every signal does. Default:
   * `'SIGTERM'`.
   */
  readonly stopSignal?: NodeJS.Signals | readonly NodeJS.Signals[] | undefined
}

const LEND_OPTIONS: NamesOf<LendOptions> = ['name', 'stopSignal']

/** A token that other processes can get by `fromParent()`. */
export interface LentToken extends AsyncDisposable {
  /** Variables for the environment of the borrower: `{ env: { ...process.env, ...lent.env } }`. */
  readonly env: { readonly CALLOFF_PARENT: string }
  /**
   * Stops lending: the tokens of all borrowers are cancelled with kind `'dispose'`. Disposing of this object does the
   * same.
   */
  close(): Promise<void>
}

/**
 * Lends a token to other processes, which get it by `fromParent()`. Use it for processes that you start yourself, with
 * `fork` or `spawn` of `node:child_process`. `run` and `spawn` of this package do the same with `lend: true`.
 *
 * The borrowers, and all processes that they start, see the cancellation of the token, with its kind, its reason and
 * its origin. They cannot cancel the token. When this process ends, in any way, their tokens are cancelled with kind
 * `'disconnect'`.
 *
 * Timing: a message is sent to the borrowers in the call that cancels. A borrower reads a state that is at least as new
 * as the last message sent to it.
 *
 * Memory: a socket, in a folder that no other user can open, until it is closed. It does not keep the process alive.
 *
 * Errors: rejects with the error of the system if the socket cannot be made.
 *
 * @example
 * ```ts
 * import { fork } from 'node:child_process'
 * import { once } from 'node:events'
 * import { writeFileSync } from 'node:fs'
 * import process from 'node:process'
 * import { SimpleToken } from 'calloff'
 * import { lendToken } from 'calloff/node'
 *
 * writeFileSync('borrower.mjs', `
 *   import { fromParent } from 'calloff/node'
 *   const token = await fromParent()
 *   process.send('ready')
 *   console.log((await token.wait()).message)
 * `)
 * const token = new SimpleToken({ name: 'import' })
 * await using lent = await lendToken(token)
 * const child = fork('borrower.mjs', { env: { ...process.env, ...lent.env } })
 * await once(child, 'message')
 * token.cancel('the user has left') // → token "import" was cancelled in process …: the user has left
 * child.disconnect()
 * await once(child, 'exit')
 * ```
 */
export async function lendToken(token: TokenLike, options?: LendOptions): Promise<LentToken> {
  const lent = await prepareToLend(token, options)
  lent.begin()
  return lent
}

/**
 * A token that is lent from the call of `begin` on. Borrowers hear of its cancellation, and of moved deadlines, only
 * from then on.
 */
export interface PreparedToken extends LentToken {
  begin(): void
}

/** Does the same in two steps, for a caller that must act first when the token is cancelled. */
export async function prepareToLend(token: TokenLike, options?: LendOptions): Promise<PreparedToken> {
  const { name, stopSignal } = optionsOf(options, LEND_OPTIONS)
  const source = tokenArgument(token)
  const called = optional('name', 'string', name) ?? source.name
  const signals = signalsArgument('stopSignal', stopSignal) ?? ['SIGTERM']
  const key = randomBytes(32).toString('base64url')
  const lending = new Lending(source, called, key)
  const path = isWindows ? `\\\\.\\pipe\\calloff-${randomBytes(16).toString('hex')}` : await makeFolder()
  let closing: Promise<void> | undefined
  const close = () => (closing ??= lending.close(isWindows ? undefined : path))
  try {
    await lending.listen(path)
  } catch (error) {
    await close()
    throw error
  }
  const env = { [VARIABLE]: textOfPlace({ path, key, pid: process.pid, signals }) } as LentToken['env']
  return { env, begin: () => lending.begin(), close, [Symbol.asyncDispose]: close }
}

const isWindows = process.platform === 'win32'
/** A connection that has sent more characters than this without a valid key is closed. */
const LONGEST_KEY = 256

class Lending {
  readonly #token: CancellationToken
  readonly #name: string | undefined
  readonly #key: Buffer
  readonly #server: Server
  readonly #borrowers = new Set<Socket>()
  #place: Subscriber | undefined
  #ahead: Cancellation | undefined
  #isClosed = false

  constructor(token: CancellationToken, name: string | undefined, key: string) {
    this.#token = token
    this.#name = name
    this.#key = Buffer.from(key)
    this.#server = createServer((socket) => this.#greet(socket))
  }

  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, resolve)
    })
    this.#server.on('error', () => {}) // a borrower that could not connect does not try again
    this.#server.unref()
  }

  begin(): void {
    if (discover(this.#token, READ)) return this.#tellAll()
    this.#place = subscribe(this.#token, () => this.#tellAll())
    onDeadlineMoved(this.#place, this)
    this.#ahead = predictPublished(this.#token)
  }

  /** The deadlines above it were moved, or have begun. */
  publishDeadline(): void {
    if (discover(this.#token, READ)) return
    const ahead = predictPublished(this.#token)
    const last = this.#ahead
    const isKnown =
      ahead?.at === last?.at &&
      ahead?.origin === last?.origin &&
      ahead?.kind === last?.kind &&
      Object.is(ahead?.reason, last?.reason)
    if (isKnown) return
    this.#ahead = ahead
    this.#tellAll()
  }

  async close(path: string | undefined): Promise<void> {
    this.#place?.stop()
    this.#isClosed = true
    this.#tellAll()
    this.#server.close()
    if (path !== undefined) removeFolder(path)
  }

  get #standing(): Standing {
    const name = this.#name
    const found = discover(this.#token, READ)
    if (found) return { type: 'over', name, story: reportOf(found) }
    if (this.#isClosed) return { type: 'closed' }
    return { type: 'live', name, ahead: this.#ahead && reportOf(this.#ahead) }
  }

  #tellAll(): void {
    for (const socket of this.#borrowers) this.#tell(socket)
  }

  #tell(socket: Socket): void {
    const standing = this.#standing
    if (standing.type === 'live') return void socket.write(lineOf(standing))
    this.#borrowers.delete(socket)
    sayLast(socket, standing)
  }

  #greet(socket: Socket): void {
    const lines = new Lines()
    const hear = (line: string) => {
      if (!this.#isKey(line)) {
        socket.destroy()
        return
      }
      this.#borrowers.add(socket)
      // The borrower may ask because of a signal that this process has received too. Node delivers the signal after the
      // sockets, at the latest in the next turn.
      turn(() => turn(() => this.#borrowers.has(socket) && this.#tell(socket)))
    }
    socket.setEncoding('utf8')
    socket.unref()
    socket.on('error', () => void socket.destroy())
    socket.on('close', () => void this.#borrowers.delete(socket))
    socket.on('data', (text: string) => {
      for (const line of lines.take(text)) if (!socket.destroyed && !this.#borrowers.has(socket)) hear(line)
      if (lines.unfinished > LONGEST_KEY) socket.destroy()
    })
  }

  #isKey(line: string): boolean {
    const given = Buffer.from(line)
    return given.length === this.#key.length && timingSafeEqual(given, this.#key)
  }
}

/** Sends the last message and ends the connection. Does not wait until the borrower has read it. */
function sayLast(socket: Socket, standing: Standing): void {
  socket.end(lineOf(standing), () => void socket.destroy())
}
