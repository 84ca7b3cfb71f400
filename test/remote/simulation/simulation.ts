/**
 * Thousands of runs of the very code of client and server, each over a network, a disk and a clock that its seed makes up:
 * connections break, servers crash and come back, clients die, messages come late.
 *
 * What is checked: what was acknowledged is seen by everybody who holds the token or opens it later; nothing that nobody
 * cancelled reads cancelled; what was forgotten does not come back, and what has lived its ttl is over, but not before; what
 * is exposed is ended only by whom it may be; one run of a name does not touch another; a lease never has two owners, its fence
 * goes up, and nobody is told that it is lost while its owner believes in it. A fifth of the servers have no journal: what they
 * were told before a crash is not asked for.
 *
 * Clocks: there is one for all. That the wall clocks of machines differ cannot matter, since none crosses but for people to
 * read; that they run at another pace is what the margin of a lease is for.
 */
import assert from 'node:assert/strict'
import { SimpleToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { after, type HubClient, type LeaseToken, type RemoteToken } from '../inside.js'
import { chance, Network } from './world.js'

/** After so long whoever has died is taken off the lists. */
const GONE = 70_000
/** What the whole milliseconds of the wall clock may make of a ttl. */
const SLACK = 2

interface Opened {
  readonly name: string
  readonly token: RemoteToken
  readonly hub: HubClient
  /** Whether its cancel had been acknowledged before it was opened. */
  readonly isLate: boolean
}

/** What is known of a name that is forgotten now and then. */
interface Fresh {
  /** Goes up with every cancel. */
  cancels: number
  /** Goes up with every forget. */
  forgets: number
  /** Cancels and forgets whose end was not heard of. */
  cancelling: number
  forgetting: number
  /** All cancels so far have come to their end before a forget began, and that has, too. */
  isClear: boolean
  /** A cancel was acknowledged, and nobody has forgotten anything since, nor is about to. */
  isMarked: boolean
}

/** The name and the run of a token, of a text with both. */
const named = (text: string): [name: string, options: { runId: string }] => {
  const [name = '', runId = ''] = text.split('#')
  return [name, { runId }]
}

/** One run: `await new Run(seed).play(steps)` rejects if something is wrong. */
export class Run {
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
  readonly #fresh = new Map<string, Fresh>()
  readonly #exposed: { name: string; source: SimpleToken; hub: HubClient; isCancellable: boolean }[] = []
  /** Who has cancelled which name. */
  readonly #asked = new Set<string>()
  readonly #pids = new Map<HubClient, number>()
  #made = 0
  /** Of the server, so far. */
  #lives = 0
  #wrong: string[] = []

  constructor(seed: number) {
    this.#random = chance(seed)
    this.#network = new Network(this.#random, this.#random() < 0.8)
    this.#network.disk.onAppend = (change) => {
      if (change.type !== 'over') return
      // At this very moment the owner has to know already.
      const owner = this.#leases.find(({ token }) => token.fence === change.fence)
      if (owner && !owner.token.cancelled) this.#wrong.push(`${owner.name} is over, and its owner does not know`)
    }
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
      for (const hub of this.#all) void hub.close({ timeout: 0 }).catch(() => {})
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
    const name = `name-${Math.floor(this.#random() * 8)}${this.#random() < 0.3 ? '#2' : ''}`
    if (dice < 0.04) this.#openFresh(hub)
    else if (dice < 0.08) this.#cancelFresh(hub)
    else if (dice < 0.11) this.#forget(hub)
    else if (dice < 0.13) this.#cancelForAWhile(hub)
    else if (dice < 0.16) this.#expose(hub, name)
    else if (dice < 0.18) this.#endExposed()
    else if (dice < 0.35) this.#open(hub, this.#random() < 0.3 ? `quiet-${Math.floor(this.#random() * 3)}` : name)
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
    else if (this.#network.isUp) this.#crash()
    else this.#network.start()
    if (!this.#network.isUp && this.#random() < 0.3) this.#network.start()
  }

  #open(hub: HubClient, name: string): void {
    const isLate = this.#acknowledged.has(name)
    const life = this.#lives
    const token = hub.open(...named(name))
    const opened = { name, token, hub, isLate }
    this.#tokens.add(opened)
    token.onCancel(({ kind }) => {
      if (kind === 'manual' && !this.#tried.has(name)) this.#wrong.push(`${name} was cancelled by nobody`)
      // What another process hears of is stored.
      if (!this.#network.hasJournal || kind !== 'manual') return
      if (token.who?.pid !== this.#pids.get(hub)) this.#acknowledged.add(name)
    })
    this.#later(async () => {
      await token.ready
      if (!this.#network.hasJournal && life !== this.#lives) return
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
    const life = this.#lifeFor(opened.hub, opened.name)
    this.#later(async () => {
      await opened.token.delivered
      this.#stored(opened.name, life)
      this.#underWay.delete(opened)
    })
  }

  #cancelByName(hub: HubClient, name: string): void {
    this.#tried.add(name)
    const mine = {}
    const life = this.#lifeFor(hub, name)
    const isPatient = this.#random() < 0.5
    if (isPatient) this.#underWay.set(mine, hub)
    this.#later(async () => {
      const timeout = isPatient ? undefined : this.#random() * 2_000
      const { delivered, holders, acknowledged, finished } = await hub.cancel(named(name)[0], 'by name', {
        timeout,
        ...named(name)[1],
      })
      if (delivered) this.#stored(name, life)
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

  /** It was said to be stored, by a server that had begun its life when that was asked for, or one with a journal. */
  #stored(name: string, life: number): void {
    if (this.#network.hasJournal || life === this.#lives) this.#acknowledged.add(name)
  }

  /** In which life of the server a cancel is stored, as its answer tells: one that joins an earlier one may tell of an earlier life. */
  #lifeFor(hub: HubClient, name: string): number {
    const asked = `${this.#pids.get(hub)} ${name}`
    if (this.#asked.has(asked)) return -1
    this.#asked.add(asked)
    return this.#lives
  }

  #crash(): void {
    this.#network.crash()
    this.#lives++
    if (this.#network.hasJournal) return
    // Whoever was told already stays cancelled; whoever comes now is not told any more.
    this.#acknowledged.clear()
    for (const fresh of this.#fresh.values()) fresh.isMarked = false
  }

  // ---- What is forgotten

  #freshName(): [name: string, fresh: Fresh] {
    const name = `fresh-${Math.floor(this.#random() * 3)}`
    let fresh = this.#fresh.get(name)
    if (!fresh) {
      fresh = { cancels: 0, forgets: 0, cancelling: 0, forgetting: 0, isClear: true, isMarked: false }
      this.#fresh.set(name, fresh)
    }
    return [name, fresh]
  }

  #openFresh(hub: HubClient): void {
    const [name, fresh] = this.#freshName()
    const { cancels, forgets, isClear, isMarked } = fresh
    const life = this.#lives
    const token = hub.open(name)
    this.#tokens.add({ name, token, hub, isLate: false })
    token.onCancel(({ kind }) => {
      if (kind !== 'manual' || !isClear || fresh.cancels > cancels) return
      this.#wrong.push(`${name} is cancelled at ${this.#clock.now}, by what was forgotten before it was opened`)
    })
    this.#later(async () => {
      await token.ready
      if (!this.#network.hasJournal && life !== this.#lives) return
      if (isMarked && fresh.forgets === forgets && !token.cancelled)
        this.#wrong.push(`${name} is live, though nobody forgot it`)
    })
  }

  #cancelFresh(hub: HubClient): void {
    const [name, fresh] = this.#freshName()
    fresh.cancels++
    fresh.cancelling++
    fresh.isClear = false
    const { forgets, forgetting } = fresh
    const life = this.#lifeFor(hub, name)
    this.#later(async () => {
      await hub.cancel(name, 'fresh')
      fresh.cancelling--
      // A forget at the same time may have come after it.
      if (forgetting > 0 || fresh.forgets !== forgets) return
      fresh.isMarked = this.#network.hasJournal || life === this.#lives
    })
  }

  #forget(hub: HubClient): void {
    const [name, fresh] = this.#freshName()
    const { cancels, cancelling } = fresh
    fresh.forgets++
    fresh.forgetting++
    fresh.isMarked = false
    this.#later(async () => {
      await hub.forget(name)
      fresh.forgetting--
      if (cancelling === 0 && fresh.cancels === cancels) fresh.isClear = true
    })
  }

  /** A mark lives as long as it is to, and no longer; each under a name of its own. */
  #cancelForAWhile(hub: HubClient): void {
    const name = `brief-${++this.#made}`
    const [ttl, began, life] = [1_500 + this.#random() * 4_000, this.#clock.now, this.#lives]
    const wall = Date.now()
    this.#later(async () => {
      const { delivered } = await hub.cancel(name, 'brief', { ttl, timeout: 60_000, until: 'acknowledged' })
      const stored = this.#clock.now
      if (!delivered || !this.#network.hasJournal) return
      while (this.#clock.now <= stored + ttl + SLACK) {
        const reader = this.#pick(this.#hubs.values())
        if (!reader) return
        await this.#pause(ttl / 4)
        const asked = this.#clock.now
        const token = reader.open(name)
        await token.ready
        const { cancelled } = token
        token.close()
        // After a restart the wall clock counts. It is the real one here, and moves on where the machine is busy.
        const moved = life === this.#lives ? 0 : Date.now() - wall
        if (!cancelled && this.#clock.now + moved < began + ttl) this.#wrong.push(`${name} ends before its ttl`)
        const isPast = asked > stored + ttl + SLACK && life === this.#lives
        if (cancelled && isPast) this.#wrong.push(`${name} outlives its ttl`)
      }
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void after(ms, resolve, false))
  }

  // ---- What is exposed

  #expose(hub: HubClient, name: string): void {
    const [source, isCancellable] = [new SimpleToken(), this.#random() < 0.5]
    // To whoever looks at the sources, the type has two homes.
    const nested = source as unknown as Parameters<HubClient['expose']>[1]
    const exposure = hub.expose(named(name)[0], nested, { cancellable: isCancellable, ...named(name)[1] })
    const exposed = { name, source, hub, isCancellable }
    this.#exposed.push(exposed)
    source.onCancel(({ cause }) => {
      if (cause === 'here') return
      if (!isCancellable) this.#wrong.push(`${name} is exposed to be read, and was cancelled`)
      if (!this.#tried.has(name)) this.#wrong.push(`${name} is exposed, and was cancelled by nobody`)
    })
    const life = this.#lifeFor(hub, name)
    this.#later(async () => {
      await exposure.delivered
      this.#stored(name, life)
    })
  }

  #endExposed(): void {
    const exposed = this.#pick(this.#exposed)
    if (!exposed || exposed.source.cancelled) return
    this.#tried.add(exposed.name)
    exposed.source.cancel('here')
  }

  // ---- Leases

  #lease(hub: HubClient): void {
    if (!this.#network.hasJournal) return // They want one: docs/guides/remote.md.
    const name = `lease-${Math.floor(this.#random() * 2)}`
    const ttl = 500 + Math.floor(this.#random() * 3_000)
    this.#later(async () => {
      const token = await hub.lease(name, { ttl, timeout: this.#random() * 3_000 })
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
    for (const hub of this.#all) if (!alive.has(hub)) void hub.close({ timeout: 0 }).catch(() => {})
    for (const hub of this.#underWay.values()) {
      if (alive.has(hub)) this.#wrong.push('a cancel is still under way')
    }
    for (const { name, token } of this.#tokens) {
      if (this.#acknowledged.has(name) && !token.cancelled) this.#wrong.push(`${name} lives, though it was cancelled`)
      if (name.startsWith('quiet') && token.cancelled) this.#wrong.push(`${name} was cancelled by nobody`)
    }
    for (const { name, source, hub, isCancellable } of this.#exposed) {
      if (!isCancellable || !alive.has(hub) || source.cancelled || !this.#acknowledged.has(name)) continue
      this.#wrong.push(`${name} is exposed, and lives, though it was cancelled`)
    }
    for (const hub of this.#hubs.values()) {
      if (hub.state !== 'connected') this.#wrong.push(`a hub is ${hub.state}`)
      for (const name of this.#acknowledged) this.#open(hub, name)
    }
    const late = [...this.#tokens].filter(({ name, isLate }) => isLate && this.#acknowledged.has(name))
    await this.#clock.advance(5_000)
    if (this.#wrong.length > 0) return
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
