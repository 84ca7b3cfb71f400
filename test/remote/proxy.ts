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
  /** From now on nothing comes through on the connections that there are, but nobody is told. */
  hush(): void
  close(): Promise<void>
}

export async function proxyTo(port: number): Promise<Proxy> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; hushed: boolean }>()
  let made = 0
  const proxy = createServer((client) => {
    made++
    const pair = { client, server: connect(port, '127.0.0.1'), hushed: false }
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
        if (!pair.hushed) to.write(data)
      })
      from.on('error', end)
      from.on('close', end)
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const { client, server } of pairs) {
      client.resetAndDestroy()
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
    hush() {
      for (const pair of pairs) pair.hushed = true
    },
    async close() {
      cut()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
