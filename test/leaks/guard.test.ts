/** The measures against bugs of single versions are on where they are needed, and nowhere else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimpleToken } from 'calloff'
import { collect, forgets, isNode, node, strays, survivors, turn } from './collect.js'

const [major, minor] = node
const nothing = (): void => {}

/** What hangs on a signal under a symbol of this description. */
function under(signal: AbortSignal, description: string): unknown {
  const symbol = Object.getOwnPropertySymbols(signal).find((one) => one.description === description)
  return symbol === undefined ? undefined : (signal as unknown as Record<symbol, unknown>)[symbol]
}

test('the set of dependants is ours on Node 20, 22 and 24 before 24.16, and nowhere else', () => {
  const needed = isNode && (major < 24 || (major === 24 && minor < 16))
  const root = new SimpleToken()
  const signal = new SimpleToken(root).signal
  const set = under(root.signal, 'kDependantSignals')
  const isOurs =
    set instanceof Set && Object.getPrototypeOf(set) !== Set.prototype && set.constructor.name !== 'SafeSet'
  assert.equal(isOurs, needed)
  assert.equal(signal.aborted, false)
})

test('signals that are none of ours are left alone', () => {
  new SimpleToken(new SimpleToken()).signal.addEventListener('abort', nothing)
  const { signal } = new AbortController()
  const composite = AbortSignal.any([signal])
  for (const one of [signal, composite]) {
    for (const symbol of Object.getOwnPropertySymbols(one)) {
      assert.doesNotMatch(symbol.description ?? '', /calloff/)
      assert.ok(Object.getOwnPropertyDescriptor(one, symbol)?.get === undefined, String(symbol))
    }
  }
  const set = under(signal, 'kDependantSignals')
  assert.ok(set === undefined || set?.constructor.name === 'SafeSet', String(set?.constructor.name))
})

test('cancelled controllers are kept for a while on Node 24.16 and later and 26 before 26.9, and nowhere else', async () => {
  // A signal below has to have been made, so that the platform was looked at.
  new SimpleToken(new SimpleToken()).signal.addEventListener('abort', nothing)
  const kept = (): Promise<number> =>
    survivors(100, () => {
      const token = new SimpleToken()
      const { signal } = token
      token.cancel()
      return signal
    })
  const left = await kept()
  if (forgets) assert.equal(left, 100)
  else assert.ok(left <= 4 * strays, `${left} were kept`)
})

test('no more than 1,024 of them are kept', async () => {
  const references = await makeAndCancel(100)
  await makeAndCancel(1_024)
  await collect()
  const left = references.filter((one) => one.deref() !== undefined).length
  assert.ok(left <= 4 * strays, `${left} of the first hundred were kept`)
})

async function makeAndCancel(count: number): Promise<WeakRef<AbortSignal>[]> {
  const references = Array.from({ length: count }, () => {
    const token = new SimpleToken()
    const reference = new WeakRef(token.signal)
    token.cancel()
    return reference
  })
  await turn()
  return references
}

test('a hundred thousand signals on one parent take linear time', async () => {
  // For every composite that dies Node 22 visits all that live: without the guard each costs ten times what it does below.
  let [usual, many] = [0, Infinity]
  // It costs that much every time; what else the machine has to do, only now and then.
  for (let attempt = 0; attempt < 3 && many >= 5 * usual; attempt++) {
    const few: number[] = []
    for (let i = 0; i < 5; i++) few.push(await timeOfEach(5_000))
    usual = few.toSorted((a, b) => a - b)[2] as number
    many = await timeOfEach(100_000, 5 * usual)
  }
  assert.ok(many < 5 * usual, `${(many * 1e3).toFixed(1)} µs each, where of few it is ${(usual * 1e3).toFixed(1)} µs`)
})

/** Milliseconds for each of so many signals on one parent (or `most`, and a little more), half of them dropped and half listened to, finalizers included. */
async function timeOfEach(count: number, most = Infinity): Promise<number> {
  const parent = new SimpleToken()
  const start = performance.now()
  for (let tenth = 0; tenth < 10; tenth++) {
    some(parent, count / 10)
    await collect(1)
    if (performance.now() - start > most * count) break // it will not get better
  }
  return (performance.now() - start) / count
}

function some(parent: SimpleToken, count: number): void {
  for (let i = 0; i < count; i++) {
    const { signal } = new SimpleToken(parent)
    if (i % 2 === 0) signal.addEventListener('abort', nothing, { once: true })
  }
}
