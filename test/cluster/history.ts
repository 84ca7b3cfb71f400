/**
 * Histories: several hubs open, cancel, forget and lease a few names at random, while servers are killed, frozen and cut off.
 * Everything is written down with the time at which it began and ended, and checked for what must never happen:
 *
 * 1. An open that begins after a cancel was acknowledged reads live, though no forget can have come in between.
 * 2. A token is cancelled without a cause: no such cancel had begun, or it had been forgotten before the token was opened.
 * 3. A token stays live while others read from what is stored that it is cancelled.
 * 4. A lease has two owners at once, by their own polls.
 * 5. A fence is not higher than one that was given before.
 */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import type { HubOptions, LeaseToken, RemoteToken, TokenHub } from 'calloff/remote'

/** Seconds for each history: a few, or as many as `CALLOFF_SOAK` says. */
export const seconds = Number(process.env['CALLOFF_SOAK'] ?? 3)
export const isLong = seconds >= 30
export const seed = Number(process.env['CALLOFF_SEED'] || Date.now() % 1_000_000)

const NAMES = ['a', 'b', 'c', 'd', 'e']
const LEASES = ['lease-a', 'lease-b']
const WORKERS = 3
const OPEN_AT_ONCE = 8
const TTL = 4_000
/** What waits for an election, or for a new link, is only slow. */
const LATE = 60_000

/** How the hubs of a history are set. */
export const patient: HubOptions = { backOff: { first: 10, most: 200 }, reread: 2_000, sessionTtl: 6_000, lazy: true }

interface Span {
  readonly name: string
  readonly began: number
  /** Infinity while it is not known to have ended. */
  ended: number
}

interface Cancelled extends Span {
  readonly id: string
}

interface Opened {
  readonly token: RemoteToken
  readonly name: string
  readonly began: number
  /** When it was told how it stands. */
  ready: number
  wasLive: boolean
  /** When it was cancelled. */
  over: number
}

interface Taken {
  readonly name: string
  readonly given: number
  ended: number
  readonly token: LeaseToken
}

export interface Faults {
  /** Waits until nothing is under way, and keeps anything from beginning, while something is done. */
  calm(what: () => Promise<void>): Promise<void>
  /** Waits, less if the history ends. */
  wait(ms: number): Promise<void>
  /** Whether there is time for another fault. */
  readonly goesOn: boolean
  readonly random: () => number
}

export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** What was done to a name, in the order in which it began; a long history has tens of thousands. */
class Spans<T extends Span> {
  readonly #all: readonly T[]
  /** The latest end of those up to each, and the one that ends first of each and those after it. */
  readonly #latest: number[] = []
  readonly #earliest: T[] = []

  constructor(all: readonly T[]) {
    this.#all = all
    for (const { ended } of all) this.#latest.push(Math.max(this.#latest.at(-1) ?? -Infinity, ended))
    for (let i = all.length - 1; i >= 0; i--) {
      const [one, next] = [all[i] as T, this.#earliest[i + 1]]
      this.#earliest[i] = next && next.ended < one.ended ? next : one
    }
  }

  /** When the last of those that began before a moment has ended. */
  latestEnd(moment: number): number {
    return this.#latest[this.#before(moment) - 1] ?? -Infinity
  }

  /** Of those that began at a moment or later, the one that ended first. */
  earliest(moment: number): T | undefined {
    return this.#earliest[this.#before(moment)]
  }

  #before(moment: number): number {
    let [from, to] = [0, this.#all.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if ((this.#all[middle] as T).began < moment) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** Runs a history over hubs that are given, and one more that reads what is stored at the end. Resolves with a line of figures. */
export async function history(
  hubs: readonly TokenHub[],
  makeReader: () => Promise<TokenHub>,
  inject: (faults: Faults) => Promise<void>,
  length = seconds,
): Promise<string> {
  const random = randomFrom(seed)
  const started = performance.now()
  const until = performance.now() + length * 1_000
  const cancels: Cancelled[] = []
  const forgets: Span[] = []
  const opens: Opened[] = []
  const taken: Taken[] = []
  const open = new Set<Opened>()
  const failures: string[] = []
  let [isInjecting, lost, longest] = [true, 0, 0]
  const refused: string[] = []
  let busy = 0
  let gate: Promise<void> | undefined
  const fail = (text: string) => failures.push(`${text} (seed ${seed})`)
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T

  // ---- Leases, which are looked at all the time

  const look = () => {
    for (const name of LEASES) {
      const owners = taken.filter((one) => one.name === name && one.ended === Infinity && !one.token.cancelled)
      if (owners.length > 1) {
        fail(`${name} has ${owners.length} owners: fences ${owners.map(({ token }) => token.fence).join(', ')}`)
        for (const owner of owners) owner.ended = performance.now()
      }
    }
  }
  const looking = setInterval(look, 2)

  const lease = async (hub: TokenHub) => {
    const name = pick(LEASES)
    const began = performance.now()
    const token = await hub.lease(name, { ttl: TTL }).catch((error: unknown) => {
      if ((error as { code?: string }).code !== 'ERR_LEASE_HELD') refused.push(String(error))
    })
    if (!token) return
    // Of those that were given before this one was asked for.
    const higher = taken.filter((one) => one.name === name && one.given < began && one.token.fence >= token.fence)
    if (higher.length > 0)
      fail(`${name}: fence ${token.fence} after ${higher.map((one) => one.token.fence).join(', ')}`)
    const one = { name, given: performance.now(), ended: Infinity, token }
    taken.push(one)
    look()
    await pause(random() * 400)
    look()
    if (token.cancelled) lost++
    one.ended = performance.now()
    token.close()
  }

  // ---- Tokens

  const openOne = async (hub: TokenHub) => {
    if (open.size >= OPEN_AT_ONCE * hubs.length) {
      const old = pick([...open])
      open.delete(old)
      old.token.close()
    }
    const name = pick(NAMES)
    const began = performance.now()
    const token = hub.open(name)
    const one: Opened = { token, name, began, ready: Infinity, wasLive: false, over: Infinity }
    token.onCancel(() => (one.over = performance.now()))
    open.add(one)
    opens.push(one)
    try {
      await token.ready
    } catch {
      return // It was closed meanwhile.
    }
    one.ready = performance.now()
    one.wasLive = open.has(one) && !token.cancelled
  }

  const cancelOne = async (hub: TokenHub) => {
    const name = pick(NAMES)
    const one = { id: `${name}-${cancels.length}`, name, began: performance.now(), ended: Infinity }
    cancels.push(one)
    try {
      const { delivered } = await hub.cancel(name, one.id)
      if (delivered) one.ended = performance.now()
    } catch (error) {
      refused.push(String(error))
    }
  }

  const forgetOne = async (hub: TokenHub) => {
    const one = { name: pick(NAMES), began: performance.now(), ended: Infinity }
    forgets.push(one)
    try {
      await hub.forget(one.name)
      one.ended = performance.now()
    } catch (error) {
      refused.push(String(error))
    }
  }

  const work = async (hub: TokenHub) => {
    while (performance.now() < until || isInjecting) {
      await gate
      const chance = random()
      const what = chance < 0.45 ? openOne : chance < 0.65 ? cancelOne : chance < 0.85 ? forgetOne : lease
      busy++
      const began = performance.now()
      const isLate = await Promise.race([what(hub).then(() => false), pause(LATE, true, { ref: false })])
      if (isLate) {
        fail(`${what.name} has not come back for ${LATE} ms`)
        return
      }
      longest = Math.max(longest, performance.now() - began)
      busy--
      await pause(random() * 20)
    }
  }

  const faults: Faults = {
    random,
    get goesOn() {
      return performance.now() < until
    },
    wait: (ms) => pause(ms),
    async calm(what) {
      let open = () => {}
      gate = new Promise((resolve) => (open = resolve))
      try {
        while (busy > 0) await pause(5)
        await what()
      } finally {
        gate = undefined
        open()
      }
    },
  }
  try {
    const injected = inject(faults).finally(() => (isInjecting = false))
    await Promise.all([injected, ...hubs.flatMap((hub) => Array.from({ length: WORKERS }, () => work(hub)))])

    // ---- What was read, and when

    const byName = <T extends Span>(all: readonly T[]) => {
      const found = new Map(NAMES.map((name) => [name, new Spans(all.filter((one) => one.name === name))]))
      return (name: string) => found.get(name) as Spans<T>
    }
    const [cancelsOf, forgetsOf] = [byName(cancels), byName(forgets)]
    const byId = new Map<unknown, Cancelled>(cancels.map((cancel) => [cancel.id, cancel]))

    for (const { name, began, ready, wasLive, token, over } of opens) {
      if (wasLive) {
        const since = forgetsOf(name).latestEnd(ready)
        const missed = cancelsOf(name).earliest(since)
        if (missed && missed.ended < began) {
          const times = [missed.began, missed.ended, began, ready].map((time) => Math.round(time - started)).join(', ')
          fail(`${name} reads live though ${missed.id} was acknowledged: from, to, opened, ready at ${times} ms`)
        }
      }
      if (token.kind === 'dispose' || over === Infinity) continue
      const cause = byId.get(token.reason)
      const isTakenBack = cause && (forgetsOf(name).earliest(cause.ended)?.ended ?? Infinity) < began
      if (cause?.name !== name || cause.began > over || isTakenBack) {
        const why = isTakenBack ? 'which was forgotten before it was opened' : 'which is no cause'
        fail(`${name} was cancelled by ${String(token.reason)} (${token.kind}), ${why}`)
      }
    }

    // ---- What is stored

    const reader = await makeReader()
    for (const name of NAMES) {
      const fresh = reader.open(name)
      await fresh.ready
      const standing = cancelsOf(name).earliest(forgetsOf(name).latestEnd(Infinity))
      if (standing && standing.ended < Infinity && !fresh.cancelled)
        fail(`in the end ${name} reads live, though ${standing.id} was acknowledged`)
      const limit = performance.now() + LATE
      for (const one of open) {
        if (one.name !== name || !fresh.cancelled) continue
        while (!one.token.cancelled && performance.now() < limit) await pause(10)
        if (!one.token.cancelled) fail(`a token of ${name} stays live, which is cancelled by what is stored`)
      }
      fresh.close()
    }
  } finally {
    clearInterval(looking)
    for (const { token } of taken) token.close()
    for (const { token } of open) token.close()
  }
  assert.deepEqual(failures, [])
  const counts = `${opens.length} opens, ${cancels.length} cancels, ${forgets.length} forgets, ${taken.length} leases`
  assert.deepEqual([...new Set(refused)], [], `what was asked was refused (seed ${seed})`)
  return `${counts}; ${lost} leases lost, the longest call ${Math.round(longest)} ms; seed ${seed}`
}
