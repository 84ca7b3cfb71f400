import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, type CancellationToken, SimpleToken, TimeoutToken } from 'calloff'
import fc from 'fast-check'
import { runs } from './runs.js'

const shape = fc.record({
  kind: fc.constantFrom('sum', 'deadline', 'all', 'grace'),
  ms: fc.nat(12),
  sources: fc.array(fc.nat(15), { minLength: 1, maxLength: 3 }),
})
const act = fc.record({ do: fc.constantFrom('listen', 'signal', 'look', 'run'), at: fc.nat(15) })

interface Alarm {
  readonly due: number
  readonly ring: () => void
}

/** A time that moves on whenever it is read: whatever can happen between two readings does. */
class Drift implements Disposable {
  readonly #platform = {
    now: performance.now,
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
  }
  readonly #alarms = new Set<Alarm>()
  #now = 0

  constructor() {
    performance.now = () => this.#now++
    globalThis.setTimeout = ((ring: () => void, ms: number) => {
      const alarm = { due: this.#now + ms, ring }
      this.#alarms.add(alarm)
      return alarm
    }) as unknown as typeof setTimeout
    globalThis.clearTimeout = ((alarm: Alarm) => void this.#alarms.delete(alarm)) as unknown as typeof clearTimeout
  }

  run(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const [next] = [...this.#alarms].filter(({ due }) => due <= until).toSorted((a, b) => a.due - b.due)
      if (next === undefined) break
      this.#alarms.delete(next)
      this.#now = Math.max(this.#now, next.due)
      next.ring()
    }
    this.#now = Math.max(this.#now, until)
  }

  [Symbol.dispose](): void {
    performance.now = this.#platform.now
    globalThis.setTimeout = this.#platform.setTimeout
    globalThis.clearTimeout = this.#platform.clearTimeout
  }
}

test('no listener and no signal is lost, whenever a deadline passes', () => {
  fc.assert(
    fc.property(
      fc.array(shape, { minLength: 1, maxLength: 7 }),
      fc.array(act, { minLength: 1, maxLength: 12 }),
      (shapes, acts) => {
        using time = new Drift()
        const tokens: CancellationToken[] = [new TimeoutToken(3)]
        const at = (i: number) => tokens[i % tokens.length] as CancellationToken
        for (const { kind, ms, sources } of shapes) {
          const above = sources.map(at)
          if (kind === 'sum') tokens.push(new SimpleToken(undefined, ...above))
          else if (kind === 'deadline') tokens.push(new TimeoutToken(ms, ...above))
          else if (kind === 'all') tokens.push(allOf(...above))
          else tokens.push(at(sources[0] as number).grace(ms))
        }
        const calls: { readonly on: CancellationToken; made: number }[] = []
        const signals: AbortSignal[] = []
        for (const one of acts) {
          const token = at(one.at)
          if (one.do === 'look') void token.error
          else if (one.do === 'run') time.run(one.at)
          else if (one.do === 'signal') signals.push(token.signal)
          else {
            const call = { on: token, made: 0 }
            calls.push(call)
            token.onCancel(() => void call.made++)
          }
        }
        // By then every one of them has ended, and nobody looks.
        time.run(1_000)
        for (const { made } of calls) assert.equal(made, 1, 'every listener was called, once')
        for (const signal of signals) assert.equal(signal.aborted, true, 'every signal was aborted')
      },
    ),
    runs(2_000),
  )
})
