/**
 * The sockets that a library opens while it connects. The library does not return a connection that is not finished,
 * and a socket over which no answer comes stays open for ever (nats.js#64). Such a socket would keep the process alive,
 * and would take up a connection of the server.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const CHANNEL = 'net.client.socket'
const making = new AsyncLocalStorage<Set<Socket>>()
let users = 0

/** Notes the sockets that were opened inside `trackSockets`, in its async context. */
function made(message: unknown): void {
  making.getStore()?.add((message as { socket: Socket }).socket)
}

/**
 * Runs a function that connects. Destroys its sockets if it fails. `abandon` destroys them too, which makes the
 * function fail. Where sockets are not reported when they are opened, as in Bun, nothing is destroyed.
 */
export function trackSockets<T>(what: () => Promise<T>): { readonly result: Promise<T>; readonly abandon: () => void } {
  const sockets = new Set<Socket>()
  const abandon = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  const run = async (): Promise<T> => {
    if (users++ === 0) subscribe(CHANNEL, made)
    try {
      return await making.run(sockets, what)
    } catch (error) {
      abandon()
      throw error
    } finally {
      sockets.clear()
      if (--users === 0) unsubscribe(CHANNEL, made)
    }
  }
  return { result: run(), abandon }
}
