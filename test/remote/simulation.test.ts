/**
 * Thousands of runs of the very code of client and server, each over a network, a disk and a clock that its seed makes up:
 * connections break, servers crash and come back, clients die, messages come late.
 *
 * What is checked: what was acknowledged is seen by everybody who holds the token or opens it later; nothing that nobody
 * cancelled reads cancelled; a lease never has two owners, its fence goes up, and nobody is told that it is lost while its
 * owner believes in it.
 *
 * CALLOFF_SEED and CALLOFF_RUNS say which runs: of a run that fails the message names the seed, with which it is the same again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manualClock } from 'calloff/testing'
import { runs } from '../property/runs.js'
import type { HubClient, LeaseToken, RemoteToken } from './inside.js'
import { chance, Network } from './world.js'

/** After so long whoever has died is taken off the lists. */
const GONE = 70_000

interface Opened {
  readonly name: string
  readonly token: RemoteToken
  readonly hub: HubClient
  /** Whether its cancel had been acknowledged before it was opened. */
  readonly isLate: boolean
}

class Run {
  readonly #random: () => number
  readonly #clock = manualClock()
  readonly #network: Network
  readonly #hubs = new Map<string, HubClient>()
  readonly #all: HubClient[] = []
  readonly #tokens = new Set<Opened>()
  readonly #leases: { name: string; token: LeaseToken }[] = []
  /** What somebody has tried to cancel; and what was said to be stored, or was seen elsewhere. */
  readonly #tried = new Set<string>()
  readonly #acknowledged = new Set<string>()
  /** Cancels that were not said to be stored yet, and whose. */
  readonly #underWay = new Map<object, HubClient>()
  readonly #pids = new Map<HubClient, number>()
  #made = 0
  #wrong: string[] = []

  constructor(seed: number) {
    this.#random = chance(seed)
    this.#network = new Network(this.#random)
  }

  async play(steps: number): Promise<void> {
    try {
      for (let i = 0; i < 3; i++) this.#join()
      for (let i = 0; i < steps; i++) {
        this.#step()
        await this.#clock.advance(this.#random() < 0.05 ? this.#random() * 4_000 : this.#random() * 30)
        this.#checkLeases()
        if (this.#wrong.length > 0) break
      }
      await this.#settle()
    } finally {
      for (const hub of this.#all) void hub.close({ within: 0 }).catch(() => {})
      this.#network.stop()
      await this.#clock.advance(10)
      this.#clock.uninstall()
    }
    assert.deepEqual(this.#wrong, [])
  }

  #pick<T>(from: Iterable<T>): T | undefined {
    const all = [...from]
    return all[Math.floor(this.#random() * all.length)]
  }

  /** What comes of it when the hub says so; a hub that is closed before says nothing. */
  #later(what: () => Promise<void>): void {
    what().catch(() => {})
  }

  #join(): void {
    const session = `session-${++this.#made}`
    const hub = this.#network.hub(session, this.#made)
    this.#pids.set(hub, this.#made)
    void hub.connect()
    this.#hubs.set(session, hub)
    this.#all.push(hub)
  }

  #step(): void {
    const dice = this.#random()
    const hub = this.#pick(this.#hubs.values())
    if (!hub) return this.#join()
    const name = `name-${Math.floor(this.#random() * 8)}`
    if (dice < 0.35) this.#open(hub, this.#random() < 0.3 ? `quiet-${Math.floor(this.#random() * 3)}` : name)
    else if (dice < 0.45) this.#cancelOne()
    else if (dice < 0.55) this.#cancelByName(hub, name)
    else if (dice < 0.62) this.#close()
    else if (dice < 0.7) this.#lease(hub)
    else if (dice < 0.73) this.#open(hub, `lease-${Math.floor(this.#random() * 2)}`)
    else if (dice < 0.76) this.#pick(this.#leases)?.token.close()
    else if (dice < 0.86) this.#pick(this.#network.connections)?.cut()
    else if (dice < 0.9) this.#network.heldUntil = this.#clock.now + this.#random() * 5_000
    else if (dice < 0.93) this.#kill()
    else if (dice < 0.96) this.#join()
    else if (this.#network.isUp) this.#network.crash()
    else this.#network.start()
    if (!this.#network.isUp && this.#random() < 0.3) this.#network.start()
  }

  #open(hub: HubClient, name: string): void {
    const isLate = this.#acknowledged.has(name)
    const token = hub.open(name)
    const opened = { name, token, hub, isLate }
    this.#tokens.add(opened)
    token.onCancel(({ kind }) => {
      if (kind === 'manual' && !this.#tried.has(name)) this.#wrong.push(`${name} was cancelled by nobody`)
      // What another process hears of is stored.
      if (kind === 'manual' && token.who?.pid !== this.#pids.get(hub)) this.#acknowledged.add(name)
    })
    this.#later(async () => {
      await token.ready
      if (isLate && !token.cancelled) this.#wrong.push(`${name} is ready and live, though it was cancelled before`)
    })
  }

  #cancelOne(): void {
    const opened = this.#pick(
      [...this.#tokens].filter(({ name, token }) => name.startsWith('name') && !token.cancelled),
    )
    if (!opened) return
    this.#tried.add(opened.name)
    opened.token.cancel('one')
    this.#underWay.set(opened, opened.hub)
    this.#later(async () => {
      await opened.token.delivered
      this.#acknowledged.add(opened.name)
      this.#underWay.delete(opened)
    })
  }

  #cancelByName(hub: HubClient, name: string): void {
    this.#tried.add(name)
    const mine = {}
    const isPatient = this.#random() < 0.5
    if (isPatient) this.#underWay.set(mine, hub)
    this.#later(async () => {
      const within = isPatient ? undefined : this.#random() * 2_000
      const { delivered, holders, acknowledged, finished } = await hub.cancel(name, 'by name', { within })
      if (delivered) this.#acknowledged.add(name)
      this.#underWay.delete(mine)
      const addsUp = finished <= acknowledged && acknowledged <= holders
      if (!addsUp) this.#wrong.push(`a receipt of ${name} does not add up`)
    })
  }

  #close(): void {
    const opened = this.#pick(this.#tokens)
    if (!opened) return
    this.#tokens.delete(opened)
    opened.token.close()
  }

  #kill(): void {
    const [session, hub] = this.#pick(this.#hubs) ?? []
    if (!session || !hub) return
    this.#hubs.delete(session)
    this.#network.kill(session)
    // Its tokens live on, as those of a process that is cut off, and nobody hears of them any more.
    for (const opened of this.#tokens) if (opened.hub === hub) this.#tokens.delete(opened)
  }

  // ---- Leases

  #lease(hub: HubClient): void {
    const name = `lease-${Math.floor(this.#random() * 2)}`
    const ttl = 500 + Math.floor(this.#random() * 3_000)
    this.#later(async () => {
      const token = await hub.lease(name, { ttl, within: this.#random() * 3_000 })
      // One that has been lost by the time it is known may come late.
      for (const other of token.cancelled ? [] : this.#leases) {
        if (other.name === name && other.token.fence >= token.fence) this.#wrong.push(`a fence of ${name} went down`)
      }
      this.#leases.push({ name, token })
      this.#checkLeases()
    })
  }

  #checkLeases(): void {
    const owned = new Set<string>()
    const over = new Set<number>()
    for (const change of this.#network.disk.written) if (change.type === 'over') over.add(change.fence)
    for (const { name, token } of this.#leases) {
      if (token.cancelled) continue
      if (over.has(token.fence)) this.#wrong.push(`${name} is lost at ${this.#clock.now}, and its owner lives`)
      if (owned.has(name)) this.#wrong.push(`${name} has two owners at ${this.#clock.now}`)
      owned.add(name)
    }
  }

  // ---- The end

  /** Everything heals; after a while everybody knows everything. */
  async #settle(): Promise<void> {
    this.#network.heldUntil = 0
    this.#network.start()
    await this.#clock.advance(10_000)
    const alive = new Set(this.#hubs.values())
    for (const hub of this.#all) if (!alive.has(hub)) void hub.close({ within: 0 }).catch(() => {})
    for (const hub of this.#underWay.values()) {
      if (alive.has(hub)) this.#wrong.push('a cancel is still under way')
    }
    for (const { name, token } of this.#tokens) {
      if (this.#acknowledged.has(name) && !token.cancelled) this.#wrong.push(`${name} lives, though it was cancelled`)
      if (name.startsWith('quiet') && token.cancelled) this.#wrong.push(`${name} was cancelled by nobody`)
    }
    for (const hub of this.#hubs.values()) {
      if (hub.state !== 'connected') this.#wrong.push(`a hub is ${hub.state}`)
      for (const name of this.#acknowledged) this.#open(hub, name)
    }
    const late = [...this.#tokens].filter(({ isLate }) => isLate)
    await this.#clock.advance(5_000)
    for (const { name, token } of late)
      if (!token.cancelled) this.#wrong.push(`${name} can be opened, though it was cancelled`)
    if (this.#random() < 0.2) await this.#checkList()
  }

  /** Whoever is listed is there, and the other way round. */
  async #checkList(): Promise<void> {
    await this.#clock.advance(GONE)
    const hub = this.#pick(this.#hubs.values())
    if (!hub) return
    const listing = hub.list('quiet')
    await this.#clock.advance(5_000)
    const held = new Map<string, number>()
    for (const { name } of this.#tokens) if (name.startsWith('quiet')) held.set(name, (held.get(name) ?? 0) + 1)
    const listed = new Map((await listing).map(({ name, holders }) => [name, holders.length]))
    assert.deepEqual(listed, held)
  }
}

test('whatever happens to connections, servers and clients, nothing acknowledged is lost, and nothing else happens', async () => {
  const { numRuns = 0, seed = Date.now() % 2 ** 31 } = runs(80)
  for (let run = 0; run < numRuns; run++) {
    try {
      await new Run(seed + run).play(60)
    } catch (error) {
      const again = `CALLOFF_SEED=${seed + run} CALLOFF_RUNS=1`
      throw new Error(`${again}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
})
