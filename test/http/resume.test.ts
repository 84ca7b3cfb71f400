/**
 * Streams that are cut at any byte, and resumed at any of two servers, while names change. A client that does what
 * docs/reference/http.md says misses no event, gets none twice, and ends up with the table of the hub.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { type HubHandler, hubHandler, toNodeListener } from 'calloff/http'
import { connectHub, type RemoteToken, type TokenHub, TokenServer } from 'calloff/remote'
import { share } from '../effort.js'
import { eventsIn, eventually, type Sent } from './world.js'

/** Returns numbers from 0 to 1 that depend on the seed alone (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Listing {
  readonly name: string
  readonly runId: string
  readonly state: string
}

const keyOf = ({ name, runId }: Listing) => `${name}\0${runId}`

/** A client that trusts the events, and complains of one that does not fit what it knows. */
class Client {
  readonly table = new Map<string, Listing>()
  id = ''
  /** It has not read all of the table yet. */
  #isBeginning = true
  resets = 0
  resumes = 0

  apply({ event, id, data }: Sent): void {
    const listing = data as Listing
    const known = this.table.get(keyOf(listing))
    const fits = (isRight: boolean) =>
      assert.ok(isRight, `${event} ${JSON.stringify(data)} after ${JSON.stringify(known)}`)
    switch (event) {
      case 'reset':
        this.resets++
        this.table.clear()
        this.#isBeginning = true
        break
      case 'opened':
        fits(!known && listing.state === 'live')
        this.table.set(keyOf(listing), listing)
        break
      case 'cancelled':
        fits(known?.state !== 'cancelled' && listing.state === 'cancelled')
        this.table.set(keyOf(listing), listing)
        break
      case 'changed':
        fits(known !== undefined && JSON.stringify(known) !== JSON.stringify(listing))
        this.table.set(keyOf(listing), listing)
        break
      case 'gone':
        fits(known !== undefined)
        this.table.delete(keyOf(listing))
        break
      case 'ready':
        this.#isBeginning = false
        break
      default:
        assert.equal(event, 'hub')
    }
    if (!this.#isBeginning && event !== 'ready') {
      const [, feed, number] = /^(.*)-(\d+)$/.exec(id as string) ?? []
      assert.equal(`${feed}-${Number(number) - 1}`, this.id, 'each event follows the one before')
    }
    this.id = id ?? this.id
  }

  /** Reads a stream, of which it gets no more than so many bytes. */
  async read(url: string, most: number, isEnough: () => boolean): Promise<void> {
    const left = new AbortController()
    if (this.id !== '') this.resumes++
    const response = await fetch(url, { headers: this.id ? { 'last-event-id': this.id } : {}, signal: left.signal })
    assert.equal(response.status, 200)
    let bytes = Buffer.alloc(0)
    let size = 0
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const got = chunk.subarray(0, most - size)
        size += got.length
        bytes = Buffer.concat([bytes, got])
        // Only whole events count, and text may be cut in the middle of a character.
        const end = bytes.lastIndexOf('\n\n') + 2
        if (end > 1) {
          for (const sent of eventsIn(bytes.subarray(0, end).toString()).events) this.apply(sent)
          bytes = bytes.subarray(end)
        }
        if (size >= most || isEnough()) return
      }
    } finally {
      left.abort()
    }
  }
}

const NAMES = ['a', 'ab', 'ab ü', 'b', 'x\ny']
const QUERIES = ['', 'prefix=', 'prefix=a', 'prefix=ab', 'name=a', 'name=ab&runId=1']

/** Changes names at random until it is told to stop. */
async function change(hub: TokenHub, random: () => number, open: RemoteToken[], isOver: () => boolean): Promise<void> {
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T
  while (!isOver()) {
    const name = pick(NAMES)
    const options = { runId: pick(['', '1']) }
    const what = random()
    if (what < 0.4) open.push(hub.open(name, options))
    else if (what < 0.6) open.splice(Math.floor(random() * open.length), 1)[0]?.close()
    else if (what < 0.75) await hub.cancel(name, random() < 0.5 ? 'stop' : { n: random() }, options)
    else if (what < 0.9) await hub.forget(name, options)
    else await new Promise((resolve) => setTimeout(resolve, random() * 20))
  }
  for (const token of open.splice(0, open.length / 2)) token.close()
}

async function play(seed: number): Promise<void> {
  const random = randomFrom(seed)
  await using store = await TokenServer.listen({ port: 0 })
  const hubs: TokenHub[] = []
  const handlers: HubHandler[] = []
  const servers: Server[] = []
  const urls: string[] = []
  let isOver = false
  let changes: Promise<void> | undefined
  /** A token that is dropped would be garbage at any time. */
  const open: RemoteToken[] = []
  try {
    for (let at = 0; at < 2; at++) {
      const hub = await connectHub(store.url)
      hubs.push(hub)
      const changesKept = [3, 20, 2_000][Math.floor(random() * 3)] as number
      const handler = hubHandler(hub, {
        authorize: () => true,
        pace: 10,
        heartbeat: 10,
        limits: { changes: changesKept },
      })
      handlers.push(handler)
      const server = createServer((request, response) => void toNodeListener(handler)(request, response))
      servers.push(server)
      await once(server.listen(0, '127.0.0.1'), 'listening')
      urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    }
    const query = QUERIES[Math.floor(random() * QUERIES.length)] as string
    const client = new Client()
    const target = () => `${urls[Math.floor(random() * 2)]}/v1/events?${query}`
    changes = change(hubs[0] as TokenHub, random, open, () => isOver)
    for (let cut = 0; cut < 12; cut++) await client.read(target(), Math.floor(random() ** 2 * 4_000), () => false)
    isOver = true
    await changes
    const truth = async () => {
      const about = query.startsWith('name') ? `prefix=${query.slice(5).split('&')[0]}` : query
      const { names } = (await (await fetch(`${urls[0]}/v1/names?limit=1000&${about}`)).json()) as { names: Listing[] }
      const runId = query.includes('runId') ? '1' : ''
      return names.filter(
        (one) => !query.startsWith('name') || (`name=${one.name}` === query.split('&')[0] && one.runId === runId),
      )
    }
    const isEqual = async () => {
      const wanted = new Map((await truth()).map((one) => [keyOf(one), one]))
      try {
        assert.deepEqual(client.table, wanted)
        return true
      } catch {
        return false
      }
    }
    let isSame = false
    const reading = (async () => {
      while (!isSame) await client.read(target(), Infinity, () => isSame)
    })()
    const same = async () => {
      await eventually(isEqual)
      isSame = true
    }
    await Promise.race([reading, same()])
    await reading
    const names = await (hubs[1] as TokenHub).list()
    assert.ok(client.table.size <= names.length)
    assert.ok(client.resets > 0)
  } finally {
    isOver = true
    await changes?.catch(() => {})
    for (const token of open) token.close()
    for (const handler of handlers) handler.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
    await Promise.allSettled(hubs.map((hub) => hub.close({ timeout: 0 })))
  }
}

describe('streams that are cut and resumed', () => {
  const first = Number(process.env['CALLOFF_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  it(`lose no event, and tell none twice (CALLOFF_SEED=${first})`, async () => {
    for (let at = 0; at < share(60, 8); at++) {
      const seed = first + at
      try {
        await play(seed)
      } catch (error) {
        throw new Error(`with CALLOFF_SEED=${seed}`, { cause: error })
      }
    }
  })
})
