/** A hub with its connection in this thread and one with it in a thread of its own give the same results, errors and messages. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { CANCELLED, type CancellationError, type CancellationToken, SimpleToken } from 'calloff'
import {
  connectHub,
  type Holder,
  type HubEvent,
  type HubOptions,
  type Receipt,
  type RemoteToken,
  type TokenHub,
  TokenServer,
} from 'calloff/remote'

/** What a case works with. */
interface World {
  readonly hub: TokenHub
  /** A second client, with its connection in this thread. */
  readonly other: TokenHub
  readonly server: TokenServer
  /** Another hub of the kind that is tried. */
  connect(options?: HubOptions, url?: string): Promise<TokenHub>
}

interface Case {
  readonly name: string
  /** Returns what a caller sees, as plain data. */
  readonly observe: (world: World) => Promise<unknown>
}

// ---- What a caller sees, as plain data

function errorSeen(error: unknown): object {
  const { name, code, message, cause } = error as Error & { readonly code?: string }
  return { name, code, message: textSeen(message), cause: cause instanceof Error ? errorSeen(cause) : cause }
}

/** Without what differs from run to run: process numbers, ports and hosts. */
function textSeen(text: string): string {
  return text
    .replaceAll(String(process.pid), 'PID')
    .replaceAll(/ on [^\s:]+/g, ' on HOST')
    .replaceAll(/127\.0\.0\.1:\d+|\[?::1\]?:\d+/g, 'ADDRESS')
    .replaceAll(/\d+ ms left/g, 'N ms left')
}

/** The same object on both: an error, or the reason of a cancel. */
function assertSame(found: unknown, wanted: unknown): void {
  assert.ok(wanted !== undefined)
  assert.ok(found === wanted, 'they are the same object')
}

/** What a call gives: a value, what it throws at once, or what its promise rejects with. */
async function outcomeOf(call: () => unknown): Promise<unknown> {
  let given: unknown
  try {
    given = call()
  } catch (error) {
    return { throws: errorSeen(error) }
  }
  try {
    const value = await given
    return typeof value === 'object' && value !== null ? 'an object' : value
  } catch (error) {
    return { rejects: errorSeen(error) }
  }
}

function tokenSeen(token: RemoteToken): object {
  const { error, who } = token
  return {
    text: textSeen(String(token)),
    runId: token.runId,
    cancelled: token.cancelled,
    error: error && { ...errorSeen(error), kind: error.kind },
    who: who && { pid: who.pid === process.pid, token: who.token },
    by: token.cancelledBy && textSeen(String(token.cancelledBy)),
    path: token.path.length,
  }
}

function holderSeen({ pid, role, state, since, silent }: Holder): object {
  return { pid: pid === process.pid, role, state, since: since instanceof Date, silent }
}

function markSeen({ delivered, mark: { kind, reason, who, at } }: Receipt): object {
  return { delivered, kind, reason, pid: who.pid === process.pid, token: who.token, at: at instanceof Date }
}

function receiptSeen(receipt: Receipt): object {
  return { ...receipt, waiting: receipt.waiting.map(holderSeen), mark: markSeen(receipt) }
}

function eventSeen(event: HubEvent): object {
  const { error, retryIn } = event as { readonly error?: Error; readonly retryIn?: number }
  return {
    ...event,
    ...(error && { error: errorSeen(error) }),
    ...(retryIn !== undefined && { retryIn: typeof retryIn }),
  }
}

/** Resolves when the hub tells an event of that type. */
function told(hub: TokenHub, type: HubEvent['type']): Promise<void> {
  return new Promise((resolve) => {
    const listening = hub.onEvent((event) => {
      if (event.type !== type) return
      listening.stop()
      resolve()
    })
  })
}

const ended = (token: CancellationToken): Promise<CancellationError> => token.wait()

/** Waits until the holders of "name" have these states. */
async function states(hub: TokenHub, ...wanted: readonly Holder['state'][]): Promise<readonly Holder['state'][]> {
  for (;;) {
    const [listing] = await hub.list('name')
    const found = (listing?.holders ?? []).map(({ state }) => state).toSorted()
    if (String(found) === String(wanted)) return found
  }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

// ---- The cases

const reason = { code: 7, when: new Date(0) }

const cases: readonly Case[] = [
  {
    name: 'open, ready and state',
    async observe({ hub }) {
      const token = hub.open('name', { runId: 'run' })
      return [hub.state, tokenSeen(token), await outcomeOf(() => token.ready), String(hub.open('name'))]
    },
  },
  {
    name: 'a token under a cancelled parent is cancelled by the parent, and the remote token lives',
    async observe({ hub }) {
      const token = hub.open('name')
      const derived = token.plus(CANCELLED)
      return [derived.cancelled, derived.cancelledBy === CANCELLED, tokenSeen(token)]
    },
  },
  {
    name: 'cancel by name, then open at once: the same error and the same reason',
    async observe({ hub }) {
      const before = hub.open('name')
      await before.ready
      const cancelling = hub.cancel('name', reason)
      const opened = hub.open('name')
      assertSame(opened.error, before.error)
      assertSame(opened.reason, reason)
      const seen = [opened.error?.message, tokenSeen(opened), tokenSeen(before)]
      return [...seen, markSeen(await cancelling)]
    },
  },
  {
    name: 'cancel by name with nothing open, then open twice at once: one error and the same reason',
    async observe({ hub }) {
      const cancelling = hub.cancel('name', reason)
      const [first, second] = [hub.open('name'), hub.open('name')]
      assertSame(first.error, second.error)
      assertSame(first.reason, reason)
      const seen = [first, second].map(tokenSeen)
      return [...seen, markSeen(await cancelling), hub.open('name', { runId: 'another' }).cancelled]
    },
  },
  {
    name: 'cancel of a token, then open at once: the same error and the same reason',
    async observe({ hub }) {
      const token = hub.open('name').cancel(reason)
      const opened = hub.open('name')
      assertSame(opened.error, token.error)
      assertSame(opened.reason, reason)
      const seen = [opened, token].map(tokenSeen)
      return [...seen, await outcomeOf(() => token.delivered), await outcomeOf(() => opened.delivered)]
    },
  },
  {
    name: 'the end of an exposed token, then open at once: the same error',
    async observe({ hub }) {
      const source = new SimpleToken({ name: 'local' })
      const exposed = hub.expose('name', source)
      source.cancel(reason)
      const opened = hub.open('name')
      assertSame(opened.error, source.error)
      assertSame(opened.reason, reason)
      return [tokenSeen(opened), await outcomeOf(() => exposed.delivered)]
    },
  },
  {
    name: 'a second cancel at once: the first one counts here',
    async observe({ hub }) {
      const token = hub.open('name')
      await token.ready
      const first = hub.cancel('name', 'first')
      const second = hub.cancel('name', 'second')
      const opened = hub.open('name')
      assertSame(opened.error, token.error)
      const seen = [token.reason]
      return [...seen, markSeen(await first), markSeen(await second)]
    },
  },
  {
    name: 'a cancel by another client ends all tokens of the name with one error',
    async observe({ hub, other }) {
      const tokens = [hub.open('name'), hub.open('name')]
      await Promise.all(tokens.map(({ ready }) => ready))
      await other.cancel('name', reason)
      await Promise.all(tokens.map(ended))
      const [first, second] = tokens as [RemoteToken, RemoteToken]
      assertSame(first.error, second.error)
      const seen = [first.reason, tokenSeen(first), tokenSeen(second)]
      return [...seen, await outcomeOf(() => first.delivered)]
    },
  },
  {
    name: 'what was cancelled before is cancelled when it is ready',
    async observe({ hub, other }) {
      await other.cancel('name', new RangeError('too much'))
      const token = hub.open('name')
      await token.ready
      return [tokenSeen(token), await outcomeOf(() => token.delivered)]
    },
  },
  {
    name: 'a token that is closed ends alone',
    async observe({ hub, other }) {
      const neighbour = other.open('name')
      const kept = hub.open('name')
      const closed = hub.open('name')
      const { ready, delivered } = closed
      closed.close()
      closed.close()
      return [
        tokenSeen(closed),
        await outcomeOf(() => ready),
        await outcomeOf(() => delivered),
        await outcomeOf(() => closed.ready),
        await outcomeOf(() => closed.delivered),
        await outcomeOf(() => kept.ready),
        kept.cancelled,
        neighbour.cancelled,
      ]
    },
  },
  {
    name: 'a token that was cancelled and is closed before that is stored',
    async observe({ hub }) {
      const token = hub.open('name').cancel('stop')
      const { delivered } = token
      token.close()
      return [tokenSeen(token), await outcomeOf(() => delivered), await outcomeOf(() => token.ready)]
    },
  },
  {
    name: 'expose: seen by others, and cancelled by them where it may be',
    async observe({ hub, other }) {
      const [mine, theirs] = [new SimpleToken({ name: 'mine' }), new SimpleToken({ name: 'theirs' })]
      const exposed = [hub.expose('a', mine, { runId: 'r' }), hub.expose('b', theirs, { cancellable: true })]
      await Promise.all(exposed.map(({ ready }) => ready))
      await other.cancel('a', 'please', { runId: 'r' })
      await other.cancel('b', reason)
      await ended(theirs)
      const seen = [
        mine.cancelled,
        theirs.error?.message,
        theirs.reason,
        exposed.map(({ name, runId }) => [name, runId]),
      ]
      mine.cancel('over')
      return [...seen, await outcomeOf(() => exposed[0]?.delivered), await outcomeOf(() => exposed[1]?.delivered)]
    },
  },
  {
    name: 'expose: a token that has ended, one that is closed, and an AbortSignal',
    async observe({ hub, other }) {
      const over = hub.expose('over', new SimpleToken().cancel('before'))
      const closed = hub.expose('closed', new SimpleToken())
      closed.close()
      const signalled = hub.expose('signal', AbortSignal.abort('bye'))
      const seen = await Promise.all(
        [over, closed, signalled].flatMap((one) => [outcomeOf(() => one.ready), outcomeOf(() => one.delivered)]),
      )
      const followers = ['over', 'signal'].map((name) => other.open(name))
      await Promise.all(followers.map(ended))
      return [...seen, followers.map(tokenSeen)]
    },
  },
  {
    name: 'list: names, states, holders and leases',
    async observe({ hub, other }) {
      const open = hub.open('a')
      const exposed = hub.expose('b', new SimpleToken(), { runId: 'r' })
      using lease = await hub.lease('c', { ttl: 60_000 })
      const theirs = other.open('a')
      await Promise.all([open.ready, exposed.ready, lease.ready, theirs.ready])
      await other.cancel('d', 'gone')
      const seen = async (prefix?: string) =>
        (await hub.list(prefix)).map(({ name, runId, state, mark, holders, lease: listed }) => ({
          name,
          runId,
          state,
          lease: listed && { held: listed.held, isOurs: listed.fence === lease.fence },
          mark: mark && [mark.kind, mark.reason, mark.who.token],
          holders: holders.map(holderSeen),
        }))
      return [await seen(), await seen('b'), await seen('none')]
    },
  },
  {
    name: 'forget: what is opened later lives',
    async observe({ hub }) {
      const before = hub.open('name')
      await hub.cancel('name', 'once')
      const forgotten = await outcomeOf(() => hub.forget('name'))
      const later = hub.open('name')
      await later.ready
      return [
        forgotten,
        before.cancelled,
        later.cancelled,
        await outcomeOf(() => hub.forget('nothing', { runId: 'r' })),
      ]
    },
  },
  {
    name: 'receipts: of nothing, of open tokens, of finished tokens, of another mark',
    async observe({ hub, other }) {
      const none = receiptSeen(await hub.cancel('none', { some: 'reason' }, { runId: 'r' }))
      const mine = hub.open('name')
      const theirs = other.open('name')
      await Promise.all([mine.ready, theirs.ready])
      await theirs.finished(Promise.resolve())
      mine.onCancel(() => mine.close())
      const some = receiptSeen(await hub.cancel('name', 'stop', { timeout: 60_000 }))
      const another = hub.open('seen')
      await another.ready
      const seen = receiptSeen(await hub.cancel('seen', 'stop', { timeout: 60_000, until: 'acknowledged' }))
      return [none, some, seen, receiptSeen(await hub.cancel('none', 'later', { runId: 'r' }))]
    },
  },
  {
    name: 'a lease: taken, refused, released, taken again',
    async observe({ hub, other }) {
      const token = await hub.lease('name', { ttl: 60_000, runId: 'r' })
      const seen = [
        textSeen(String(token)),
        await outcomeOf(() => token.ready),
        await outcomeOf(() => hub.lease('name', { ttl: 60_000, runId: 'r' })),
        await outcomeOf(() => other.lease('name', { ttl: 60_000, runId: 'r' })),
      ]
      token.close()
      const again = await other.lease('name', { ttl: 60_000, runId: 'r', timeout: 60_000 })
      return [...seen, again.fence - token.fence, tokenSeen(token)]
    },
  },
  {
    name: 'a lease that is lost: its owner first, then those who follow it',
    async observe({ connect, other, server }) {
      const hub = await connect({ lazy: true })
      const follower = hub.open('name')
      const token = await other.lease('name', { ttl: 150 })
      const mine = await hub.lease('mine', { ttl: 150 })
      await follower.ready
      await server.close()
      const [error, lost] = await Promise.all([ended(token), ended(mine)])
      const late = hub.open('mine')
      return [errorSeen(error), errorSeen(lost), tokenSeen(mine), late.cancelled]
    },
  },
  {
    name: 'a lease that its owner has left: followers end, and so does what is opened later',
    async observe({ hub, server }) {
      const owner = await connectHub(server.url)
      const follower = hub.open('name')
      await follower.ready
      const token = await owner.lease('name', { ttl: 60_000 })
      token.cancel('over')
      await ended(follower)
      await owner.close()
      return tokenSeen(follower)
    },
  },
  {
    name: 'a connection that is lost for too long',
    async observe({ connect, server }) {
      const hub = await connect({ onDisconnect: 'cancel', disconnectAfter: 50 })
      const events: object[] = []
      const heard = told(hub, 'gave-up')
      hub.onEvent((event) => event.type !== 'disconnected' && events.push(eventSeen(event)))
      const token = hub.open('name')
      const kept = hub.open('kept', { onDisconnect: 'keep' })
      const exposed = new SimpleToken()
      hub.expose('exposed', exposed)
      await token.ready
      await server.close()
      await Promise.all([ended(token), heard])
      const seen = [tokenSeen(token), await outcomeOf(() => token.delivered), kept.cancelled, exposed.cancelled]
      await hub.close({ timeout: 0 })
      return [...seen, events]
    },
  },
  {
    name: 'events: in order, to each listener as often as it asked, until it stops',
    async observe({ connect, server }) {
      const hub = await connect({ backOff: { first: 60_000, most: 60_000 } })
      const heard: unknown[] = []
      const twice = (event: HubEvent) => heard.push(event.type)
      hub.onEvent(twice)
      hub.onEvent(twice)
      const stopped = hub.onEvent(() => heard.push('never'))
      const stops = [stopped.stop(), stopped.stop()]
      const seen: object[] = []
      hub.onEvent((event) => seen.push(eventSeen(event)))
      const lost = told(hub, 'disconnected')
      await server.close()
      await lost
      const state = hub.state
      await hub.close({ timeout: 0 })
      return [stops, heard, seen[0], seen.at(-1), state, hub.state]
    },
  },
  {
    name: 'close: tokens end, promises settle, exposed tokens live',
    async observe({ connect, other }) {
      const hub = await connect()
      const token = hub.open('name')
      const watched = hub.open('name')
      watched.onCancel(() => {})
      const source = new SimpleToken()
      const exposed = hub.expose('exposed', source)
      const lease = await hub.lease('lease', { ttl: 60_000 })
      const neighbour = other.open('name')
      const promises = [token.delivered, exposed.delivered, lease.delivered]
      const events: string[] = []
      hub.onEvent(({ type }) => events.push(`${type} ${hub.state}`))
      await hub.close()
      return [
        ...(await Promise.all(promises.map((promise) => outcomeOf(() => promise)))),
        [token, watched, lease].map(tokenSeen),
        source.cancelled,
        neighbour.cancelled,
        events,
        (await other.lease('lease', { ttl: 100 })).fence - lease.fence,
      ]
    },
  },
  {
    name: 'close, then each method',
    async observe({ connect }) {
      const hub = await connect()
      const token = hub.open('name')
      await hub.close()
      const later: Record<string, () => unknown> = {
        open: () => hub.open('name'),
        cancel: () => hub.cancel('name', 'late'),
        expose: () => hub.expose('name', new SimpleToken()),
        list: () => hub.list(),
        forget: () => hub.forget('name'),
        lease: () => hub.lease('name', { ttl: 100 }),
        onEvent: () => hub.onEvent(() => {}).stop(),
        close: () => hub.close(),
        dispose: () => hub[Symbol.asyncDispose](),
        state: () => hub.state,
        'open with a wrong name': () => hub.open(''),
        'cancel with a wrong name': () => hub.cancel(''),
        'list of no text': () => hub.list(5 as never),
        'close with a wrong limit': () => hub.close({ timeout: -1 }),
        'cancel of a token': () => token.cancel('late').cancelled,
        'ready of a token': () => token.ready,
        'delivered of a token': () => token.delivered,
      }
      const seen: Record<string, unknown> = {}
      for (const [method, call] of Object.entries(later)) seen[method] = await outcomeOf(call)
      return [seen, tokenSeen(token)]
    },
  },
  {
    name: 'wrong arguments of each method',
    async observe({ hub }) {
      const token = new SimpleToken()
      const calls: Record<string, readonly (() => unknown)[]> = {
        names: ['', 5, undefined, 'a\0b', '\uD800', 'x'.repeat(257)].flatMap((name) => [
          () => hub.open(name as string),
          () => hub.cancel(name as string),
          () => hub.expose(name as string, token),
          () => hub.forget(name as string),
          () => hub.lease(name as string, { ttl: 100 }),
        ]),
        options: [5, { runIds: '' }, { runId: 5 }, { runId: 'a\0' }].flatMap((options) => [
          () => hub.open('name', options as never),
          () => hub.cancel('name', undefined, options as never),
          () => hub.expose('name', token, options as never),
          () => hub.forget('name', options as never),
          () => hub.lease('name', options as never),
        ]),
        open: [() => hub.open('name', { onDisconnect: 'cancle' as never })],
        cancel: [{ timeout: -1 }, { timeout: NaN }, { timeout: Infinity }, { until: 'seen' }, { ttl: 0 }].map(
          (options) => () => hub.cancel('name', undefined, options as never),
        ),
        expose: [undefined, 5, {}].map((given) => () => hub.expose('name', given as never)),
        'expose options': [
          () => hub.expose('name', token, { cancellable: 1 as never }),
          () => hub.expose('name', token.view, { cancellable: true }),
        ],
        lease: [undefined, {}, { ttl: 99 }, { ttl: 100, timeout: -1 }, { ttl: '1s' }].map(
          (options) => () => hub.lease('name', options as never),
        ),
        list: [() => hub.list(5 as never), () => hub.list('\0'), () => hub.list(null as never)],
        onEvent: [() => hub.onEvent(undefined as never), () => hub.onEvent({} as never)],
        close: [5, { timeout: -1 }, { with: 5 }].map((options) => () => hub.close(options as never)),
      }
      const seen: Record<string, unknown> = {}
      for (const [what, all] of Object.entries(calls)) seen[what] = await Promise.all(all.map(outcomeOf))
      return [seen, hub.state, await outcomeOf(() => hub.list())]
    },
  },
  {
    name: 'what was not delivered when the hub is closed',
    async observe({ connect }) {
      const refused = await TokenServer.listen({ port: 0 })
      const { url } = refused
      await refused.close()
      const hub = await connect({ lazy: true }, url)
      const token = hub.open('a')
      const cancels = [hub.cancel('a', 'first'), hub.cancel('a', 'second'), hub.cancel('b')]
      const exposed = hub.expose('c', new SimpleToken().cancel())
      const pending = [...cancels, token.delivered, exposed.delivered, token.ready, hub.list(), hub.forget('a')]
      const settled = Promise.all(pending.map((promise) => outcomeOf(() => promise)))
      const closing = await outcomeOf(() => hub.close({ timeout: 0 }))
      return [closing, await settled, tokenSeen(token), hub.state]
    },
  },
  {
    name: 'a promise given to acknowledged holds the acknowledgement of that holder back',
    async observe({ hub, other }) {
      const passing = hub.open('name')
      const plain = hub.open('name')
      const hears: (() => void)[] = []
      const far = [0, 1].map(() => passing.acknowledged(new Promise<void>((resolve) => hears.push(resolve))))
      await Promise.all([passing.ready, plain.ready])
      await other.cancel('name', 'stop')
      const seen: unknown[] = [await states(other, 'acknowledged', 'open')]
      hears[0]?.()
      await far[0]
      // What the hub was told before is told by the time it answers.
      await hub.list()
      seen.push(await states(other, 'acknowledged', 'open'))
      hears[1]?.()
      const receipt = await other.cancel('name', undefined, { timeout: 60_000, until: 'acknowledged' })
      return [seen, receiptSeen(receipt), tokenSeen(passing)]
    },
  },
  {
    name: 'a rejection counts as heard; a promise that comes after the acknowledgement takes nothing back',
    async observe({ hub, other }) {
      const token = hub.open('name')
      const failed = token.acknowledged(Promise.reject(new Error('the far side has gone')))
      const rejected = await outcomeOf(() => failed)
      await token.ready
      await other.cancel('name')
      const seen = [await states(other, 'acknowledged')]
      void token.acknowledged(new Promise(() => {}))
      await hub.list()
      return [rejected, seen, await states(other, 'acknowledged')]
    },
  },
  {
    name: 'a holder that has finished or is closed counts as acknowledged, whatever it passes on',
    async observe({ hub, other }) {
      let hear!: () => void
      const far = new Promise<void>((resolve) => (hear = resolve))
      const tokens = [hub.open('finished'), hub.open('closed')] as const
      for (const token of tokens) void token.acknowledged(far)
      void tokens[0].finished(Promise.resolve())
      await Promise.all(tokens.map((token) => token.ready))
      for (const { topic } of [{ topic: 'finished' }, { topic: 'closed' }]) await other.cancel(topic)
      const finished = await other.cancel('finished', undefined, { timeout: 60_000 })
      tokens[1].close()
      // The holder may have left before it is counted.
      const closed = await other.cancel('closed', undefined, { timeout: 60_000 })
      // Too late to change anything.
      hear()
      await far
      const listed = (await other.list()).map(({ name, holders }) => [name, holders.map(({ state }) => state)])
      return [receiptSeen(finished), closed.acknowledged === closed.holders, closed.waiting, listed]
    },
  },
  {
    name: 'acknowledged takes a promise, and returns it',
    async observe({ hub }) {
      const token = hub.open('name')
      const heard = Promise.resolve(7)
      assertSame(token.acknowledged(heard), heard)
      return [
        await outcomeOf(() => token.acknowledged(undefined as never)),
        await outcomeOf(() => token.acknowledged({} as never)),
      ]
    },
  },
  {
    name: 'a dropped token is garbage, though it waits for an acknowledgement that never comes, or that has come',
    async observe({ hub, other }) {
      const heard = Promise.resolve()
      const dropped: WeakRef<RemoteToken>[] = []
      const open = async () => {
        const tokens = [hub.open('never'), hub.open('heard'), hub.open('cancelled')] as const
        void tokens[0].acknowledged(new Promise(() => {}))
        void tokens[1].acknowledged(heard)
        void tokens[2].acknowledged(new Promise(() => {}))
        await Promise.all(tokens.map((token) => token.ready))
        await other.cancel('cancelled')
        for (const token of tokens) dropped.push(new WeakRef(token))
      }
      await open()
      for (let listed = 1; listed > 0;) {
        await hub.list()
        collectGarbage()
        if (dropped.some((one) => one.deref() !== undefined)) continue
        listed = (await other.list()).filter(({ holders }) => holders.length > 0).length
      }
      // Keeps the promise until here.
      return [await heard, dropped.length]
    },
  },
  {
    name: 'a cancel without a connection: a receipt that says so, and the mark is delivered later',
    async observe({ connect }) {
      const refused = await TokenServer.listen({ port: 0 })
      const { url } = refused
      await refused.close()
      const hub = await connect({ lazy: true, backOff: { first: 1, most: 5 } }, url)
      const token = hub.open('name')
      const receipt = receiptSeen(await hub.cancel('name', 'stop', { timeout: 1 }))
      const opened = hub.open('name')
      assertSame(opened.error, token.error)
      await using back = await TokenServer.listen({ port: Number(new URL(url).port) })
      assert.equal(back.url, url)
      const delivered = await outcomeOf(() => token.delivered)
      await hub.close()
      return [receipt, delivered, await outcomeOf(() => opened.delivered)]
    },
  },
  {
    name: 'connecting to where there is no server',
    async observe({ connect }) {
      const gone = await TokenServer.listen({ port: 0 })
      const { url } = gone
      await gone.close()
      return [
        await outcomeOf(() => connect({}, url)),
        await outcomeOf(() => connect({ key: 5 as never })),
        await outcomeOf(() => connect({ ttl: -1 })),
        await outcomeOf(() => connect({ keys: '' } as never)),
        await outcomeOf(() => connect({ key: 'another key' })),
        await outcomeOf(() => connect({}, 'gopher://here')),
      ]
    },
  },
]

/** What a case shows on one kind of hub, with a server of its own. */
async function observed({ observe }: Case, background: boolean): Promise<unknown> {
  await using server = await TokenServer.listen({ port: 0 })
  await using other = await connectHub(server.url, { lazy: true, onDisconnect: 'keep' })
  const opened: TokenHub[] = []
  const connect = async (options?: HubOptions, url = server.url) => {
    const hub = await connectHub(url, { ...options, background })
    opened.push(hub)
    return hub
  }
  try {
    return await observe({ hub: await connect(), other, server, connect })
  } finally {
    await Promise.allSettled(opened.map((hub) => hub.close({ timeout: 0 })))
  }
}

describe('both kinds of hub', { concurrency: 2 }, () => {
  for (const one of cases) {
    it(one.name, async () => {
      const [inThisThread, inBackground] = [await observed(one, false), await observed(one, true)]
      assert.deepEqual(inBackground, inThisThread)
    })
  }
})
