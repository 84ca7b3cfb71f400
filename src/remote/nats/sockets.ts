/**
 * The sockets that a library makes while it connects. It does not hand out what it has not finished, and lets one over which no
 * answer comes stay open for ever (nats.js#64), which would keep the process from ending and the server from others.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const CHANNEL = 'net.client.socket'
const making = new AsyncLocalStorage<Set<Socket>>()
let users = 0

/** Only what is made within, by whatever was started there, is of interest. */
function made(message: unknown): void {
  making.getStore()?.add((message as { socket: Socket }).socket)
}

/**
 * Runs something that connects; destroys its sockets if it fails, or if `abandon` is called, which makes it fail. Where sockets are
 * made without a word, as in Bun, nothing is destroyed.
 */
export function overSockets<T>(what: () => Promise<T>): { readonly result: Promise<T>; readonly abandon: () => void } {
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
