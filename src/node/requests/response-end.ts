/**
 * How a response ended, as the events of `node:http` and `node:http2` tell it: whole, or with the connection lost before.
 *
 * Measured on Node 20, 22, 24 and 26, Bun 1.4 and Deno 2.9; docs/http.md has the table. What cannot be relied on:
 * - `request 'close'` comes as soon as the body has been read, from Node 16 on.
 * - `response.writableFinished` is true on Node 20 and 22 when what was still to be written was thrown away with the socket;
 *   on Bun and Deno as soon as `end()` has been called.
 * - `response 'close'` never comes, on Node 20 and 22 and on Deno, to one that waits behind another of its connection (pipelining).
 * - In HTTP/2, `response 'finish'` and `stream.writableFinished` come true for a stream that was reset; a `HEAD` request's
 *   stream is finished before it has begun; and a reset with `NO_ERROR` leaves `rstCode` 0.
 */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'

/** Called once: the response is whole, or it was lost, with what is known of why. */
export interface Ending {
  readonly finished: () => void
  readonly lost: (reason: unknown) => void
}

/** What a handler is asked with. */
export type Incoming = IncomingMessage | Http2ServerRequest

/** What a handler answers through: a response, or the socket that `'upgrade'` and `'connect'` events give. */
export type Outgoing = ServerResponse | Http2ServerResponse | Duplex

/** Calls back about the end of a response, at once if it has ended already. Nothing is left on any emitter after that. */
export function watchResponse(request: Incoming, response: Outgoing, ending: Ending): void {
  if ('stream' in response) watchStream(response, response.stream, ending)
  else watchSocket(response, request.socket, ending)
}

function watchSocket(response: ServerResponse | Duplex, socket: Duplex, ending: Ending): void {
  const lost = () => ending.lost(socket.errored ?? undefined)
  if (response.writableFinished) return ending.finished()
  // Nobody closes the other half of a socket that was given away: after the client's `FIN` nothing comes any more but this.
  const isRaw = response === socket
  if (socket.destroyed || response.destroyed || (isRaw && socket.readableEnded)) return lost()
  const stop = listen([
    // The last write is called back, and the event comes, also when it was thrown away: by then the socket is destroyed.
    [response, 'finish', () => over(socket.destroyed ? lost : ending.finished)],
    [response, 'close', () => over(lost)],
    ...(isRaw ? [[socket, 'end', () => over(lost)] as const] : []),
  ])
  const leave = onClose(socket, () => over(lost))
  const over = (tell: () => void) => {
    stop()
    leave()
    tell()
  }
}

function watchStream(response: Http2ServerResponse, stream: ServerHttp2Stream, ending: Ending): void {
  // A reset ends and finishes the stream by itself, so it counts only what the handler has ended before.
  const isWhole = () => response.writableEnded && stream.writableFinished && !stream.aborted
  const lost = () => ending.lost(stream.rstCode > 0 ? `HTTP/2 error code ${stream.rstCode}` : undefined)
  if (isWhole()) return ending.finished()
  if (stream.aborted || stream.closed || stream.destroyed) return lost()
  const stop = listen([
    [stream, 'finish', () => isWhole() && over(ending.finished)],
    [stream, 'aborted', () => over(lost)],
    // A reset with NO_ERROR, with something still to be written: on Node 20 to 24 nothing comes after this any more.
    [stream, 'end', () => stream.closed && stream.writableLength > 0 && over(lost)],
    // Of the stream and not of the response, which sometimes is not told (nodejs/node#56374).
    [stream, 'close', () => over(isWhole() ? ending.finished : lost)],
  ])
  const over = (tell: () => void) => {
    stop()
    tell()
  }
}

type Listening = readonly [EventEmitter, string, () => void]

/** Adds the listeners; gives what removes them. */
function listen(all: readonly Listening[]): () => void {
  for (const [emitter, event, listener] of all) emitter.on(event, listener)
  return () => {
    for (const [emitter, event, listener] of all) emitter.off(event, listener)
  }
}

/** Whom to call when a connection closes: it has one listener of ours, however many requests are in its pipeline. */
const closings = new WeakMap<Duplex, Set<() => void>>()

function onClose(socket: Duplex, callback: () => void): () => void {
  let all = closings.get(socket)
  if (!all) {
    closings.set(socket, (all = new Set()))
    socket.on('close', dispatch)
  }
  const these = all.add(callback)
  return () => {
    if (!these.delete(callback) || these.size > 0 || closings.get(socket) !== these) return
    closings.delete(socket)
    socket.off('close', dispatch)
  }
}

function dispatch(this: Duplex): void {
  const all = closings.get(this)
  closings.delete(this)
  this.off('close', dispatch)
  for (const callback of all ?? []) callback()
}
