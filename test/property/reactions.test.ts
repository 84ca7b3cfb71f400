import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, type CancellationError, type CancellationToken, type Registration, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { subscribers } from './inside.js'
import { runs } from './runs.js'

// Listeners that cancel, subscribe, unsubscribe, look and throw, in the midst of a cancellation. What exactly happens depends
// on orders that nobody promises, so there is no model here: only what holds in every order.

interface Reaction {
  readonly do: 'cancel' | 'stop' | 'listen' | 'poll' | 'look' | 'signal' | 'derive' | 'dispose' | 'throw'
  readonly at: number
}

const reaction: fc.Arbitrary<Reaction> = fc.record({
  do: fc.constantFrom(
    'cancel',
    'cancel',
    'stop',
    'stop',
    'listen',
    'poll',
    'look',
    'signal',
    'derive',
    'dispose',
    'throw',
  ),
  at: fc.nat(31),
})
const shape = fc.record({ all: fc.nat(5).map((n) => n === 5), sources: fc.array(fc.nat(31), { maxLength: 3 }) })
const listeners = fc.array(fc.record({ on: fc.nat(31), reactions: fc.array(reaction, { maxLength: 3 }) }), {
  minLength: 1,
  maxLength: 12,
})

interface Node {
  readonly token: CancellationToken
  readonly sources: readonly Node[]
  readonly opaque: boolean
}

interface Listener {
  readonly on: Node
  readonly number: number
  registration: Registration | undefined
  /** On a token that was over: called at once, in no wave. */
  late: boolean
  calls: number
  stopped: boolean
}

/** Above it on a way that this cancellation may have taken. */
const isAbove = (above: Node, below: Node): boolean =>
  below.sources.some(
    (source) => source.token.error === above.token.error && (source === above || isAbove(above, source)),
  )
/** Ends with the other, at the latest. */
const endsWith = (above: Node, below: Node): boolean =>
  !below.opaque && below.sources.some((source) => source === above || endsWith(above, source))

async function play(
  shapes: readonly { all: boolean; sources: readonly number[] }[],
  given: typeof listeners extends fc.Arbitrary<infer T> ? T : never,
  starts: readonly number[],
): Promise<void> {
  const nodes: Node[] = []
  const all: Listener[] = []
  const log: { listener: Listener; error: CancellationError }[] = []
  const surfaced: unknown[] = []
  let thrown = 0
  let budget = 200

  const add = (sources: readonly Node[], opaque: boolean): void => {
    const tokens = sources.map((one) => one.token)
    nodes.push({ token: opaque ? allOf(...tokens) : new SimpleToken(undefined, ...tokens), sources, opaque })
  }
  const at = <T>(list: readonly T[], i: number) => list[i % list.length] as T

  const listen = (on: Node, reactions: readonly Reaction[]): void => {
    const listener: Listener = {
      on,
      number: all.length,
      registration: undefined,
      late: on.token.error !== undefined,
      calls: 0,
      stopped: false,
    }
    all.push(listener)
    listener.registration = on.token.onCancel((error) => {
      listener.calls++
      log.push({ listener, error })
      assert.equal(listener.stopped, false, 'a stopped listener is not called')
      assert.equal(error, on.token.error)
      for (const below of nodes) {
        if (endsWith(on, below)) assert.ok(below.token.error !== undefined, 'every token below already reads cancelled')
      }
      reactions.forEach(react)
    })
  }

  const react = (one: Reaction): void => {
    if (budget-- < 0) return
    const node = at(nodes, one.at)
    switch (one.do) {
      case 'cancel':
        node.token.cancel()
        assert.equal(node.token.cancelled, true)
        return
      case 'dispose':
        return node.token[Symbol.dispose]()
      case 'stop': {
        const listener = at(all, one.at)
        const prevented = listener.registration?.stop()
        if (prevented === undefined) return // it is being called at once, its registration is not yet given
        assert.equal(prevented, listener.calls === 0 && !listener.stopped, 'stop() says whether it prevented the call')
        listener.stopped ||= prevented
        return
      }
      case 'listen':
        return listen(node, [])
      case 'poll':
        return void node.token.isCancelled({ direct: one.at % 2 === 0 })
      case 'look':
        return void node.token.cancelledBy
      case 'signal':
        return assert.equal(node.token.signal.aborted, node.token.error !== undefined)
      case 'derive':
        if (nodes.length < 20) add([node], false)
        return
      default:
        thrown++
        throw new Error('a listener failed')
    }
  }

  for (const { all: opaque, sources } of shapes) {
    add(nodes.length === 0 ? [] : sources.map((source) => at(nodes, source)), opaque && nodes.length > 0)
  }
  // Where there is one, errors surface by it.
  const host = globalThis as { reportError?: ((error: unknown) => void) | undefined }
  const { reportError } = host
  host.reportError = (error) => surfaced.push(error)
  try {
    for (const { on, reactions } of given) listen(at(nodes, on), reactions)
    for (const start of starts) at(nodes, start).token.cancel()
    assert.deepEqual(surfaced, [], 'in jobs of their own')
    await Promise.resolve()
  } finally {
    host.reportError = reportError
  }

  for (const error of surfaced) assert.equal((error as Error).message, 'a listener failed')
  assert.equal(surfaced.length, thrown, 'what a listener throws surfaces, and stops nobody')

  for (const { token, opaque, sources } of nodes) {
    if (!opaque && sources.some((source) => source.token.cancelled))
      assert.equal(token.cancelled, true, 'it ends with its sources')
    if (token.error !== undefined) assert.equal(subscribers(token), 0, 'a token that is over holds nobody')
  }
  for (const listener of all) {
    const over = listener.on.token.error !== undefined
    assert.equal(listener.calls, over && !listener.stopped ? 1 : 0, 'called once if it is over, else never')
  }
  log.forEach((first, i) => {
    for (const second of log.slice(i + 1)) {
      const [a, b] = [first.listener, second.listener]
      if (a.late || b.late || first.error !== second.error) continue
      if (a.on === b.on) assert.ok(a.number < b.number, 'first come, first called')
      else assert.ok(!isAbove(b.on, a.on), 'parents before children')
    }
  })

  // The last to go unsubscribes.
  for (const { registration } of all) registration?.stop()
  const signals = nodes.some(({ token }) => (token as { extras?: { signal?: unknown } }).extras?.signal !== undefined)
  if (!signals) for (const { token } of nodes) assert.equal(subscribers(token), 0, 'nothing is left behind')
}

test('listeners may cancel, listen, stop, read and throw: each is called once, parents first, and all end in one state', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(shape, { minLength: 1, maxLength: 10 }),
      listeners,
      fc.array(fc.nat(31), { minLength: 1, maxLength: 4 }),
      play,
    ),
    runs(3_000),
  )
})
