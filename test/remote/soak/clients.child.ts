/**
 * Half of the clients of the soak: `clients.child.js <url> <hubs> <slots> <seed>`, obeying orders over IPC.
 *
 * Two such processes have the same slots: a name for each, with a generation. Whoever cancels one moves both on to the next
 * generation, so a cancel that is lost leaves them apart for good.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import process from 'node:process'
import { connectHub, type RemoteToken, type TokenHub } from 'calloff/remote'
import { setTimeout as pause } from 'node:timers/promises'
import { footprint, obey } from './orders.js'

const [url = '', hubCount = '1', slotCount = '1', seed = '1'] = process.argv.slice(2)
const HUBS = Number(hubCount)
const SLOTS = Number(slotCount)

/** Milliseconds between two moves; of each move, how many tokens are cancelled and how many only closed and opened again. */
const MOVE = 20
const CANCELS = 2
const CLOSES = 10
/** In moves: how often a connection is cut, and a hub is closed and replaced. */
const CUT = 5
const REPLACE = 50

// In a long run marks end while it lasts, so that memory may be flat. A short one may be slow, and then has to find the marks it missed.
const ttl = Number(process.env['CALLOFF_SOAK'] ?? 0) >= 30 ? 10_000 : 600_000
const options = { ttl, sessionTtl: 5_000, reread: 5_000, backOff: { first: 10, most: 500 } }

let state = Number(seed)
/** From 0 up to that number, by the seed. */
function chance(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

const sockets = new Set<Socket>()
subscribe('net.client.socket', (message) => {
  const { socket } = message as { socket: Socket }
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
})

const counts = { opened: 0, cancelled: 0, heard: 0, closed: 0, cut: 0, replaced: 0, leased: 0 }

class Slot {
  generation = 0
  token: RemoteToken | undefined
  readonly #name: string

  constructor(name: string) {
    this.#name = name
  }

  open(hub: TokenHub): void {
    const token = (this.token = hub.open(`${this.#name}-${this.generation}`))
    counts.opened++
    token.onCancel((error) => {
      if (error.kind !== 'manual' || this.token !== token) return
      counts.heard++
      this.generation++
      this.close()
      this.open(hub)
    })
  }

  close(): void {
    const { token } = this
    this.token = undefined
    token?.close()
    counts.closed++
  }
}

class Client {
  hub: TokenHub | undefined
  readonly slots: readonly Slot[]

  constructor(at: number) {
    this.slots = Array.from({ length: SLOTS }, (_, slot) => new Slot(`soak-${at}-${slot}`))
  }

  async connect(): Promise<void> {
    const hub = (this.hub = await connectHub(url, { ...options, lazy: true }))
    for (const slot of this.slots) slot.open(hub)
    // One that is closed meanwhile is never ready.
    await Promise.allSettled(this.slots.map(async ({ token }) => token?.ready))
  }

  async disconnect(): Promise<void> {
    const { hub } = this
    this.hub = undefined
    for (const slot of this.slots) slot.close()
    await hub?.close({ timeout: 120_000 })
  }
}

const clients = Array.from({ length: HUBS }, (_, at) => new Client(at))
let isRunning = false
const underWay = new Set<Promise<void>>()

function start(work: () => Promise<void>): void {
  const one = work().finally(() => underWay.delete(one))
  underWay.add(one)
}

function anySlot(): { hub: TokenHub; slot: Slot } | undefined {
  const { hub, slots } = clients[chance(HUBS)] as Client
  return hub && { hub, slot: slots[chance(SLOTS)] as Slot }
}

async function replace(client: Client): Promise<void> {
  if (!client.hub) return
  await client.disconnect()
  await client.connect()
  counts.replaced++
}

/** Takes leases one after the other, and gives them back. */
async function lease(client: Client): Promise<void> {
  const { hub } = client
  if (!hub) return
  try {
    using held = await hub.lease(`lease-${chance(10)}`, { ttl: 2_000 })
    await held.ready
    counts.leased++
    await pause(100)
  } catch (error) {
    // Somebody else has it, or the hub was closed or cut off just now.
    if (!/^ERR_(LEASE_HELD|HUB_CLOSED|HUB_UNREACHABLE)$/.test((error as { code: string }).code)) throw error
  }
}

function move(count: number): void {
  if (!isRunning) return
  for (let i = 0; i < CANCELS; i++) {
    anySlot()?.slot.token?.cancel(new Error(`move ${count}`))
    counts.cancelled++
  }
  for (let i = 0; i < CLOSES; i++) {
    const any = anySlot()
    any?.slot.close()
    any?.slot.open(any.hub)
  }
  if (count % CUT === 0) {
    const socket = [...sockets][chance(sockets.size)]
    socket?.destroy()
    counts.cut++
  }
  if (count % REPLACE === 0) start(() => replace(clients[chance(HUBS)] as Client))
  if (count % CUT === 0) start(() => lease(clients[chance(HUBS)] as Client))
  setTimeout(() => move(count + 1), MOVE)
}

obey({
  async connect() {
    for (const client of clients) await client.connect()
  },
  run() {
    isRunning = true
    move(1)
  },
  async stop() {
    isRunning = false
    await Promise.all(underWay)
  },
  footprint: () => ({ ...footprint(), ...counts }),
  generations: () => ({ generations: clients.flatMap(({ slots }) => slots.map(({ generation }) => generation)) }),
  async end() {
    await Promise.all(clients.map((client) => client.disconnect()))
    return footprint()
  },
})
