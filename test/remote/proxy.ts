/** A TCP proxy that cuts connections, or swallows what goes over them. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Proxy {
  readonly port: number
  /** How many connections have been made. */
  readonly made: number
  /** How many there are. */
  readonly open: number
  /** Cuts all connections that there are. */
  cut(): void
  /** From now on nothing comes through on the connections that there are, or those that have sent a word; nobody is told. */
  hush(word?: string): void
  /** From now on nothing comes through, on any connection, and nobody is told; with `heal` it comes, late, also to who has given up. */
  part(): void
  heal(): void
  close(): Promise<void>
}

/**
 * Not with `resetAndDestroy()` alone: that shuts the socket down before it resets it, and one that is destroyed in between is
 * never closed. Node, all versions up to 26, then spins for ever when the process ends.
 */
function reset(socket: Socket): void {
  // On its way to be shut down already.
  if (!socket.writableEnded) socket.resetAndDestroy()
  socket.destroy()
}

export async function proxyTo(port: number): Promise<Proxy> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; hushed: boolean; sent: string }>()
  let made = 0
  let isParted = false
  const late: (() => void)[] = []
  const proxy = createServer((client) => {
    made++
    const pair = { client, server: connect(port, '127.0.0.1'), hushed: false, sent: '' }
    const { server } = pair
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('data', (data) => {
        if (from === client && pair.sent.length < 10_000) pair.sent += data.toString('latin1').toLowerCase()
        const pass = () => void (pair.hushed || to.destroyed || to.write(data))
        if (isParted) late.push(pass)
        else pass()
      })
      // What was sent before the end arrives before it, too.
      const close = () => (isParted ? void late.push(end) : end())
      from.on('error', close)
      from.on('close', close)
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const { client, server } of pairs) {
      reset(client)
      server.destroy()
    }
  }
  return {
    port: (proxy.address() as AddressInfo).port,
    get made() {
      return made
    },
    get open() {
      return pairs.size
    },
    cut,
    hush(word = '') {
      for (const pair of pairs) pair.hushed ||= pair.sent.includes(word)
    },
    part() {
      isParted = true
    },
    heal() {
      isParted = false
      for (const pass of late.splice(0)) pass()
    },
    async close() {
      cut()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
