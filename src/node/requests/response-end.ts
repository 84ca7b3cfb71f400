/**
 * How a response ended, according to the events of `node:http` and `node:http2`: complete, or with the connection lost
 * before.
 *
 * Measured on Node 20, 22, 24 and 26, Bun 1.4 and Deno 2.9. docs/guides/http.md has the table. These are unreliable:
 * - `request 'close'` comes as soon as the body has been read, from Node 16 on.
 * - `response.writableFinished` is true on Node 20 and 22 when the rest of the data was thrown away with the socket. On
 *   Bun and Deno it is true as soon as `end()` has been called.
 * - `response 'close'` never comes, on Node 20 and 22 and on Deno, to a response that waits behind another one of its
 *   connection (pipelining).
 * - In HTTP/2, `response 'finish'` comes and `stream.writableFinished` becomes true for a stream that was reset. The
 *   stream of a `HEAD` request is finished before it has begun. A reset with `NO_ERROR` leaves `rstCode` 0.
 */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'

/** Exactly one of these is called, once: the response is complete, or it was lost, with the known cause. */
export interface Ending {
  readonly finished: () => void
  readonly lost: (reason: unknown) => void
}

/** The request that a handler receives. */
export type Incoming = IncomingMessage | Http2ServerRequest

/** The response that a handler writes to, or the socket that `'upgrade'` and `'connect'` events pass. */
export type Outgoing = ServerResponse | Http2ServerResponse | Duplex

/**
 * Calls back at the end of a response, at once if it has ended already. After that no listener is left on any emitter.
 */
export function watchResponse(request: Incoming, response: Outgoing, ending: Ending): void {
  if ('stream' in response) watchStream(response, response.stream, ending)
  else watchSocket(response, request.socket, ending)
}

function watchSocket(response: ServerResponse | Duplex, socket: Duplex, ending: Ending): void {
  const lost = () => ending.lost(socket.errored ?? undefined)
  if (response.writableFinished) return ending.finished()
  // Node does not close the other half of a socket that was passed on. After the client's `FIN` this is the last event.
  const isRaw = response === socket
  if (socket.destroyed || response.destroyed || (isRaw && socket.readableEnded)) return lost()
  const stop = listen([
    // The last write calls back, and the event comes, even if the data was thrown away. Then the socket is destroyed.
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
  // A reset ends and finishes the stream by itself. So only a response that the handler has ended counts.
  const isWhole = () => response.writableEnded && stream.writableFinished && !stream.aborted
  const lost = () => ending.lost(stream.rstCode > 0 ? `HTTP/2 error code ${stream.rstCode}` : undefined)
  if (isWhole()) return ending.finished()
  if (stream.aborted || stream.closed || stream.destroyed) return lost()
  const stop = listen([
    [stream, 'finish', () => isWhole() && over(ending.finished)],
    [stream, 'aborted', () => over(lost)],
    // A reset with NO_ERROR while data is still to be written: on Node 20 to 24 no event follows this one.
    [stream, 'end', () => stream.closed && stream.writableLength > 0 && over(lost)],
    // On the stream, because the response sometimes does not get the event (nodejs/node#56374).
    [stream, 'close', () => over(isWhole() ? ending.finished : lost)],
  ])
  const over = (tell: () => void) => {
    stop()
    tell()
  }
}

type Listening = readonly [EventEmitter, string, () => void]

/**
 * Adds the listeners. Returns a function that removes them. They come before those that are there: a tracer that watches
 * the response ends the span of the request at its end, and must not do so before the token is cancelled.
 */
function listen(all: readonly Listening[]): () => void {
  for (const [emitter, event, listener] of all) emitter.prependListener(event, listener)
  return () => {
    for (const [emitter, event, listener] of all) emitter.off(event, listener)
  }
}

/**
 * The callbacks for the end of a connection. A connection has one listener of ours, however many requests are in its
 * pipeline.
 */
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
