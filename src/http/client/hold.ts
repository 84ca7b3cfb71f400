/**
 * The hold of a token: its stream, and what the server is told.
 *
 * Invariants
 * HC1. A hold ends once: when the server knows that the holder has finished, when it could not be told so within the `ttl`, or when the
 *      server refuses the hold before it is ready.
 * HC2. A hold refers to its token weakly. If the token is garbage, the holder has finished.
 * HC3. The state only goes up. What the server was told belongs to one id of the hold: a new id is told again.
 */
import { after, now, soon } from '../../core/clock.js'
import { attempt } from '../../core/reasons.js'
import { type CancellationToken, SimpleToken, type TimeoutToken } from '../../core/token.js'
import type { Mark, Receipt } from '../../remote/contract/hub.js'
import { readEvents } from './event-reader.js'
import { badAnswer, type HttpHeaders, HttpHubError, mayPass, persist, readFrom, retryIn, type Send } from './request.js'
import { bodyOf, markFrom } from './values.js'

/** A change of the stream of a token, or a problem with it. */
export type HoldEvent =
  /** The server has opened the hold, or has found it again. */
  | { readonly type: 'connected' }
  /** The stream is broken, or could not be opened. `retryIn`: milliseconds. */
  | { readonly type: 'disconnected'; readonly error: Error; readonly retryIn: number }
  /** The server has refused the hold before it was ready, or a cancel. There is no further attempt. */
  | { readonly type: 'refused'; readonly error: Error }

export const ACKNOWLEDGED = 1
export const FINISHED = 2

/** The longest silence of a stream, in milliseconds. The server sends a comment every 15 seconds. */
const SILENCE = 45_000
/** The longest wait before another attempt to open the stream, in milliseconds. */
const LONGEST = 5_000
/** How long a stream must last so that the failures before it no longer count, in milliseconds. */
const STABLE = 5_000

/** The token, as its hold sees it. */
export interface Held {
  /** The name was cancelled. The mark is undefined if it could not be read. */
  applyCancel(mark: Mark | undefined): void
  close(): void
}

/** What a token can do with its hold. */
export interface Hold {
  readonly ready: Promise<void>
  readonly delivered: Promise<void>
  /** Offers a cancel to the server until it is stored. */
  deliver(reason: unknown): void
  /** The holder has acknowledged the cancel, or has finished. */
  reach(state: number): void
}

/** The holds that have not ended. */
const holds = new Set<Hold>()
const collected = new FinalizationRegistry<Hold>((hold) => hold.reach(FINISHED))

/** A promise that is not reported as unhandled, with its functions. */
function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let parts: unknown
  const promise = new Promise<void>((resolve, reject) => (parts = { resolve, reject }))
  promise.catch(() => {})
  return Object.assign(parts as never, { promise })
}

/** 404: another server has the stream. */
const mayBeElsewhere = (error: unknown) => mayPass(error) || (error as HttpHubError).status === 404

export function openHold(
  token: Held,
  send: Send,
  query: string,
  ttl: number,
  onEvent: ((event: HoldEvent) => void) | undefined,
): Hold {
  const reference = new WeakRef(token)
  const ended = new SimpleToken()
  const ready = deferred()
  const delivered = deferred()
  let isReady = false
  let isReading = false
  let isDelivering = false
  let isTelling = false
  /** The id of the hold, once the server has opened it. */
  let id: string | undefined
  let state = 0
  let told = 0
  let failures = 0
  let began = 0
  let stopTimer: (() => void) | undefined

  const report = (event: HoldEvent) => soon(() => onEvent?.(event))

  const end = () => {
    ended.cancel()
    stopTimer?.()
    holds.delete(hold)
  }

  const take = (type: string, data: string) => {
    const value = attempt(() => JSON.parse(data) as unknown)
    if (type === 'open') {
      const { hold: next } = Object(value) as { readonly hold?: unknown }
      // A header must carry it.
      if (typeof next !== 'string' || !/^[!-~]+$/.test(next)) throw badAnswer(undefined, 200)
      if (id !== next) told = 0
      id = next
      report({ type: 'connected' })
      void tell()
    } else if (type === 'ready') {
      isReady = true
      ready.resolve()
    } else if (type === 'cancelled') {
      delivered.resolve()
      reference.deref()?.applyCancel(attempt(() => markFrom(value)))
    }
  }

  /** Reads the stream until it breaks. */
  const read = async (idle: TimeoutToken) => {
    if (state === FINISHED) return
    isReading = true
    began = now()
    const headers: HttpHeaders = id ? { 'last-event-id': id } : {}
    const response = await send(`/v1/hold${query}&ttl=${ttl}`, idle, undefined, headers)
    if (!response.headers.get('content-type')?.startsWith('text/event-')) throw badAnswer(undefined, response.status)
    await readEvents(response.body as ReadableStream<Uint8Array>, idle, take, () => idle.restart(SILENCE))
    throw new HttpHubError('unreachable', 'the stream has ended')
  }

  /** Tells the server the state of the holder, until there is nothing new. A state that the server refuses to hear counts as told. */
  const tell = async () => {
    if (isTelling || !id || told >= state) return
    isTelling = true
    let [about, next] = [id, state]
    const task = async (token: CancellationToken) => {
      ;[about, next] = [id as string, state]
      const path = `/v1/holds/${next === FINISHED ? 'finish' : 'acknowledge'}?hold=${encodeURIComponent(about)}`
      await send(path, token, '{}')
    }
    await persist(ended, task, mayBeElsewhere).catch(() => {})
    isTelling = false
    if (about === id) told = next
    if (told === FINISHED) end()
    else void tell()
  }

  const hold: Hold = {
    ready: ready.promise,
    delivered: delivered.promise,
    deliver(reason) {
      isDelivering = true
      const body = bodyOf(reason)
      const offer = async (token: CancellationToken) => {
        const response = send(`/v1/cancel${query}`, token, body)
        if (!(await readFrom(response, (receipt: Receipt) => receipt.delivered))) throw undefined
      }
      // It does not end with the hold.
      const offers = persist(new SimpleToken(), offer)
      offers.then(delivered.resolve, (error: unknown) => {
        report({ type: 'refused', error: error as Error })
        delivered.reject(error)
      })
    },
    reach(next) {
      if (next <= state) return
      state = next
      if (next === FINISHED) {
        const closed = new HttpHubError('closed', 'the token is closed')
        ready.reject(closed)
        if (!isDelivering) delivered.reject(closed)
        if (id || isReading) stopTimer = after(ttl, end, false)
        else end()
      }
      void tell()
    },
  }

  const delay = (error: unknown) => {
    isReading = false
    failures = now() - began > STABLE ? 1 : failures + 1
    const ms = retryIn(error, failures, LONGEST)
    report({ type: 'disconnected', error: error as Error, retryIn: ms })
    return ms
  }
  const when = (error: unknown) => state < FINISHED && (isReady || mayPass(error))
  persist(ended, read, when, delay)
    .catch((error: unknown) => {
      if (state === FINISHED) return
      report({ type: 'refused', error: error as Error })
      ready.reject(error)
      reference.deref()?.close()
    })
    .finally(() => {
      if (!id) end()
    })
  holds.add(hold)
  collected.register(token, hold)
  return hold
}
