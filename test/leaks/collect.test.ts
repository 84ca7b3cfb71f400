/** The measurements that the other files here trust in notice what is left. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { growth, strays, survivors } from './collect.js'

test('the measurement notices 32 bytes, and a signal, that each operation leaves', async () => {
  const kept: unknown[] = []
  const numbers = await growth(10_000, (i) => kept.push({ i, text: [i] }))
  assert.ok(numbers > 32, `${numbers}`)
  const source = new AbortController()
  const signals = await growth(10_000, () => kept.push(AbortSignal.any([source.signal])))
  assert.ok(signals > 30, `${signals}`) // Bun counts little of what is native
  assert.equal(kept.length, 30_000)
})

test('the count of survivors notices what is kept', async () => {
  const kept: object[] = []
  assert.ok((await survivors(40, () => ({}))) <= strays)
  assert.equal(
    await survivors(40, () => {
      const one = {}
      kept.push(one)
      return one
    }),
    40,
  )
})
