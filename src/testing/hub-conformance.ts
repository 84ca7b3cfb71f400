/**
 * Tests the promises of a hub on a running one. `H…` are the promises of remote/contract/hub.ts, `E…` those of
 * remote/contract/engine.ts.
 *
 * The cases need no test framework, and use only real time, because a server has clocks of its own. No case expects an
 * operation to be quick. An event that must not happen too early is measured from a moment before its start.
 */
import { after, keepAlive, now } from '../core/clock.js'
import { type CancellationToken, SimpleToken, TimeoutToken } from '../core/token.js'
import type { Engine, HolderRecord, Link, MarkRecord, Topic, TopicState } from '../remote/contract/engine.js'
import type { HubOptions, TokenHub } from '../remote/contract/hub.js'

/** The server of the tested hubs. */
export interface HubUnderTest {
  /** Connects a hub to the server. The suite closes the hub. */
  connect(options?: HubOptions): Promise<TokenHub>
  /** Returns the engine of the server. Without it the promises of the engine are not tested. */
  engine?(): Engine | Promise<Engine>
  /** Cuts all open connections. New ones can be made. */
  cut?(): void | Promise<void>
  /** Ends the server without a warning, and starts it again with the data that it had stored. */
  restart?(): Promise<void>
  /** The time limit for each operation, in milliseconds. Default: 20,000. */
  readonly timeout?: number
}

/** One test case. */
export interface ConformanceCase {
  /** A sentence, with the promises that the case tests. */
  readonly name: string
  /** Rejects if a promise is not kept. */
  run(): Promise<void>
}

/**
 * Returns the cases that test a hub, for any test framework:
 * `for (const { name, run } of hubConformance(mine)) it(name, run)`.
 *
 * The cases use names of their own, so the server may serve other clients at the same time. They may run in parallel,
 * except those that cut connections or restart the server.
 *
 * @example
 * ```ts
 * import { connectHub, TokenServer } from 'calloff/remote'
 * import { hubConformance } from 'calloff/testing'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * const cases = hubConformance({ connect: (options) => connectHub(server.url, options) })
 * for (const { run } of cases.slice(0, 3)) await run() // or one test each
 * console.log(cases.length > 15) // → true
 * ```
 */
export function hubConformance(under: HubUnderTest): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = []
  const add = (name: string, run: (world: World) => Promise<void>) => {
    cases.push({
      name,
      async run() {
        const world = new World(under)
        // A link of an engine does not keep the process alive, and some cases have nothing else.
        const letGo = keepAlive()
        try {
          await run(world)
        } finally {
          await world.close()
          letGo()
        }
      },
    })
  }
  addTokens(add)
  addReceipts(add)
  addLeases(add)
  if (under.engine) addEngine((name, run) => add(name, (world) => again(world, run)))
  if (under.cut) addCuts(add)
  if (under.restart) addRestarts(add)
  return cases
}

/**
 * Runs a case, and again with links of its own if the server was silent for so long that a link was given up (E12), three times at most.
 * A hub connects again by itself; a case that works on links has nothing else to do it.
 */
async function again(world: World, run: (world: World) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(world)
    } catch (error) {
      if (attempt === 3 || (error as { code?: unknown } | null)?.code !== 'ERR_HUB_UNREACHABLE') throw error
    }
  }
}

type Add = (name: string, run: (world: World) => Promise<void>) => void

/** A promise was not kept. */
class NotKept extends Error {}
Object.defineProperty(NotKept.prototype, 'name', { value: 'NotKept', writable: true, configurable: true })

// oxlint-disable-next-line typescript/no-base-to-string -- whatever a hub gave
const shown = (value: unknown): string => String(value)

function expect(kept: boolean, what: string, found?: unknown): void {
  if (!kept) throw new NotKept(found === undefined ? what : `${what}; it was ${shown(found)}`)
}

function same(found: unknown, wanted: unknown, what: string): void {
  expect(Object.is(found, wanted), `${what} should be ${shown(wanted)}`, found)
}

let worlds = 0

/** The hubs and links of one case. */
class World {
  readonly under: HubUnderTest
  readonly #open: { close(): unknown }[] = []
  readonly #stem = `conformance-${Math.random().toString(36).slice(2)}-${++worlds}`
  #names = 0

  constructor(under: HubUnderTest) {
    this.under = under
  }

  /** Returns a name that no other case uses. */
  name(): string {
    return `${this.#stem}-${++this.#names}`
  }

  topic(): Topic {
    return { name: this.name(), runId: '' }
  }

  async hub(options?: HubOptions): Promise<TokenHub> {
    const hub = await this.under.connect(options)
    this.#open.push(hub)
    return hub
  }

  /** Opens a link of a new session. Returns it with the notices and losses that it has reported. */
  async link(ttl = 30_000, id = this.name()): Promise<{ link: Link; notices: TopicState[]; lost: Error[] }> {
    const engine = await (this.under.engine as () => Promise<Engine>)()
    const notices: TopicState[] = []
    const lost: Error[] = []
    const session = { id, host: 'conformance', pid: 1, ttl }
    const events = {
      notice: (state: TopicState) => void notices.push(state),
      lost: (error: Error) => void lost.push(error),
    }
    const link = await engine.connect(session, events, new SimpleToken())
    this.#open.push({
      close: async () => {
        await link.bye().catch(() => {})
        link.close()
      },
    })
    return { link, notices, lost }
  }

  /** Checks the condition again and again until it is true. */
  async until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const began = now()
    while (!(await isSo())) {
      expect(now() - began < (this.under.timeout ?? 20_000), `${what}, which did not happen in time`)
      await pause(5)
    }
  }

  ended(token: CancellationToken, what = 'the token ends'): Promise<void> {
    return this.until(() => token.cancelled, what)
  }

  /** Opens a token of the name, and returns whether it is cancelled once it is ready. */
  async isOver(hub: TokenHub, name: string, run?: string): Promise<boolean> {
    const token = hub.open(name, { runId: run })
    await token.ready
    const over = token.cancelled
    token.close()
    return over
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#open.map((one) => one.close()))
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void after(ms, resolve, true))

// ---- Tokens and marks

function addTokens(add: Add): void {
  add('a token that is opened after the cancel was delivered is cancelled once it is ready (H2, H4)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const token = here.open(name).cancel('stop')
    same(token.cancelled, true, 'the token itself')
    await token.delivered
    const late = there.open(name)
    await late.ready
    same(late.cancelled, true, 'the late one')
    same(late.reason, 'stop', 'its reason')
    same(late.kind, 'manual', 'its kind')
    same(late.who?.token, name, 'the token that it started with')
    expect(typeof late.who?.pid === 'number' && late.who.host !== '', 'the canceller')
  })

  add('names that differ in any character are different names', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const stem = world.name()
    const names = [stem, `\uFEFF${stem}`, `${stem}\uFEFF`, `${stem} `, ` ${stem}`, `${stem}\u200B`, `${stem}\n`]
    names.push(`${stem}\u00E9`, `${stem}e\u0301`, stem.toUpperCase(), `${stem}%20`, `${stem}*`, `${stem}.`, `${stem}\\`)
    const tokens = names.map((name) => there.open(name))
    const runs = names.map((run) => there.open(stem, { runId: run }))
    await Promise.all([...tokens, ...runs].map(({ ready }) => ready))
    for (const [at, name] of names.entries()) {
      await here.cancel(name, 'stop', { timeout: 20_000, until: 'acknowledged' })
      const over = tokens.filter(({ cancelled }) => cancelled).length
      same(over, at + 1, `the number of cancelled tokens after ${JSON.stringify(name)}`)
      same(tokens[at]?.cancelled, true, `the token ${JSON.stringify(name)}`)
    }
    same(runs.filter(({ cancelled }) => cancelled).length, 0, 'the number of cancelled runs')
    for (const [at, run] of names.entries()) {
      await here.cancel(stem, 'stop', { runId: run, timeout: 20_000, until: 'acknowledged' })
      same(runs.filter(({ cancelled }) => cancelled).length, at + 1, `cancelled runs after ${JSON.stringify(run)}`)
    }
    const listed = (await here.list(`\uFEFF${stem}`)).map(({ name }) => name)
    same(listed.join(), `\uFEFF${stem}`, 'what is listed under the byte order mark')
  })

  add('a token that is open learns of a cancel elsewhere, and its listeners too (H2)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const token = there.open(name)
    await token.ready
    let heard = 0
    token.onCancel(() => heard++)
    same(token.cancelled, false, 'before the cancel it')
    await here.cancel(name, 'stop')
    await world.ended(token)
    same(heard, 1, 'the calls of its listener')
  })

  add('a cancel takes effect at once where it is made, on every token of the name (H1, H3)', async (world) => {
    const hub = await world.hub()
    const name = world.name()
    const [one, two] = [hub.open(name), hub.open(name)]
    one.cancel('stop')
    same(two.cancelled, true, 'the other token')
    same(two.error, one.error, 'the error')
    same(hub.open(name).cancelled, true, 'one that is opened right away')
    const third = world.name()
    const token = hub.open(third)
    void hub.cancel(third)
    same(token.cancelled, true, 'a token that is cancelled by name')
  })

  add('a cancel of one name leaves others alone, whatever they look like (H5)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const stem = world.name()
    const names = [
      '',
      '*',
      '>',
      '%',
      '_',
      '.a',
      '..',
      ':a',
      '/a',
      ' ',
      '\\',
      "'",
      '"',
      '{a}',
      '?',
      'é',
      'e\u0301',
      '😀',
      'A',
      'a',
    ]
    const tokens = names.map((ending) => there.open(stem + ending))
    await Promise.all(tokens.map(({ ready }) => ready))
    for (const [i, ending] of names.entries()) {
      await here.cancel(stem + ending)
      await world.ended(tokens[i] as CancellationToken, `${JSON.stringify(ending)} ends`)
      for (const [other, token] of tokens.entries()) {
        if (other > i) same(token.cancelled, false, `${JSON.stringify(names[other])} after ${JSON.stringify(ending)}`)
      }
    }
    const long = `${stem}${'ü'.repeat(128)}`.slice(0, 128 + stem.length / 2)
    await here.cancel(long)
    same(await world.isOver(there, long), true, 'a long name')
  })

  add('of several cancels at once one mark is kept, for all later holders (H6)', async (world) => {
    const hubs = [await world.hub(), await world.hub(), await world.hub()]
    const name = world.name()
    const receipts = await Promise.all(hubs.map((hub, i) => hub.cancel(name, `from ${i}`)))
    const late = (await world.hub()).open(name)
    await late.ready
    for (const { mark } of receipts) same(mark.reason, late.reason, 'the reason of the mark')
    same((await (hubs[0] as TokenHub).cancel(name, 'too late')).mark.reason, late.reason, 'that of a later one')
  })

  add('reasons cross as what they are, errors as errors (H7)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const crosses = async (reason: unknown): Promise<unknown> => {
      const name = world.name()
      await here.cancel(name, reason)
      const token = there.open(name)
      await token.ready
      same(token.cancelled, true, 'it')
      return token.reason
    }
    const error = await crosses(Object.assign(new RangeError('no more', { cause: 'disk' }), { code: 'E_FULL' }))
    expect(error instanceof RangeError, 'a RangeError should arrive as one', error)
    same((error as Error).message, 'no more', 'its message')
    same((error as { code?: unknown }).code, 'E_FULL', 'its code')
    same((error as Error).cause, 'disk', 'its cause')
    same(JSON.stringify(await crosses({ a: [1, null, 'é😀'], $: 1 })), '{"a":[1,null,"é😀"],"$":1}', 'an object')
    same(await crosses(undefined), undefined, 'no reason')
    same(await crosses(null), null, 'null')
    same(await crosses(12n), 12n, 'a big integer')
    const text = String(await crosses('x'.repeat(100_000)))
    expect(text.length > 1_000 && /^x+…$/.test(text), 'a long text should be shortened')
  })

  add('kinds and names cross from what is exposed (H7)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const patience = new TimeoutToken(3_600_000, { name: 'patience', reason: 'the server is slow' })
    const exposed = here.expose(name, new SimpleToken(patience))
    const token = there.open(name)
    await Promise.all([exposed.ready, token.ready])
    patience.disarm()
    patience.extend(1)
    patience.restart(20) // the deadline of an exposed token may be moved in every way
    await world.ended(token)
    await exposed.delivered
    same(token.kind, 'timeout', 'the kind')
    same(token.reason, 'the server is slow', 'the reason')
    same(token.error?.name, 'TimeoutError', 'the name of the error')
    same(token.cancelledBy?.name, 'patience', 'the name of the token')
    same(token.who?.token, 'patience', 'the name in who')
  })

  add('an exposed token is cancelled by others only if it may be', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const [first, second] = [world.name(), world.name()]
    const [open, shut] = [new SimpleToken(), new SimpleToken()]
    const all = [here.expose(first, open, { cancellable: true }), here.expose(second, shut)]
    await Promise.all(all.map(({ ready }) => ready))
    await there.cancel(second, 'stop')
    await there.cancel(first, 'stop')
    await world.ended(open)
    same(open.reason, 'stop', 'the reason')
    same(shut.cancelled, false, 'the other one')
    for (const one of all) one.close()
  })

  add('runs of a name do not touch each other (H8)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const second = there.open(name, { runId: '2' })
    const plain = there.open(name)
    await Promise.all([second.ready, plain.ready])
    await here.cancel(name, 'late', { runId: '1' })
    same(await world.isOver(there, name, '1'), true, 'the run itself')
    same(await world.isOver(there, name, '2'), false, 'the next run')
    same(await world.isOver(there, name), false, 'the name without a run')
    same(second.cancelled || plain.cancelled, false, 'those that were open')
  })

  add('a mark lives for its ttl, and not for ever', async (world) => {
    const hub = await world.hub()
    const name = world.name()
    const began = now()
    await hub.cancel(name, 'stop', { ttl: 500 })
    await world.until(async () => {
      const over = await world.isOver(hub, name)
      expect(over || now() - began >= 500, 'a mark should live for its whole ttl')
      return !over
    }, 'the mark is forgotten')
  })

  add(
    'after a forget the name is live for a token that is opened then; an open token stays cancelled (H2)',
    async (world) => {
      const [here, there] = [await world.hub(), await world.hub()]
      const name = world.name()
      const token = there.open(name)
      await token.ready
      await here.cancel(name)
      await world.ended(token)
      await here.forget(name)
      same(await world.isOver(there, name), false, 'one that is opened now')
      same(token.cancelled, true, 'the old one')
      await here.forget(name)
    },
  )

  add('a thousand tokens learn of a thousand cancels (H2, H5)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const names = Array.from({ length: 1_000 }, () => world.name())
    const tokens = names.map((name) => there.open(name))
    const left = Array.from({ length: 10 }, () => there.open(world.name()))
    await Promise.all([...tokens, ...left].map(({ ready }) => ready))
    await Promise.all(names.map((name, i) => here.cancel(name, i)))
    for (const [i, token] of tokens.entries()) {
      await world.ended(token)
      same(token.reason, i, 'the reason')
    }
    for (const token of left) same(token.cancelled, false, 'a token that was not cancelled')
  })

  add('a closed hub ends its tokens, and says so', async (world) => {
    const hub = await world.hub()
    const token = hub.open(world.name())
    await token.ready
    await hub.close()
    same(hub.state, 'closed', 'the state')
    same(token.kind, 'dispose', 'the kind')
    await rejects(hub.list(), 'ERR_HUB_CLOSED')
    await hub.close()
  })
}

async function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  try {
    await promise
  } catch (error) {
    same((error as { code?: unknown }).code, code, 'the code of the error')
    return
  }
  throw new NotKept(`it should reject with ${code}`)
}

// ---- Receipts and lists

function addReceipts(add: Add): void {
  add('a receipt counts the holders, those that have seen the cancel and those that have finished', async (world) => {
    const [here, there, third] = [await world.hub(), await world.hub(), await world.hub()]
    const name = world.name()
    const [one, two, three] = [there.open(name), there.open(name), third.open(name)]
    await Promise.all([one.ready, two.ready, three.ready])
    await one.finished(Promise.resolve())
    three.onCancel(() => three.close())
    const seen = await here.cancel(name, 'stop', { timeout: 20_000, until: 'acknowledged' })
    same(seen.delivered, true, 'delivered')
    same(seen.holders, 3, 'the holders')
    same(seen.acknowledged, 3, 'the holders that have seen it')
    const asked = here.cancel(name, 'again', { timeout: 20_000 })
    two.close()
    const done = await asked
    same(done.mark.reason, 'stop', 'the mark')
    same(done.finished, done.holders, 'the holders that have finished')
    same(done.waiting.length, 0, 'the holders that have not finished')
  })

  add('a receipt comes in time, and names the holders that have not finished', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const token = there.open(name)
    await token.ready
    let receipt = await here.cancel(name, 'stop', { timeout: 300 })
    // A busy machine may need this time for the mark and the list alone.
    for (let within = 600; !receipt.complete; within *= 2)
      receipt = await here.cancel(name, 'stop', { timeout: within })
    same(receipt.holders, 1, 'the holders')
    same(receipt.finished, 0, 'the holders that have finished')
    same(receipt.waiting.length, 1, 'the holders that have not finished')
    same(receipt.waiting[0]?.role, 'open', 'the role')
    token.close() // kept until here: a token that no caller keeps is closed
    const nobody = await here.cancel(world.name(), undefined, { timeout: 20_000 })
    same(nobody.holders, 0, 'the holders of a name that no process has open')
  })

  add('a list shows what is open or marked, by whom, in what state', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const stem = world.name()
    const token = there.open(`${stem}_b`, { runId: 'r' })
    using exposed = there.expose(`${stem}_a`, new SimpleToken())
    await Promise.all([token.ready, exposed.ready])
    await here.cancel(`${stem}_c`, 'stop')
    same((await here.list(`${stem}x`)).length, 0, 'what begins otherwise')
    const list = await here.list(`${stem}_`)
    same(list.map(({ name }) => name.slice(-1)).join(''), 'abc', 'the names')
    same(list.map(({ state }) => state).join(), 'live,live,cancelled', 'the states')
    same(list[1]?.runId, 'r', 'the run')
    same(list[2]?.mark?.reason, 'stop', 'the reason of the mark')
    same(list[0]?.holders[0]?.role, 'exposed', 'the role')
    const [holder] = list[1]?.holders ?? []
    expect(holder?.role === 'open' && holder.state === 'open' && !holder.silent, 'a holder is described')
    token.close()
    await world.until(
      async () => (await here.list(`${stem}_b`)).length === 0,
      'a token that is closed is taken off the list',
    )
  })
}

// ---- Leases

function addLeases(add: Add): void {
  add('a lease has one owner, and a fence that goes up (H10)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const first = await here.lease(name, { ttl: 60_000 })
    await rejects(there.lease(name, { ttl: 60_000 }), 'ERR_LEASE_HELD')
    await rejects(here.lease(name, { ttl: 60_000 }), 'ERR_LEASE_HELD')
    const waiting = there.lease(name, { ttl: 60_000, timeout: 20_000 })
    const other = await here.lease(world.name(), { ttl: 60_000 })
    first.close()
    const second = await waiting
    expect(second.fence > first.fence, 'the fence should go up')
    same(other.cancelled, false, 'the lease of another name')
  })

  add('a lease that is renewed outlives its ttl; its release cancels no token (H5, H10)', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    // A busy machine may be silent for longer than a lease lasts. Then the case tries again with a longer lease.
    const outlive = async (ttl: number) => {
      const name = world.name()
      const lease = await here.lease(name, { ttl })
      const token = there.open(name)
      await token.ready
      await pause(ttl * 1.5)
      return { name, lease, token }
    }
    let outlived = await outlive(2_000)
    for (let ttl = 4_000; outlived.lease.cancelled && ttl < 20_000; ttl *= 2) outlived = await outlive(ttl)
    const { name, lease, token } = outlived
    same(lease.cancelled, false, 'the lease after one and a half ttls')
    same(token.cancelled, false, "the others' token")
    lease.close()
    same(await world.isOver(there, name), false, 'what is opened after the release')
    const next = await there.lease(name, { ttl: 10_000, timeout: 20_000 })
    same(token.cancelled, false, 'the token after the release')
    next.close()
  })

  add('a cancel of the name of a lease cancels the token of its owner', async (world) => {
    const [here, there] = [await world.hub(), await world.hub()]
    const name = world.name()
    const lease = await here.lease(name, { ttl: 60_000 })
    await there.cancel(name, 'stop')
    await world.ended(lease)
    same(lease.kind, 'manual', 'the kind')
    same(lease.reason, 'stop', 'the reason')
  })
}

let marks = 0

const markOf = (reason: string): MarkRecord => ({
  id: `conformance-${Math.random().toString(36).slice(2)}-${++marks}`,
  kind: 'manual',
  reason: JSON.stringify(reason),
  host: 'conformance',
  pid: 1,
  token: '',
  what: 'was cancelled',
  at: 0,
})

const holderOf = (id: number, topic: Topic, state = 0): HolderRecord => ({ id, topic, state, role: 0, since: 0 })

const DAY = 24 * 3_600_000

// ---- The engine

function addEngine(add: Add): void {
  add('the first mark is kept, for every mark, read, enter and list after it (E1, E2, E6, E11)', async (world) => {
    const [{ link }, { link: other }] = [await world.link(), await world.link()]
    for (let i = 0; i < 20; i++) {
      const topic = world.topic()
      const [a, b] = await Promise.all([link.mark(topic, markOf('a'), DAY), other.mark(topic, markOf('b'), DAY)])
      same(a.reason, b.reason, 'what both are told')
      same((await link.mark(topic, markOf('a'), DAY)).reason, a.reason, 'what a third one is told')
      same((await other.read([topic]))[0]?.mark?.reason, a.reason, 'what is read')
      same((await other.enter([holderOf(i, topic)]))[0]?.mark?.reason, a.reason, 'what is entered upon')
      same((await link.list({ topic }))[0]?.mark?.reason, a.reason, 'what is listed')
    }
  })

  add(
    'a mark that was forgotten does not come back when it is offered again; another one counts (E2, E11)',
    async (world) => {
      const [{ link }, { link: other, notices }] = [await world.link(), await world.link()]
      const topic = world.topic()
      const old = [markOf('a'), markOf('b'), markOf('c')]
      for (const mark of old) {
        await link.mark(topic, mark, DAY)
        await other.forget(topic)
      }
      await other.enter([holderOf(1, topic)])
      // As after a lost connection that has not delivered the confirmation: over the same link, or another one.
      for (const mark of old) {
        for (const over of [link, other]) same((await over.mark(topic, mark, DAY)).id, mark.id, 'what is told of it')
        same((await link.read([topic]))[0]?.mark, undefined, 'the mark that stands after one was offered again')
      }
      same((await link.list({ topic }))[0]?.mark, undefined, 'the mark that is listed')
      expect(!notices.some(({ mark }) => mark), 'no link should be told of it')
      const fresh = markOf('a')
      await link.mark(topic, fresh, DAY)
      same((await other.read([topic]))[0]?.mark?.id, fresh.id, 'the mark of a new cancel')
      await world.until(() => notices.some(({ mark }) => mark?.id === fresh.id), 'its notice comes')
      for (const mark of old) same((await other.mark(topic, mark, DAY)).id, fresh.id, 'what stands while it lives')
      await other.forget(topic)
      for (const mark of [...old, fresh]) {
        await link.mark(topic, mark, DAY)
        same((await other.read([topic]))[0]?.mark, undefined, 'the mark after the last one was forgotten')
      }
    },
  )

  add('of a mark that is offered twice and a forget at the same time, nothing is left (E2)', async (world) => {
    const [{ link }, { link: other }] = [await world.link(), await world.link()]
    for (let i = 0; i < 20; i++) {
      const topic = world.topic()
      const mark = markOf('a')
      await link.mark(topic, mark, DAY)
      await Promise.all([link.mark(topic, mark, DAY), other.forget(topic), link.mark(topic, mark, DAY)])
      same((await other.read([topic]))[0]?.mark, undefined, 'the mark')
    }
  })

  add('a link that has entered is told of a mark, and not before it is stored (E3, E4)', async (world) => {
    const [{ link, notices }, { link: other }] = [await world.link(), await world.link()]
    const [topic, silent] = [world.topic(), world.topic()]
    await link.enter([holderOf(1, topic)])
    await other.mark(silent, markOf('not for you'), DAY)
    await other.mark(topic, markOf('stop'), DAY)
    const isTold = ({ topic: about, mark }: TopicState) => about.name === topic.name && mark !== undefined
    await world.until(() => notices.some(isTold), 'the notice comes')
    const [state] = await other.read([topic])
    same(state?.mark?.reason, markOf('stop').reason, 'what is stored by then')
  })

  add('of a link that enters and a link that marks and then lists, at least one sees the other (E5)', async (world) => {
    const [{ link }, { link: other }] = [await world.link(), await world.link()]
    for (let i = 0; i < 50; i++) {
      const topic = world.topic()
      const entering = link.enter([holderOf(i, topic)])
      await other.mark(topic, markOf('stop'), DAY)
      const [report] = await other.list({ topic })
      const [state] = await entering
      expect(state?.mark !== undefined || report?.holders.length === 1, 'neither has seen the other')
    }
  })

  add('a session outlives its link, is silent when nothing is heard of it, and gone after bye (E8)', async (world) => {
    const { link } = await world.link()
    const topic = world.topic()
    const session = world.name()
    const first = await world.link(30_000, session)
    await first.link.enter([holderOf(1, topic), holderOf(2, topic)])
    first.link.close()
    const holders = async () => (await link.list({ topic }))[0]?.holders ?? []
    same((await holders()).length, 2, 'the holders after the link is closed')
    const second = await world.link(30_000, session)
    same(await second.link.beat(), true, 'whether the session is known')
    await second.link.leave([1, 7])
    same((await holders()).map(({ id }) => id).join(), '2', 'the holders that are left')
    await second.link.bye()
    same((await holders()).length, 0, 'the holders after bye')
    const short = await world.link(500)
    await short.link.enter([holderOf(1, topic)])
    short.link.close()
    await world.until(async () => (await holders())[0]?.silent === true, 'it is listed as silent')
  })

  add('the state of a holder only goes up (E9, E11)', async (world) => {
    const { link } = await world.link()
    const topic = world.topic()
    for (const [entered, listed] of [
      [0, 0],
      [1, 1],
      [0, 1],
      [2, 2],
      [1, 2],
      [2, 2],
    ]) {
      await link.enter([holderOf(1, topic, entered)])
      const [report] = await link.list({ topic })
      same(report?.holders.length, 1, 'how many there are')
      same(report?.holders[0]?.state, listed, `the state after ${entered}`)
    }
  })

  add('a lease ends no earlier than its ttl, and what has ended cannot be renewed (E10)', async (world) => {
    const [{ link }, { link: other }] = [await world.link(), await world.link()]
    // A busy machine may take longer than a lease lasts. Then the case tries again with a longer lease.
    const begin = async (ttl: number) => {
      const topic = world.topic()
      const sent = now()
      const taken = await link.acquire(topic, 'a', ttl)
      if (!taken.held) throw new NotKept('a lease without an owner should be granted')
      const again = await link.acquire(topic, 'a', ttl)
      const refused = await other.acquire(topic, 'b', ttl)
      const isInTime = () => now() - sent < ttl
      if (!isInTime()) return undefined
      same(again.held && again.fence, taken.fence, 'the fence of the same owner')
      expect(!refused.held && refused.left <= ttl, 'another owner should be refused')
      await pause(ttl / 2)
      const began = now()
      const isRenewed = await link.renew(topic, taken.fence, ttl)
      if (!isInTime()) return undefined
      same(isRenewed, true, 'a renewal in time')
      same(await link.renew(topic, taken.fence + 1, ttl), false, 'a renewal with another fence')
      return { topic, taken, began, ttl }
    }
    let first = await begin(400)
    for (let ttl = 800; !first; ttl *= 2) first = await begin(ttl)
    const { topic, taken, began, ttl } = first
    let next = await other.acquire(topic, 'b', 60_000)
    while (!next.held) {
      await pause(5)
      next = await other.acquire(topic, 'b', 60_000)
    }
    expect(now() - began >= ttl, 'a lease should last for its ttl after the renewal')
    expect(next.fence > taken.fence, 'the fence should go up')
    same(await link.renew(topic, taken.fence, ttl), false, 'a renewal of what has ended')
    const [state] = await link.read([topic])
    same(state?.lease?.fence, next.fence, 'the fence that is read')
    same(state?.lease?.lost, taken.fence, 'the fence of the term that was lost')
    await other.release(topic, next.fence)
    await other.release(topic, next.fence)
    same((await link.read([topic]))[0]?.lease?.left, 0, 'what is left of a released one')
  })

  add(
    'an owner that falls silent cancels every holder of its lease, and none of the next term (H10)',
    async (world) => {
      const [{ link }, hub] = [await world.link(), await world.hub()]
      const topic = world.topic()
      const began = now()
      await link.acquire(topic, 'an owner that dies', 800)
      const follower = hub.open(topic.name)
      await follower.ready
      await world.ended(follower, 'the lease is missed')
      same(follower.kind, 'lease', 'the kind')
      expect(now() - began >= 800, 'no link is told before the ttl has passed')
      same(await world.isOver(hub, topic.name), true, 'what is opened after the loss')
      const lease = await hub.lease(topic.name, { ttl: 10_000, timeout: 20_000 })
      same(await world.isOver(hub, topic.name), false, 'what is opened in the next term')
      lease.close()
    },
  )

  add('a link that is closed rejects what is pending and what comes, and is not called lost (E12)', async (world) => {
    const { link, lost } = await world.link()
    const pending = link.list({ prefix: world.name() })
    link.close()
    for (const promise of [pending, link.beat(), link.read([world.topic()])]) {
      const outcome = await promise.then(
        () => 'an answer',
        (error: unknown) => (error instanceof Error ? 'an error' : 'no error'),
      )
      expect(outcome === 'an error' || promise === pending, 'a closed link should reject with an error', outcome)
    }
    link.close()
    same(lost.length, 0, 'how often it was called lost')
  })
}

// ---- Faults

function addCuts(add: Add): void {
  add('cancels during a cut are delivered and found (H3, H9, H11)', async (world) => {
    const options: HubOptions = { backOff: { first: 10, most: 100 }, timeout: 2_000 }
    const [here, there] = [await world.hub(options), await world.hub(options)]
    const told: string[] = []
    here.onEvent(({ type }) => told.push(type))
    const live = there.open(world.name())
    await live.ready
    for (let i = 0; i < 20; i++) {
      const name = world.name()
      const token = there.open(name)
      if (i % 2) await token.ready
      await world.under.cut?.()
      const mine = here.open(name).cancel(i)
      same(mine.cancelled, true, 'the token where it is cancelled')
      await world.ended(token, 'the others hear of it')
      same(token.reason, i, 'the reason')
      await mine.delivered
      same(await world.isOver(there, name), true, 'what is opened later')
    }
    same(live.cancelled, false, 'a token that was not cancelled')
    expect(told.includes('disconnected') && told.includes('connected'), 'events should tell', told.join())
  })
}

function addRestarts(add: Add): void {
  add('what was delivered survives a restart, and what was open goes on (H4, H9, E1)', async (world) => {
    const options: HubOptions = { backOff: { first: 10, most: 100 }, timeout: 2_000 }
    const [here, there] = [await world.hub(options), await world.hub(options)]
    const [name, later] = [world.name(), world.name()]
    const token = there.open(later)
    await token.ready
    const lease = await here.lease(world.name(), { ttl: 30_000 })
    await here.cancel(name, 'stop')
    await world.under.restart?.()
    same(await world.isOver(there, name), true, 'what was cancelled before')
    same(token.cancelled, false, 'a token that was not cancelled')
    await here.cancel(later, 'stop')
    await world.ended(token, 'it hears of a cancel after the restart')
    await rejects(there.lease(lease.name as string, { ttl: 30_000 }), 'ERR_LEASE_HELD')
    same(lease.cancelled, false, 'the lease')
  })
}
