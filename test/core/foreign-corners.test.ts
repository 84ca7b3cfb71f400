/** What foreign values may look like, at the places where hardly any of them does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { latest, SimpleToken } from 'calloff'
import type * as argumentsModule from '../../dist/core/arguments.js'
import type * as contextModule from '../../dist/core/context.js'
import type * as remoteOriginModule from '../../dist/core/remote-origin.js'
import type * as nearestModule from '../../dist/core/nearest.js'
import type * as reasonsModule from '../../dist/core/reasons.js'

const load = (name: string): Promise<unknown> => import(new URL(`../../../dist/core/${name}.js`, import.meta.url).href)
const { optionalProgram, optionsOf } = (await load('arguments')) as typeof argumentsModule
const { bindListeners } = (await load('context')) as typeof contextModule
const { kindFrom } = (await load('remote-origin')) as typeof remoteOriginModule
const { nearest } = (await load('nearest')) as typeof nearestModule
const { decodeReason } = (await load('reasons')) as typeof reasonsModule

test('the program of a thread is a path, a URL or absent', () => {
  const url = new URL('file:///program.js')
  assert.deepEqual(
    [undefined, './program.js', url].map((one) => optionalProgram('worker', one)),
    [undefined, './program.js', url],
  )
  assert.throws(() => optionalProgram('worker', 5), {
    name: 'TypeError',
    message: 'worker must be a path or a URL, got 5',
  })
})

test('an option that is refused says what to give instead', () => {
  const wrong = { signal: 1 } as unknown as { token: unknown }
  assert.throws(() => optionsOf(wrong, ['token'], { signal: 'give a token' }), /give a token/)
})

test('a kind that has arrived is one of ours, or a cancellation by hand', () => {
  assert.deepEqual(['timeout', 'superseded', 'lease', 'of a later version', 'toString', 5, undefined].map(kindFrom), [
    'timeout',
    'superseded',
    'lease',
    'manual',
    'manual',
    'manual',
    'manual',
  ])
})

test('the beginning of a word is near the word', () => {
  assert.equal(nearest('time', ['step', 'timeout']), 'timeout')
})

test('a reason that is deeper than any of ours is cut there', () => {
  let inside = decodeReason(`${'['.repeat(12)}${']'.repeat(12)}`, 'a test').reason
  let depth = 0
  for (; Array.isArray(inside); depth++) inside = inside[0] as unknown
  assert.equal(inside, undefined)
  assert.equal(depth, 9)
})

test('a value that is late is given back in the context of the race', async () => {
  const before = bindListeners((callback) => callback)
  try {
    const token = new SimpleToken()
    let settle!: (value: string) => void
    const late = new Promise<string>((resolve) => {
      token.race(new Promise<string>((fulfil) => (settle = fulfil)), { late: resolve }).catch(() => {})
    })
    token.cancel()
    settle('a connection')
    assert.equal(await late, 'a connection')
  } finally {
    bindListeners(before)
  }
})

test('a call that had to wait starts in the context of the call', async () => {
  const before = bindListeners((callback) => callback)
  try {
    const run = latest(async (_token, name: string) => name)
    void run('one')
    assert.equal(await run('two'), 'two')
  } finally {
    bindListeners(before)
  }
})

test('promises of classes that extend Promise, and thenables whose tag throws, are waited for', async () => {
  class Lazy<T> extends Promise<T> {}
  const token = new SimpleToken()
  assert.equal(await token.retry(() => Lazy.resolve('lazy')), 'lazy')
  const odd = {
    // oxlint-disable-next-line unicorn/no-thenable -- what is tried
    then: (fulfilled: (value: string) => void) => fulfilled('odd'),
    get [Symbol.toStringTag](): string {
      throw new Error('no tag')
    },
  }
  assert.equal(await token.race(odd as unknown as Promise<string>), 'odd')
})
