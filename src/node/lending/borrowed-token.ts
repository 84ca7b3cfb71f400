/** The borrower's side of a token that another process has lent: see protocol.ts. */
import { connect, type Socket } from 'node:net'
import { after, keepAlive, now, turn } from '../../core/clock.js'
import type { Form } from '../../core/describe.js'
import type { CancellationKind } from '../../core/errors.js'
import { Cancellation, discover, giveRule, READ, moved, settle } from '../../core/graph.js'
import { begin, CancellationToken, UNCLONABLE } from '../../core/token.js'
import { removeIfDead } from './lent-folder.js'
import { cancellationFrom, Lines, type Place, type Standing, standingOf, type Report } from './protocol.js'

/**
 * A token of the process that has started this one. Each caller of `fromParent` gets a token of its own that derives
 * from it.
 */
export class ParentToken extends CancellationToken {
  readonly #place: Place
  /** The cancellation that its deadline will cause. */
  #ahead: Cancellation | undefined
  #stopTimer: (() => void) | undefined

  constructor(place: Place, name: string | undefined) {
    super(UNCLONABLE)
    begin(this, { name }, [])
    this.#place = place
    giveRule(this)
  }

  /** Applies a state that the lender has sent. */
  stands(standing: Standing): void {
    if (discover(this, READ)) return
    if (standing.type === 'live') return this.#predict(standing.ahead)
    this.#stopTimer?.()
    if (standing.type === 'over') settle(this, cancellationFrom(standing.story, this.#place))
    else this.#end('dispose')
  }

  /** Cancels the token, because the lender is gone. */
  cancelHere(): void {
    this.#stopTimer?.()
    if (!discover(this, READ)) this.#end('disconnect')
  }

  #end(kind: CancellationKind): void {
    settle(this, new Cancellation(this, kind, undefined, now()))
  }

  #predict(story: Report | undefined): void {
    this.#stopTimer?.()
    const ahead = (this.#ahead = story && cancellationFrom(story, this.#place))
    if (ahead) {
      // Not before the lender's messages were read: one that has already arrived may move the deadline.
      const ring = () => turn(() => this.#ahead === ahead && settle(this, ahead))
      this.#stopTimer = after(ahead.at - now(), ring, false)
    }
    moved(this)
  }

  /** @internal */
  ahead(): Cancellation | undefined {
    return this.#ahead
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    const lender = `process ${this.#place.pid}, which lent it,`
    if (kind === 'disconnect') return `was cancelled because ${lender} is gone`
    if (kind === 'dispose') return `was cancelled because ${lender} stopped lending it`
    return super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return { call: 'fromParent' }
  }
}

export interface ParentLink {
  readonly token: CancellationToken
  /** Resolves when the token is at least as new as the call. Always resolves soon. */
  readonly ask: () => Promise<void>
}

/** Milliseconds to wait for an answer. A busy lender gets no more time. */
const PATIENCE = 500

/**
 * Resolves when the state of the token is known. If the lender cannot be reached, the token is cancelled. Never
 * rejects.
 */
export function openLink(place: Place): Promise<ParentLink> {
  const letGo = keepAlive()
  return new Promise((resolve) => {
    let token: ParentToken | undefined
    const hear = (standing: Standing | undefined) => {
      const told = (token ??= new ParentToken(place, standing?.type === 'closed' ? undefined : standing?.name))
      if (standing) told.stands(standing)
      else told.cancelHere()
      letGo()
      resolve({ token: told, ask: () => ask(place, told) })
    }
    connectTo(place, hear).once('close', () => {
      const isNews = !token?.outcome
      hear(undefined)
      if (isNews) removeIfDead(place.path).catch(() => {}) // of a lender that was killed
    })
  })
}

/** Calls `hear` with each message of the lender, until the socket closes. */
function connectTo(place: Place, hear: (standing: Standing) => void): Socket {
  const socket = connect(place.path)
  const lines = new Lines()
  socket.setEncoding('utf8')
  socket.unref()
  socket.once('connect', () => socket.write(`${place.key}\n`))
  socket.on('data', (text: string) => {
    for (const line of lines.take(text)) {
      const standing = standingOf(line)
      // A process that sends anything else is no lender.
      if (!standing) {
        socket.destroy()
        return
      }
      hear(standing)
    }
  })
  socket.on('error', () => {}) // the close event follows
  return socket
}

/**
 * Asks for the state over a new connection. Data that this process writes to a connection which the lender has just
 * ended can destroy the lender's last message. If the lender accepts no new connection, its last message still arrives
 * over the old one.
 */
function ask(place: Place, token: ParentToken): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTo(place, (standing) => {
      // A live state was already sent over the main connection, and a newer one may have followed.
      if (standing.type !== 'live') token.stands(standing)
      done()
    })
    const done = () => {
      stop()
      registration.stop()
      socket.destroy()
      resolve()
    }
    const stop = after(PATIENCE, done, false)
    const registration = token.onCancel(done)
  })
}
