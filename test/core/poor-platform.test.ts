/** Platforms that have less of AbortSignal than Node: React Native, old polyfills. Here it is taken away before the package is loaded. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { anotherCopy, type Package } from '../two-copies/copy.js'

const Signal = AbortSignal as unknown as Record<string, unknown>
const reason = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'reason') as PropertyDescriptor
const { any, abort } = Signal
const { AbortSignal: Class, AbortController: Controller, DOMException: Exception } = globalThis

const lacks: readonly (readonly [string, () => void])[] = [
  ['AbortSignal.any', () => delete Signal['any']],
  [
    'AbortSignal.any and AbortSignal.abort',
    () => {
      delete Signal['any']
      delete Signal['abort']
    },
  ],
  [
    'any of the static methods, or reasons, or DOMException',
    () => {
      delete Signal['any']
      delete Signal['abort']
      Reflect.deleteProperty(AbortSignal.prototype, 'reason')
      Reflect.deleteProperty(globalThis, 'DOMException')
    },
  ],
  [
    'the global AbortSignal',
    () => {
      Reflect.deleteProperty(AbortSignal.prototype, 'reason')
      Reflect.deleteProperty(globalThis, 'AbortSignal')
    },
  ],
]

function restore(): void {
  Object.assign(Class, { any, abort })
  Object.defineProperty(Class.prototype, 'reason', reason)
  Object.assign(globalThis, { AbortSignal: Class, AbortController: Controller, DOMException: Exception })
}

/**
 * A package used where the platform lacks something: of each case a copy of its own, since a package looks at its platform once. One case
 * has the package itself, which nothing here has loaded before.
 */
async function without(take: () => void, use: (mine: Package) => unknown, isItself = false): Promise<void> {
  const mine = (await import(isItself ? 'calloff' : anotherCopy())) as Package
  take()
  try {
    await use(mine)
  } finally {
    restore()
  }
}

for (const [what, take] of lacks) {
  const isItself = what.includes('reasons')
  describe(`without ${what}`, () => {
    it('the signal of every token is aborted with the token’s error, and all views agree', () =>
      without(
        take,
        (mine) => {
          const root = new mine.SimpleToken()
          const middle = new mine.SimpleToken(root)
          const tokens = [
            root,
            middle,
            new mine.SimpleToken(middle, new mine.SimpleToken()),
            new mine.TimeoutToken(3_600_000, middle),
            mine.allOf(root, middle),
            middle.grace(0),
            mine.from(middle.signal),
            new mine.SimpleToken(mine.from(new mine.SimpleToken(middle).signal)),
          ]
          const told: unknown[] = []
          const seen: boolean[] = []
          root.onCancel(() => seen.push(...tokens.map(({ signal }) => signal.aborted)))
          for (const { signal } of tokens) signal.addEventListener('abort', () => told.push(signal.reason))
          assert.ok(tokens.every(({ signal }) => !signal.aborted))
          root.cancel('why')
          for (const token of tokens) {
            assert.equal(token.cancelled, true)
            assert.equal(token.signal.aborted, true)
            assert.equal(token.signal.reason, root.error)
            assert.equal(token.error, root.error)
          }
          assert.equal(told.length, tokens.length)
          assert.ok(told.every((error) => error === root.error))
          assert.ok(seen.every(Boolean))
        },
        isItself,
      ))

    it('those of tokens above and beside are not', () =>
      without(
        take,
        (mine) => {
          const root = new mine.SimpleToken()
          const [left, right] = [new mine.SimpleToken(root), new mine.SimpleToken(root)]
          const below = new mine.SimpleToken(left)
          const signals = [root, left, right, below].map(({ signal }) => signal)
          left.cancel()
          assert.deepEqual(
            signals.map(({ aborted }) => aborted),
            [false, true, false, true],
          )
        },
        isItself,
      ))

    it('a poll, a deadline and a cancel before the first read abort it, too', () =>
      without(
        take,
        (mine) => {
          let over = false
          const polled = new mine.SimpleToken(new mine.ConditionToken(() => over, { pollEvery: Infinity }))
          const { signal } = polled
          over = true
          assert.equal(polled.cancelled, true)
          assert.equal(signal.aborted, true)
          const root = new mine.SimpleToken().cancel('before')
          for (const token of [root, new mine.SimpleToken(root), new mine.SimpleToken({ cancelled: true })]) {
            assert.equal(token.signal.aborted, true)
            assert.equal(token.signal.reason, token.error)
          }
        },
        isItself,
      ))

    it('foreign signals are followed', () =>
      without(
        take,
        async (mine) => {
          const controller = new Controller()
          const token = new mine.SimpleToken(controller.signal)
          const waiting = token.wait()
          controller.abort('why')
          assert.equal(await waiting, token.error)
        },
        isItself,
      ))
  })
}

it('without an AbortController it is said what is missing', () =>
  without(
    () => Reflect.deleteProperty(globalThis, 'AbortController'),
    (mine) => {
      const token = new mine.SimpleToken(new mine.SimpleToken())
      assert.throws(() => token.signal, { name: 'TypeError', message: /needs an AbortController/ })
      token.cancel('why')
      assert.equal(token.reason, 'why')
    },
    true,
  ))
